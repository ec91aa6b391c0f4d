"""The page: the same bytes for the same records, nothing loaded, and every number in its place."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from tests.records import record, save, some_records, whole_archive
from tsfcn.analysis import compare, score_columns, segmentation, tables, verdict
from tsfcn.analysis.diagnosis import reliability
from tsfcn.cli.report import main
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.record import Record
from tsfcn.report import results_folder
from tsfcn.report.html import FIRST_LINE
from tsfcn.report.page import SECTIONS, STREAM_SECTIONS, report

COMMITTED = Path(__file__).parents[3] / "results"
VOID = {"meta", "br", "input", "link", "hr", "img"}
HOSTILE = "</script><script>alert(1)</script><img src=x onload=alert(1)>\x00\u202e"


class Page(HTMLParser):
    """A page as its elements, checked to be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open = text, [""]
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.scripts: list[str] = []
        self.table = ""
        self.feed(text)
        assert self.open == [""], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self.table = str(dict(attributes)["id"])
            self.tables[self.table] = []
        if tag == "tr":
            self.tables[self.table].append([])
        if tag in ("td", "th"):
            self.tables[self.table][-1].append("")
        if tag == "small":
            self.tables[self.table][-1][-1] += " | "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th", "small"):
            self.tables[self.table][-1][-1] += data
        if self.open[-1] == "script":
            self.scripts.append(data)

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])

    def rows(self, ident: str) -> list[dict[str, str]]:
        head, *body = self.tables[ident]
        return [dict(zip(head, row, strict=True)) for row in body]

    def csv_of(self, chart: str) -> list[dict[str, str]]:
        after = self.text[self.text.index(f'id="{chart}"') :]
        (content,) = re.findall(r"<pre>(.*?)</pre>", after, flags=re.DOTALL)[:1]
        return list(csv.DictReader(io.StringIO(unescape(content))))


def charts(text: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)]


