"""Transfer: which jobs a source makes, what they start from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.factories import ITALY, small_config
from tests.records import require
from tsfcn.cli.gains import main as gains
from tsfcn.common.errors import UserError
from tsfcn.config import init_from, models
from tsfcn.data import barycentres
from tsfcn.jobs import artifacts, initial_weights, maintenance, store, transfer
from tsfcn.jobs.record import Record
from tsfcn.models import registry
from tsfcn.run import main as run
from tsfcn.training import train as training

GUN, ARROW = "GunPoint", "ArrowHead"  # bundled, like ITALY: 150 and 251 timepoints
QUICK = ("protocol.epochs=1", "protocol.batch_size=32", "protocol.batch_divisor=0", "executor=inline")
SMALL = ("model.fcn.filters=[4,5,6]",)


def trained(results: Path, *words: str) -> dict[tuple[str, str], Record]:
    """Run with these words and return the records by dataset and source ('' from scratch), of seed 0."""
    assert run([*QUICK, *SMALL, f"results={results}", *words]) == 0
    records = [record for record in store.read(results) if record.seed == 0]
    return {(record.dataset, record.settings.get("init_from", "")): record for record in records}


def weights(results: Path, key: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a job's weights file."""
    tensors: dict[str, torch.Tensor] = load_file(artifacts.weights_path(results, key))
    return tensors


# ---------------------------------------------------------------------------------------------------------------------
# The setting


@pytest.mark.parametrize(
    "text",
    ["CBF", "dataset:", "dataset:CBF+", "random:CBF", "random:x:CBF", "nearest:", "weights:", "file.safetensors"],
)
def test_a_source_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"protocol\.init_from=.* (write dataset:|empty name)"):
        init_from.parse(text)


# ---------------------------------------------------------------------------------------------------------------------
# Jobs


def test_all_pairs_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each source is trained once, from scratch; no dataset is its own source; the pairs are off-paper."""
    words = (f"dataset={ITALY},{GUN}", f"protocol.init_from=dataset:{ITALY}+{GUN}")
    records = trained(tmp_path, *words)
    assert set(records) == {(ITALY, ""), (GUN, ""), (ITALY, f"dataset:{GUN}"), (GUN, f"dataset:{ITALY}")}
    pair = records[GUN, f"dataset:{ITALY}"]
    assert pair.source == {"key": records[ITALY, ""].key, "group": records[ITALY, ""].group}
    assert pair.off_paper and f"init_from=dataset:{ITALY}" in pair.protocol
    assert sorted(path.stem for path in (tmp_path / "weights").glob("*.safetensors")) == sorted(
        records[name, ""].key for name in (ITALY, GUN)
    )
    assert run([*QUICK, *SMALL, f"results={tmp_path}", *words, "dry_run=true"]) == 0
    assert "0 jobs to run" in capsys.readouterr().out


def test_the_key_follows_from_the_source_and_seeds_may_be_averaged(tmp_path: Path) -> None:
    words = (f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}+{ARROW}", "seeds=2")
    assert run([*QUICK, *SMALL, f"results={tmp_path}", *words]) == 0
    pairs = [record for record in store.read(tmp_path) if record.source]
    by_source = {name: [r for r in pairs if r.settings["init_from"] == f"dataset:{name}"] for name in (ITALY, ARROW)}
    for of_source in by_source.values():
        assert len({record.group for record in of_source}) == 1 and len({record.key for record in of_source}) == 2
        assert len({require(record.source)["key"] for record in of_source}) == 2  # of the same seed
    assert by_source[ITALY][0].group != by_source[ARROW][0].group


def test_a_source_without_weights_is_trained_again(tmp_path: Path) -> None:
    first = trained(tmp_path, f"dataset={ITALY}")
    assert not (tmp_path / "weights").exists()
    again = trained(tmp_path, f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}")
    assert again[ITALY, ""].key == first[ITALY, ""].key
    assert artifacts.weights_path(tmp_path, first[ITALY, ""].key).is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"dataset={GUN}", f"protocol.init_from=dataset:{GUN}"), f"makes {GUN} its own source: name another dataset"),
        ((f"dataset={GUN}", "protocol.init_from=dataset:Cofee"), "did you mean 'Coffee'"),
        ((f"dataset={GUN}", "model.init_from=dataset:CBF"), "did you mean 'protocol.init_from=dataset:CBF'"),
        ((f"dataset={GUN}", "protocol.init_from=dataset:BasicMotions"), "it has 6 channels, and not 1"),
        ((f"dataset={GUN}", "model=mlp", f"protocol.init_from=dataset:{ITALY}"), "mlp takes one length"),
        ((f"dataset={GUN}", "protocol.init_from=weights:/none.safetensors"), "not readable"),
        ((f"dataset={GUN}", "protocol.refine_rounds=1000000000000"), "give a number from 0 to 100"),
        (("protocol=archive", "model=sktime", f"protocol.init_from=dataset:{ITALY}"), "keeps no weights"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["executor=inline", f"results={tmp_path}", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"dataset={GUN}", "model=resnet"), "are of fcn[filters=[4,5,6]], not resnet: name weights of this network"),
        ((f"dataset={GUN}", "model.fcn.filters=[6,5,4]"), "are of fcn[filters=[4,5,6]], not fcn[filters=[6,5,4]]"),
        (("dataset=BasicMotions", *SMALL), "is no source for BasicMotions: it has 1 channel, and not 6; name another"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_recorded(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = trained(tmp_path / "source", f"dataset={ITALY}", "save_weights=true")[ITALY, ""]
    file, results = artifacts.weights_path(tmp_path / "source", record.key), tmp_path / "results"
    capsys.readouterr()
    assert run([*QUICK, f"results={results}", f"protocol.init_from=weights:{file}", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and str(file) in error and "\n" not in error
    assert not results.exists()


def test_a_run_has_plain_rows_beside_those_with_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Null is a value among others, as the pairs of `tsfcn gains` need; without them it says how to get them."""
    words = (f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}")
    trained(tmp_path, *words)
    assert gains([str(tmp_path)]) == 2
    assert "protocol.init_from=null,dataset:NAME" in capsys.readouterr().err
    records = trained(tmp_path, words[0], f"protocol.init_from=null,dataset:{ITALY}")
    assert set(records) == {(ITALY, ""), (GUN, ""), (GUN, f"dataset:{ITALY}")}
    assert gains([str(tmp_path)]) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Choices


