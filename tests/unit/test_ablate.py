"""The command `tsfcn ablate`: what it trains, writes and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.records import record, save
from tsfcn import ablate
from tsfcn.common.exit_codes import BAD_INPUT, OK, SKIPS
from tsfcn.config.compose import compose
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.runs.planning import planned

RESULTS = Path(__file__).parents[2] / "results"


def test_it_trains_writes_a_page_and_copies_finished_records(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    words = ["dataset=ItalyPowerDemand", "protocol.epochs=1", "executor=inline", f"results={tmp_path / 'ablate'}"]
    assert ablate.main([*words, "settings=[batch,selection]", "seeds=2"]) == OK
    (path,) = (tmp_path / "ablate" / "pages").iterdir()
    assert path.name == "ItalyPowerDemand_fcn_fawaz2019[epochs=1].md"
    text = path.read_text()
    assert "128 (Karim): 67 instead of 6" in text and "BY THE TEST SET" in text and "No published figure" in text
    labels = {r.protocol for r in store.read(tmp_path / "ablate")}
    assert "fawaz2019[batch_divisor=0, batch_size=128, epochs=1]" in labels and len(labels) == 5
    assert "settings=[batch,selection]" in text.split("```sh")[1]
    # Another setting joins those of which there are records.
    assert ablate.main([*words, "settings=[epsilon]", "seeds=2"]) == OK
    text = path.read_text()
    assert "1e-8 (Wang)" in text and "128 (Karim): 67 instead of 6" in text
    assert "settings=[batch,epsilon,selection]" in text.split("```sh")[1]


def test_finished_records_of_the_folder_above_are_copied(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    jobs, _ = planned(*compose(["dataset=ItalyPowerDemand", "seeds=[0,1,2]"]))
    ablate.copy_finished(jobs, tmp_path / "ablate")
    assert {record.key for record in store.read(tmp_path / "ablate")} == {job.key for job in jobs}


def test_only_the_dataset_itself_counts_and_not_what_its_weights_come_from(tmp_path: Path) -> None:
    words = ["dataset=GunPoint", "protocol.init_from=dataset:ItalyPowerDemand", "protocol.epochs=1", "executor=inline"]
    assert ablate.main([*words, f"results={tmp_path}", "settings=[epsilon]", "seeds=1"]) == OK
    (path,) = (tmp_path / "pages").iterdir()
    (of_target,) = [r for r in store.read(tmp_path) if r.dataset == "GunPoint" and "eps" not in r.protocol]
    assert (
        f"{of_target.accuracy:.4f} over 1 seed, batches of 5 of 50 training cases, 150 test cases" in path.read_text()
    )


def test_several_datasets_have_a_page_over_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset=ItalyPowerDemand,GunPoint", "model=lstm_fcn", "protocol=karim2019", "protocol.epochs=1"]
    words += ["executor=inline", f"results={tmp_path}", "seeds=2", "settings=[cells]"]
    assert ablate.main(words) == OK
    of_datasets, over = "{}_lstm_fcn_karim2019[epochs=1].md", "lstm_fcn_karim2019[epochs=1].md"
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {
        *(of_datasets.format(name) for name in ("ItalyPowerDemand", "GunPoint")),
        over,
    }
    text = (tmp_path / "pages" / over).read_text()
    assert "over ItalyPowerDemand, GunPoint." in text and text.count("| cells ") == 3
    assert "dataset=ItalyPowerDemand,GunPoint" in text.split("```sh")[1]
    assert text.splitlines()[0][2:] in capsys.readouterr().out
    assert len(store.read(tmp_path)) == 4  # the sizes of a search need no training of their own


def test_own_datasets_of_a_folder_are_ablated_and_one_that_cannot_be_had_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("walks", "jumps", "third"):
        for split in ("TRAIN", "TEST"):
            rows = [f"{case % 2}\t" + "\t".join(str(case * t % 7) for t in range(12)) for case in range(12)]
            (tmp_path / f"{name}_{split}.tsv").write_text("\n".join(rows) + "\n")
    words = [f"dataset={tmp_path},Coffee", "exclude=third", "protocol.epochs=1", "executor=inline"]
    words += [f"results={tmp_path / 'results'}", "seeds=1", "settings=[batch]"]
    assert ablate.main(words) == SKIPS
    assert "'Coffee' is not available" in capsys.readouterr().err
    pages = {path.name: path.read_text() for path in (tmp_path / "results" / "pages").iterdir()}
    assert set(pages) == {f"{name}fcn_fawaz2019[epochs=1].md" for name in ("jumps_", "walks_", "")}
    assert "over jumps, walks." in pages["fcn_fawaz2019[epochs=1].md"]
    of_one = pages["walks_fcn_fawaz2019[epochs=1].md"]  # its command makes the page of this dataset alone
    assert "12 instead of 1" in of_one and "'exclude=[jumps,Coffee,third]'" in of_one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "dataset= is missing: name a dataset"),
        (
            ["dataset=GunPoint", "settings=batchsize"],
            "settings=batchsize is not known: use one of all, normalisation, batch",
        ),
        (["dataset=GunPoint", "model=[fcn,mlp]"], "change the settings of one model at a time"),
        (["dataset=Gunpoint"], "did you mean 'GunPoint'?"),
        (["dataset=Coffee"], "dataset 'Coffee' is not available"),
        (
            ["dataset=GunPoint", "settings=[gates,cells]"],
            "fcn, fawaz2019 has no other value to try: name others",
        ),
        (
            ["dataset=GunPoint", "protocol.init_from=dataset:ItalyPowerDemand+ArrowHead"],
            "protocol.init_from=dataset:ItalyPowerDemand+ArrowHead is more than one source: ablate on one at a time",
        ),
        (["dataset=GunPoint", "resample=[0,1]"], "resample=[0,1] is more than one split: ablate on one at a time"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate.main([*words, "dry_run=true"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_differing_rows_begin_with_the_greatest_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def runs(dataset: str, accuracy: float) -> list[Record]:
        return [record(dataset, seed=s, accuracy=accuracy + 0.001 * s) for s in range(3)]

    far = [*runs("ItalyPowerDemand", 0.8), *runs("GunPoint", 0.5), *runs("Chinatown", 0.979)]
    save(tmp_path / "far", *far)
    assert [row[:4] for row in ablate.differing_rows(tmp_path / "far")] == [
        ["dataset=GunPoint", "model=fcn", "protocol=fawaz2019", "seeds=3"],
        ["dataset=ItalyPowerDemand", "model=fcn", "protocol=fawaz2019", "seeds=3"],
    ]
    low = [record("GunPoint", protocol="fawaz2019[precision=bfloat16]", precision="bfloat16", accuracy=0.5)]
    assert ablate.overrides_of(low[0], 1)[2:4] == ["protocol=fawaz2019", "engine.precision=bfloat16"]
    wide = record(
        "CBF", "inception[filters=16, kernels=[41,20,10]]", protocol="poolparty2025", architecture="inception"
    )
    changed = ["model.inception.filters=16", "model.inception.kernels=[41,20,10]"]
    assert ablate.overrides_of(wide, 3)[1:5] == ["model=inception", *changed, "protocol=poolparty2025"]
    save(tmp_path / "near", *runs("Chinatown", 0.979))
    assert ablate.main([str(tmp_path / "near")]) == OK
    assert "nothing to explain" in capsys.readouterr().out
    for words, message in (
        (["nowhere"], "has no records"),
        (["a", "b"], "'b' is a second folder"),
        (["results", "dataset=Coffee"], "follows from the rows of results"),
    ):
        assert ablate.main(words) == BAD_INPUT
        assert message in capsys.readouterr().err