def check(text: str) -> Page:
    """Return a page, after the checks that every page must pass."""
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "style", "background", "action"} & set(attributes), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("href", "#")).startswith("#")
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form", "image", "use")
    links = [str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"]
    assert links and set(links) <= set(ids), "the contents link to existing sections"
    assert "url(" not in text and "@import" not in text
    assert sum(tag == "script" for tag, _ in page.elements) == 2
    for svg in charts(text):
        assert svg[0].tag == "title" and svg[1].tag == "desc" and svg[0].text and svg[1].text
        assert svg.get("role") == "img" and svg.get("aria-labelledby") == f"{svg[0].get('id')} {svg[1].get('id')}"
    assert page.data["columns"] is not None
    return page


@pytest.fixture(scope="module")
def committed() -> str:
    return report(COMMITTED)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("big")
    records = whole_archive(n_epochs=30)
    assert len(records) == 128 * 6 * 5
    save(folder, *records)
    assert main([str(folder)]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# The committed results


def test_committed_results(committed: str) -> None:
    page = check(committed)
    assert committed.startswith(FIRST_LINE)
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == [ident for ident, _, _ in SECTIONS]
    names = {str(svg.get("id")) for svg in charts(committed)}
    assert names >= {"c-ranks", "c-ranks-narrow", "c-pairs", "c-scatter", "c-time", "c-selection", "c-curves"}


def test_committed_page_is_that_of_the_committed_records(committed: str) -> None:
    page = (COMMITTED / "report.html").read_text(encoding="utf-8")
    assert page == committed, "results/report.html is not what `tsfcn report results` writes: write it again"


def test_dataset_table_is_the_accuracy_table_with_verdicts(committed: str) -> None:
    rows = Page(committed).rows("t-datasets")
    expected = tables.accuracy(store.read(COMMITTED)).to_dict("records")
    assert len(rows) == len(expected)
    judged: dict[tuple[str, str, str], verdict.Verdict] = {}
    for pair in {(r["model"], r["protocol"]) for r in expected}:
        figures = verdict.paired_accuracies(r for r in expected if (r["model"], r["protocol"]) == pair)
        judged |= {(*pair, v.dataset): v for v in verdict.judge(figures).verdicts} if figures else {}
    for row, want in zip(rows, expected, strict=True):
        assert (row["dataset"], row["model"]) == (want["dataset"], f"{want['model']} | {want['protocol']}")
        assert row["accuracy"].partition(" | ")[0] == f"{want['mean']:.4f}"
        judged_as = judged.get((want["model"], want["protocol"], want["dataset"]))
        assert row["verdict"].partition(" | ")[0] == ("" if judged_as is None else judged_as.word)
        assert (row["published"] == "") == (judged_as is None)


def test_ranks_are_those_of_compare(committed: str) -> None:
    page = Page(committed)
    shown = {row["column"]: float(row["mean_rank"]) for row in page.csv_of("c-ranks")}
    sources = sorted(f"published:{name}" for name in shown if "/" in name)
    assert "published:fawaz2019_ucr128/fcn" in sources
    columns = score_columns.read([str(COMMITTED), *sources])
    comparison = compare.compare([column for column in columns if column.name in shown])
    ranks = {column.name: rank for column, rank in zip(comparison.columns, comparison.mean_ranks, strict=True)}
    assert shown == pytest.approx(ranks, rel=1e-5)
    pairs = page.csv_of("c-pairs")
    assert sorted(float(row["p_holm"]) for row in pairs) == pytest.approx(
        sorted(p.p_holm for p in comparison.pairs), rel=1e-5
    )
    # Columns that are left out are named with the reason.
    assert (
        "Left out: karim2019/alstm_fcn, karim2019/lstm_fcn (only 7 datasets would remain in common, 11 are needed"
        in committed
    )


def test_headline_has_the_verdict_of_the_archive(committed: str) -> None:
    (row,) = [r for r in Page(committed).rows("t-headline") if r["model"] == "fcn | fawaz2019"]
    expected = tables.accuracy(store.read(COMMITTED)).to_dict("records")
    ours = [r for r in expected if (r["model"], r["protocol"]) == ("fcn", "fawaz2019")]
    judged = verdict.judge(verdict.paired_accuracies(ours))
    assert judged.typical.text == "equivalent"
    assert row["verdict"] == "equivalent | equivalent"
    assert row["typical difference"].partition(" | ")[0] == f"{judged.typical.difference:+.4f}"
    assert row["datasets by verdict"] == ", ".join(f"{n} {word}" for word, n in judged.counts.items())
    assert re.fullmatch(r"0\.\d{4} \| 0\.\d{4} to 0\.\d{4}", row["mean accuracy"])


def test_script_draws_from_the_same_numbers(committed: str) -> None:
    page = Page(committed)
    data = page.data
    names = [column["name"] for column in data["columns"]]
    (controls,) = [attributes for _, attributes in page.elements if attributes.get("id") == "scatter-controls"]
    x, y = int(str(controls["data-x"])), int(str(controls["data-y"]))
    assert (names[x], names[y]) == ("fawaz2019_ucr128/fcn", "fcn (fawaz2019[precision=bfloat16])")
    assert data["summaries"][f"{x},{y}"] in committed
    shown = {
        data["places"][int(place)][0]: (data["columns"][x]["cells"][place][0], cell[0])
        for place, cell in data["columns"][y]["cells"].items()
    }
    assert len(shown) == len({r.dataset for r in store.read(COMMITTED) if r.protocol.startswith("fawaz2019[")})
    for row in page.csv_of("c-scatter"):
        assert shown[row["dataset"]] == pytest.approx((float(row["x"]), float(row["y"])), abs=1e-6)
    n_jobs = sum(record.is_ok for record in store.read(COMMITTED))
    assert len(data["curves"]) == n_jobs
    assert all(len(losses) == len(data["epochs"][grid]) for _, _, _, grid, losses, _ in data["curves"])


# ---------------------------------------------------------------------------------------------------------------------
# The same bytes


def test_same_records_same_bytes_in_any_order_from_anywhere(
    committed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "elsewhere"
    (copied / "records").mkdir(parents=True)
    shutil.copy(COMMITTED / "commands.txt", copied)
    shutil.copytree(COMMITTED / "predictions", copied / "predictions")
    lines = [line for path in sorted((COMMITTED / "records").glob("*.jsonl")) for line in path.open()]
    for i, line in enumerate(reversed(lines)):  # other files, in another order
        with (copied / "records" / f"{(i * 7) % 5}.jsonl").open("a") as file:
            file.write(line)
    monkeypatch.chdir(tmp_path)
    assert report(Path("elsewhere")) == committed
    assert str(tmp_path) not in committed and str(COMMITTED.parent) not in committed


def test_other_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("dataset,Net,fcn (fawaz2019)\n" + "".join(f"{d},0.5,0.6\n" for d in ("GunPoint", "ECG200")))
    results = save(tmp_path / "mine", record("GunPoint"), record("ECG200", accuracy=0.8))
    text = report(results, [str(theirs), "published:rocket2020"])
    names = [column["name"] for column in check(text).data["columns"]]
    assert names == ["fcn (fawaz2019)", "Net", "theirs.csv: fcn (fawaz2019)", "rocket2020/ROCKET"]
    assert str(tmp_path) not in text
    monkeypatch.chdir(tmp_path)
    assert report(Path("mine"), ["theirs.csv", "published:rocket2020"]) == text


# ---------------------------------------------------------------------------------------------------------------------
# Large, small and hostile


def test_whole_archive(big: str) -> None:
    page = check(big)
    assert len(big.encode()) < 3_000_000
    assert len(page.rows("t-datasets")) == 128 * 6
    assert len(page.data["curves"]) == 128 * 6 * 5
    assert len([svg for svg in charts(big) if str(svg.get("id")).startswith("c-seeds")]) == 6
    assert {row["verdict"].partition(" | ")[0] for row in page.rows("t-headline")} >= {"equivalent"}
    assert "71 datasets that all columns have on the same split" in big


def test_three_datasets(tmp_path: Path) -> None:
    results = save(
        tmp_path, *(record(d, accuracy=a) for d, a in (("GunPoint", 1.0), ("ArrowHead", 0.83), ("Beef", 0.7)))
    )
    page = check(report(results))
    assert "3 datasets cannot show a difference between 3 columns: 7 are needed." in page.text
    assert "These have a single seed for each dataset" in page.text and "Nothing failed" in page.text


def test_times_are_processor_time_where_recorded_and_the_page_says_so(tmp_path: Path) -> None:
    old, new = record(), record(seed=1, train_processor_seconds=2.0, test_processor_seconds=0.1)
    page = report(save(tmp_path / "old", old))
    assert "wall-clock time on A processor" in page and "processor time" not in page
    page = report(save(tmp_path / "new", old, new))
    assert "Seconds, on A processor, are processor time on a CPU where it was recorded, else wall time." in page
    (row,) = check(page).rows("t-datasets")
    assert row["training"] == "12.0 s"
    assert [float(point["seconds_a_job"]) for point in Page(page).csv_of("c-time")] == [6.0]


def test_one_dataset_without_a_published_figure(tmp_path: Path) -> None:
    results = save(tmp_path, record("Mine", passport={"archive": "own"}))
    page = check(report(results))
    assert "There is only one column to rank" in page.text
    assert "No two columns have a dataset on the same split in common" in page.text


def test_failures_alone(tmp_path: Path) -> None:
    results = save(tmp_path, record(status="failed", reason="loss is nan"), record("Beef", status="skipped"))
    page = check(report(results))
    assert [row["status"] for row in page.rows("t-failures")] == ["failed", "skipped"]
    assert "No job is ok yet" in page.text


def test_marks_failures_and_resamples(tmp_path: Path) -> None:
    oracle: dict[str, Any] = {"protocol": "fawaz2019[select=test_oracle]", "test_selected": True, "off_paper": True}
    both: dict[str, Any] = {"accuracy_least_train_loss": 0.9, "accuracy_last": 0.8, "accuracy_test_oracle": 0.95}
    results = save(
        tmp_path,
        *some_records(),
        *(record(d, accuracy=0.95, **oracle, **both) for d in ("GunPoint", "Coffee", "Beef")),
        *(record("GunPoint", resample=i, seed=i) for i in range(3)),
    )
    page = check(report(results))
    assert "Left out: fcn (fawaz2019[select=test_oracle]) (TEST-SELECTED: its accuracy is an upper bound)." in page.text
    assert "fcn (fawaz2019[select=test_oracle])" not in [row["column"] for row in page.csv_of("c-ranks")]
    assert "oracle (TEST-SELECTED)" in [row["rule"] for row in page.csv_of("c-selection")]
    assert {row["status"] for row in page.rows("t-failures")} == {"failed", "skipped"}
    assert "rows of resampled splits are not listed here" in page.text
    marked = [row for row in page.rows("t-datasets") if "TEST-SELECTED" in row["marks"]]
    assert len(marked) == 3


def named(name: str) -> list[Record]:
    """Return records in which everything that has a name has this one."""
    curve = {"epoch": [1, 2], "loss": [1, 0.5], "lr": [1, 1]}
    return [
        record("Coffee", model=name, protocol=name, curve=curve),
        record(name, commit=name, hardware=name, versions={name: name}, seed=1),
        record(name, seed=2, accuracy=0.5),
        record("Beef", status="failed", reason=name + "\x7f"),
    ]


def test_html_characters_in_names_are_shown(tmp_path: Path) -> None:
    name = """a <b> & "c" 'd' &amp; {{ 7 * 7 }}"""
    page = check(report(save(tmp_path, *named(name))))
    assert {row["dataset"] for row in page.rows("t-datasets")} == {"Coffee", name}
    assert f"{name} | {name}" in {row["model"] for row in page.rows("t-datasets")}
    assert f"{name} ({name})" in [column["name"] for column in page.data["columns"]]
    assert name in [dataset for dataset, _ in page.data["places"]]
    assert name in {row["dataset"] for row in page.csv_of("c-time")}
    (reason,) = [row["reason"] for row in page.rows("t-failures")]
    assert reason == f"{name}\ufffd"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    results = save(tmp_path, *named(HOSTILE))
    (results / "commands.txt").write_bytes(b"</pre><script>alert(2)</script>\xff\n")
    (tmp_path / "x.csv").write_text(f'dataset,"{HOSTILE[:-2]}"\nCoffee,0.5\n', encoding="utf-8")
    out = tmp_path / "page.html"
    assert main([str(results), str(tmp_path / "x.csv"), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    page = check(text)
    assert "alert(1)" in text and "<script>alert" not in text and "<img" not in text
    assert not re.search("[\x00\u202e]", text)
    assert all("alert(1)" in column["name"] for column in page.data["columns"][-1:])


# ---------------------------------------------------------------------------------------------------------------------
# The command


def test_command_writes_beside_the_records_and_disturbs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tsfcn.jobs.maintenance import gc

    results = save(tmp_path / "r", record("Coffee"))
    assert main([str(results)]) == 0
    path = results / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    before = path.read_bytes()
    results_folder.write(results)
    assert "report.html" in (results / "README.md").read_text()
    assert gc(results, False) == f"{results}: removed nothing"
    assert [c.name for c in score_columns.read([str(results)])] == ["fcn (fawaz2019)"]
    assert main([str(results)]) == 0, "its own page is replaced"
    assert path.read_bytes() == before
    assert sorted(p.name for p in results.iterdir()) == ["README.md", "records", "report.html", "tables"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "results folder 'nowhere' is not a folder"),
        (["r", "published:nobody"], "published source 'nobody' is not known"),
        (["r", "--out", "mine.html"], "'mine.html' is not a report of tsfcn's and would be replaced"),
        (["r", "--out", "r"], "'r' is a folder: name a file to write"),
        (["r", "--out", "/proc/none/x.html"], "file '/proc/none/x.html' is not writable"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "r", record("Coffee"))
    (tmp_path / "mine.html").write_text("<!doctype html><p>mine</p>")
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("error: ") and message in captured.err
    assert (tmp_path / "mine.html").read_text() == "<!doctype html><p>mine</p>"


# ---------------------------------------------------------------------------------------------------------------------
# Classes and calibration


def test_classes_and_calibration_are_those_of_the_stored_predictions(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    y_true = np.repeat([0, 1, 2], [10, 6, 4])
    y_pred = np.where(numbers.random(20) < 0.6, y_true, (y_true + 1) % 3)
    probabilities = np.full((20, 3), 0.1)
    probabilities[np.arange(20), y_pred] = 0.8
    accuracy = float(np.mean(y_true == y_pred))
    save(tmp_path, stored := record("Beef", n_test=20, n_classes=3, accuracy=accuracy), record("Coffee"))
    classes = np.array(["<i>", "b", "c"])
    artifacts.write_predictions(tmp_path, stored.key, probabilities, y_true, y_pred, classes)
    page = check(report(tmp_path))
    (calibration,) = page.rows("t-calibration")
    assert (calibration["cases"], calibration["accuracy of cases"]) == ("20", f"{accuracy:.4f}")
    assert float(calibration["mean calibration error"]) == pytest.approx(abs(0.8 - accuracy), abs=1e-3)
    matrix = page.tables["t-confusion-0"]
    assert [row[0] for row in matrix[1:]] == ["<i>", "b", "c"]
    expected = sklearn.metrics.confusion_matrix(y_true, y_pred)
    assert [[int(cell) for cell in row[1:4]] for row in matrix[1:]] == expected.tolist()
    recalls = sklearn.metrics.recall_score(y_true, y_pred, average=None)
    assert [float(row[4]) for row in matrix[1:]] == pytest.approx(recalls, abs=1e-4)
    hardest = page.rows("t-hardest")[0]
    assert float(hardest["recall"]) == pytest.approx(recalls.min(), abs=1e-4)
    assert "those of\n1 more are not in predictions/" in page.text


def with_predictions(folder: Path, dataset: str, seed: int) -> tuple[Record, float]:
    """Write 50 calibrated predictions of a job. Returns its record and the calibration error of the job."""
    numbers = np.random.default_rng(seed)
    confidence = numbers.uniform(0.5, 1, 50)
    y_true = (numbers.uniform(size=50) > confidence).astype(np.int16)
    y_pred = np.zeros(50, dtype=np.int16)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float16)
    made = record(dataset, seed=seed, accuracy=float(np.mean(y_true == 0)), n_test=50, n_classes=2)
    artifacts.write_predictions(folder, made.key, probabilities, y_true, y_pred, np.array(["a", "b"]))
    return made, reliability(probabilities, y_true, y_pred).calibration_error


def test_calibration_error_is_that_of_a_job_averaged_over_seeds_and_datasets_as_in_the_table(tmp_path: Path) -> None:
    beef = [with_predictions(tmp_path, "Beef", seed) for seed in range(5)]
    coffee = [with_predictions(tmp_path, "Coffee", seed) for seed in (7, 8)]
    made = save(tmp_path, *(each for each, _ in [*beef, *coffee]))
    (calibration,) = check(report(made)).rows("t-calibration")
    means = [np.mean([error for _, error in each]) for each in (beef, coffee)]
    assert float(calibration["mean calibration error"]) == pytest.approx(np.mean(means), abs=5e-5)
    table = tables.metric([each for each, _ in [*beef, *coffee]], tmp_path, "ece")
    assert list(table["mean"]) == pytest.approx(means)


def test_damaged_predictions_are_left_out_and_named(tmp_path: Path) -> None:
    records = [with_predictions(tmp_path, "Beef", seed)[0] for seed in range(6)]
    paths = [artifacts.predictions_path(tmp_path, each.key) for each in records]
    paths[0].write_bytes(paths[0].read_bytes()[:-40])
    paths[1].write_text("probabilities")
    with np.load(paths[2]) as stored:
        np.savez(paths[2], **{name: stored[name] for name in ("probabilities", "y_true", "y_pred")})
    shutil.copy(paths[5], paths[3])  # of another job
    save(tmp_path, *records)
    page = check(report(tmp_path))
    assert page.rows("t-calibration")[0]["cases"] == "100"  # of the two that are whole
    assert re.search(r"Left out, .*: 4\nfiles of predictions, ", page.text)
    assert f"{paths[0].name} (Beef, fcn (fawaz2019), seed 0), {paths[1].name}" in page.text
    assert f"{paths[2].name} (Beef, fcn (fawaz2019), seed 2) and 1 more." in page.text


def test_only_damaged_predictions_are_named_too(tmp_path: Path) -> None:
    made, _ = with_predictions(tmp_path, "Beef", 0)
    artifacts.predictions_path(tmp_path, made.key).write_text("")
    text = report(save(tmp_path, made))
    assert f"1\nfile of predictions, {made.key}.npz" in text and "Not known: no predictions" in text


def test_without_predictions_the_section_says_how_to_store_them(tmp_path: Path) -> None:
    assert "A run with require_predictions=true stores them." in report(save(tmp_path, record()))


# ---------------------------------------------------------------------------------------------------------------------
# Dense labelling


def test_the_page_of_dense_labelling_has_what_is_for_streams() -> None:
    folder = COMMITTED / "segmentation"
    text = report(folder)
    page = check(text)
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == [ident for ident, _, _ in STREAM_SECTIONS]
    assert "MPCE" not in text and "mean rank" not in text and "published figure" not in text
    assert "No pictures: no predictions of these jobs are stored." in text
    records = store.read(folder)
    table = segmentation.table(records).to_dict("records")
    for row, want in zip(page.rows("t-datasets"), table, strict=True):
        assert (row["dataset"], row["model"]) == (want["dataset"], f"{want['model']} | {want['protocol']}")
        assert row["mean IU"].partition(" | ")[0] == f"{want['mean_iu']:.4f}"
        assert row["accuracy"].endswith(f"± {want['accuracy_std']:.4f}") == (want["n_seeds"] > 1)
    means = {row["model"]: row["f.w. IU"] for row in page.rows("t-means")}
    for want in segmentation.summary(segmentation.table(records)).to_dict("records"):
        assert means[f"{want['model']} | {want['protocol']}"] == f"{want['frequency_weighted_iu']:.4f}"
    differences = {row["row"]: row["mean IU"] for row in page.rows("t-comparisons")}
    want = next(row for row in segmentation.comparisons(records).to_dict("records") if row["metric"] == "mean_iu")
    shown = f"{want['difference']:+.4f} better | {want['low']:+.4f} to {want['high']:+.4f} (+0.140)"
    assert differences["fcn_32s | fcn_32s_fixed"] == shown
    assert "holds in accuracy on 5, mean acc. on 5, mean IU on 5, f.w. IU on 5 of 5 datasets." in text


@pytest.mark.parametrize(
    ("settings", "content", "message"),
    [
        ({}, "0" * 64, "dataset 'Gone' is not in the cache folder any more"),
        ({}, "../" * 9, "is of no run: leave its record out"),
        ({"missing": None}, "0" * 64, "streams of Gone do not follow from its record"),
    ],
)
def test_a_stream_that_cannot_be_drawn_is_named(
    tmp_path: Path, settings: dict[str, None], content: str, message: str
) -> None:
    known = {"normalisation": "none", "missing": "zero", "length": "pad"}
    metrics: dict[str, Any] = {"accuracy": 0.5, "mean_iu": 0.5, "balanced_accuracy": 0.5, "frequency_weighted_iu": 0.5}
    dense = record(
        "Gone",
        **metrics,
        settings={name: text for name, text in known.items() if name not in settings},
        passport={"archive": "user", "kind": "streams", "content": content},
        task={"name": "segmentation"},
        n_test=2,
    )
    artifacts.write_predictions(
        save(tmp_path, dense), dense.key, np.full((2, 2), 0.5), np.array([0, 1]), np.array([0, 0]), np.array(["a", "b"])
    )
    page = check(report(tmp_path))
    assert "<li>Gone: " in page.text and message in unescape(page.text)
    assert "c-stream" not in page.text and "timepoints of all datasets" in page.text