def test_a_random_source_is_that_job_by_name(tmp_path: Path) -> None:
    """Draws differ by seed and target, and what was trained by name is not trained again."""
    named = trained(tmp_path, f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}+{ARROW}")
    keys = {record.key for record in named.values()}
    drawn = set()
    for seed in range(6):
        words = (f"dataset={GUN}", f"protocol.init_from=random:{seed}:{ITALY}+{ARROW}")
        trained(tmp_path, *words)
        (record,) = (r for r in store.read(tmp_path) if f"random:{seed}:" in r.protocol)
        assert record.key in keys and require(record.curve)["epoch"] == [1]
        drawn.add(record.settings["init_from"])
    assert drawn == {f"dataset:{ITALY}", f"dataset:{ARROW}"}


def test_a_target_whose_source_cannot_be_used_is_skipped_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*QUICK, *SMALL, f"dataset={GUN}", "seeds=1", "archive.root=null"]
    for kind, rows in (("dataset", {f"dataset:{ITALY}"}), ("random:7", set())):
        results, missing = tmp_path / kind[:6], f"{kind}:{ITALY}+Lightning7"
        assert run([*words, f"results={results}", f"protocol.init_from={missing}"]) == 3
        reason = f"protocol.init_from={missing} needs Lightning7, which cannot be used"
        assert f"skipped: {GUN}: {reason}" in capsys.readouterr().out
        of_target = [record for record in store.read(results) if record.dataset == GUN]
        assert {record.settings["init_from"] for record in of_target if record.is_ok} == rows
        assert [record.reason for record in of_target if not record.is_ok] == [reason]


def test_a_job_that_several_names_mean_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = f"protocol.init_from=null,dataset:{ITALY},random:0:{ITALY},random:1:{ITALY}"
    words = (f"dataset={GUN}", sources, f"results={tmp_path}", "seeds=1")
    assert run([*QUICK, *SMALL, *words]) == 0
    assert "3 jobs: 0 done before, 3 to run" in capsys.readouterr().err
    assert run([*QUICK, *SMALL, *words]) == 0
    assert "3 jobs: 3 done before, 0 to run" in capsys.readouterr().err
    assert len(store.read(tmp_path)) == 5  # each name has its row
    assert "\n3 jobs ok, " in (tmp_path / "README.md").read_text()
    assert "3 jobs: 3 ok" in maintenance.status(tmp_path)


def test_nearest_needs_its_library(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dtaidistance.dtw_cc", None)  # as if it were not installed
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path / "cache"))
    assert run([*QUICK, f"results={tmp_path}", f"dataset={GUN}", f"protocol.init_from=nearest:{ITALY}+{ARROW}"]) == 2
    assert "pip install 'tsfcn[dtw]'" in capsys.readouterr().err


def test_nearest_takes_the_dataset_whose_barycentres_are_nearest(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dtaidistance")
    words = (f"dataset={GUN}", f"protocol.init_from=nearest:{ITALY}+{ARROW}")
    for n_computed in (3, 0):  # then they are in the cache folder
        monkeypatch.setattr(transfer, "_KNOWN", {})
        records = trained(tmp_path, *words)
        assert capsys.readouterr().err.count("class barycentres are computed, once") == n_computed
    (pair,) = (record for record in records.values() if record.source)
    assert pair.settings["init_from"] == f"dataset:{ITALY}" and "init_from=nearest:" in pair.protocol


@pytest.mark.slow
def test_nearest_agrees_with_the_published_order(archive_root: Path, tmp_path: Path) -> None:
    """The nearest of five datasets in hfawaz/bigdata18 results/similar_datasets.csv at bf1bc3d7."""
    pytest.importorskip("dtaidistance")
    published = {
        "MoteStrain": ITALY,
        "SonyAIBORobotSurface1": "SonyAIBORobotSurface2",
        ITALY: "TwoLeadECG",
        "SonyAIBORobotSurface2": "SonyAIBORobotSurface1",
        "TwoLeadECG": ITALY,
    }
    words = (f"dataset={','.join(published)}", f"protocol.init_from=nearest:{'+'.join(published)}")
    records = trained(tmp_path, f"archive.root={archive_root}", *words)
    found = {record.dataset: record.settings["init_from"] for record in records.values() if record.source}
    assert found == {target: f"dataset:{source}" for target, source in published.items()}


def dtw_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Return the DTW distance of two series (n_timepoints, n_channels) by its recursion."""
    costs = np.full((len(a) + 1, len(b) + 1), np.inf)
    costs[0, 0] = 0
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            costs[i + 1, j + 1] = ((x - y) ** 2).sum() + min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
    return float(np.sqrt(costs[-1, -1]))


@pytest.mark.parametrize("n_channels", [1, 3])
def test_barycentres_and_their_distance(n_channels: int) -> None:
    """A class of one case is its own barycentre; a barycentre is nearer to its cases, by DTW, than their mean."""
    pytest.importorskip("dtaidistance")
    random = np.random.RandomState(0)
    x, y = random.randn(7, n_channels, 20).cumsum(axis=2), np.array([0, 0, 0, 0, 0, 0, 1])
    many, single = barycentres.class_barycentres(x, y)
    assert many.shape == single.shape == (20, n_channels) and np.allclose(single, x[6].T)

    def spread(centre: np.ndarray) -> float:
        return sum(dtw_by_hand(centre, case.T) ** 2 for case in x[:6])

    assert spread(many) < spread(x[:6].mean(axis=0).T)
    other = [random.randn(15, n_channels).cumsum(axis=0) for _ in range(2)]
    by_hand = min(dtw_by_hand(a, b) for a in (many, single) for b in other)
    assert barycentres.distance([many, single], other) == pytest.approx(by_hand)


# ---------------------------------------------------------------------------------------------------------------------
# Weights


@pytest.mark.parametrize("model", models.MODELS)
def test_the_head_is_what_depends_on_the_classes(model: str) -> None:
    assert registry.head(model, small_config(model), 1, 24, 2, 3) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_a_training_starts_from_the_source_with_a_new_head(engine: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Both engines get the weights of the source without its head, and all layers of the target have moved."""
    starts: list[training.Task] = []

    def noted(task: training.Task, *args: Any, **options: Any) -> Any:
        starts.append(task)
        return training.train(task, *args, **options)

    monkeypatch.setattr("tsfcn.jobs.run_job.train", noted)
    words = (f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}", f"engine.name={engine}", "save_weights=true")
    records = trained(tmp_path, *words)
    source, pair = records[ITALY, ""], records[GUN, f"dataset:{ITALY}"]
    assert pair.engine == engine and starts[0].start is None
    before, after = weights(tmp_path, source.key), weights(tmp_path, pair.key)
    start = require(starts[1].start).weights
    body = {name for name in before if not name.startswith("head") and not name.endswith("tracked")}
    assert set(start) == body and all(torch.equal(start[name], before[name]) for name in body)
    assert all(not torch.equal(after[name], before[name]) for name in body if "conv.bias" not in name)


def test_engines_agree_on_a_transfer_from_weights_of_the_reference_loop(tmp_path: Path) -> None:
    """Whose biases before batch norm are not zero: the fast engine moves them into the running means."""
    source = trained(tmp_path, f"dataset={ITALY}", "engine.name=reference", "save_weights=true", "protocol.epochs=3")
    assert weights(tmp_path, source[ITALY, ""].key)["blocks.0.conv.bias"].abs().max() > 0
    losses = []
    for engine in ("reference", "fast"):
        (tmp_path / engine).mkdir()
        (tmp_path / "weights").rename(tmp_path / engine / "weights")
        (tmp_path / "records").rename(tmp_path / engine / "records")
        words = (f"dataset={GUN}", f"protocol.init_from=dataset:{ITALY}", f"engine.name={engine}", "protocol.epochs=3")
        record = trained(tmp_path / engine, *words)[GUN, f"dataset:{ITALY}"]
        assert record.engine == engine
        losses.append((require(record.least_train_loss), require(record.train_cross_entropy)))
        (tmp_path / engine / "weights").rename(tmp_path / "weights")
        (tmp_path / engine / "records").rename(tmp_path / "records")
        for path in (tmp_path / "records").iterdir():
            lines = [line for line in path.read_text().splitlines() if "dataset:" not in json.loads(line)["protocol"]]
            path.write_text("".join(f"{line}\n" for line in lines))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_file_is_a_source_by_its_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is kept in the results folder, by its digest, also by gc; its name does not matter."""
    source = trained(tmp_path / "a", f"dataset={ITALY}", "save_weights=true")[ITALY, ""]
    path = artifacts.weights_path(tmp_path / "a", source.key)
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(path.read_bytes())
    results, key = tmp_path / "b", initial_weights.file_key(str(path))
    keys = []
    for file in (path, copy):
        records = trained(results, f"dataset={GUN}", f"protocol.init_from=weights:{file}")
        (record,) = records.values()
        assert record.source == {"key": key, "group": key} and f"init_from=weights:{key[:6]}" in record.protocol
        keys.append(record.key)
    assert keys[0] == keys[1]
    maintenance.gc(results, dry_run=False)
    assert artifacts.weights_path(results, key).read_bytes() == path.read_bytes()
    path.unlink()
    capsys.readouterr()
    assert run([*QUICK, f"results={results}", f"dataset={GUN}", f"protocol.init_from=weights:{copy}"]) == 2
    assert "are of fcn[filters=[4,5,6]], not fcn" in capsys.readouterr().err


def test_weights_of_another_job_in_the_place_of_a_source_are_refused(tmp_path: Path) -> None:
    records = trained(tmp_path, f"dataset={ITALY},{GUN}", "save_weights=true")
    files = [artifacts.weights_path(tmp_path, records[name, ""].key) for name in (ITALY, GUN)]
    files[0].write_bytes(files[1].read_bytes())
    assert run([*QUICK, *SMALL, f"results={tmp_path}", f"dataset={ARROW}", f"protocol.init_from=dataset:{ITALY}"]) == 1
    (record,) = (each for each in store.read(tmp_path) if each.dataset == ARROW)
    assert "are of another job or file" in record.reason


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    pickled, foreign = tmp_path / "w.pt", tmp_path / "f.safetensors"
    torch.save({"a": torch.zeros(1)}, pickled)
    save_file({"a": torch.zeros(1)}, foreign)
    for path, message in ((pickled, "pickle can run code"), (foreign, "not of tsfcn")):
        with pytest.raises(UserError, match=message):
            initial_weights.file_key(str(path))
