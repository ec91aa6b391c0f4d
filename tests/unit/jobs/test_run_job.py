"""One job from its names to its record, on a bundled dataset and on files that the test writes; two epochs each."""

from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import tsfcn
from tests.factories import ITALY, small_config, smoke_protocol, train, trainable_job
from tests.records import require
from tsfcn.config import models
from tsfcn.data import archive, preprocess
from tsfcn.jobs import artifacts, plan, run_job, store
from tsfcn.models import registry
from tsfcn.training import loop, predict, reference
from tsfcn.training.checkpoint import State, Stopped, write_state


def arrays_of(made: plan.Job, root: Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the test cases and their classes as the job prepares them."""
    data = run_job.prepare(archive.load(made.dataset, root), made)
    return torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)


# ---------------------------------------------------------------- a job that goes well


@pytest.mark.parametrize("model", models.MODELS)
def test_a_job_from_end_to_end(model: str, tmp_path: Path) -> None:
    made = trainable_job(model, seed=4)
    said: list[tuple[int, int, float]] = []
    record = train(made, tmp_path, save_weights=True, progress=lambda *now: said.append(now))
    n_fits = 2 if "lstm" in model else 1
    assert [epoch for epoch, _, _ in said] == list(range(1, 2 * n_fits + 1))

    assert (record.status, record.reason) == ("ok", "")
    assert (record.key, record.group) == (made.key, made.group)
    assert (record.dataset, record.architecture, record.seed, record.resample) == (ITALY, model, 4, 0)
    assert record.passport == made.passport and record.settings == made.settings
    assert (record.n_train, record.n_test, record.n_classes, record.n_timepoints) == (67, 1029, 2, 24)
    assert (record.n_filled, record.n_padded, record.n_cut, record.batch) == (0, 0, 0, 32)
    engine = "fast" if model in ("fcn", "lstm_fcn", "alstm_fcn") else "reference"
    assert (record.device, record.engine, record.precision) == ("cpu", engine, "float32")
    assert record.meaning == plan.MEANING and record.off_paper and not record.test_selected
    assert record.versions.keys() == {"tsfcn", "python", "torch", "numpy"}
    assert record.versions["tsfcn"] == tsfcn.__version__ and record.versions["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.finished)
    assert record.hardware and re.fullmatch(r"([0-9a-f]{40}(\+changes)?)?", record.commit)
    assert 0 < require(record.train_seconds) < require(record.job_seconds)
    assert 0 < require(record.test_seconds) < require(record.job_seconds)
    assert require(record.train_processor_seconds) > 0 and require(record.test_processor_seconds) > 0
    assert 2**24 < require(record.peak_memory_bytes) < 2**37
    assert (record.accuracy_selected, record.accuracy_test_oracle) == (None, None)
    assert record.accuracy == record.accuracy_least_train_loss
    curve = require(record.curve)
    assert curve["epoch"] == [1, 2] and curve["lr"] == [0.001, 0.001]
    assert record.least_train_loss == pytest.approx(min(curve["loss"]), rel=1e-5)
    assert record.best_epoch == 1 + curve["loss"].index(min(curve["loss"]))
    if "lstm" in model:
        cells = require(record.cells)
        assert [tried["cells"] for tried in cells] == [3, 5]
        best = min(cells, key=lambda tried: float(tried["train_cross_entropy"]))
        assert record.chosen_cells == best["cells"]
        assert record.train_cross_entropy == best["train_cross_entropy"]
        assert record.accuracy == best["accuracy"]
        for tried in cells:  # as if it had been the only one
            alone = train(trainable_job(model, seed=4, cells=(tried["cells"],)), tmp_path / "alone")
            assert tried == require(alone.cells)[0] and alone.accuracy == tried["accuracy"]
    else:
        assert (record.cells, record.chosen_cells) == ([], None)

    # On disk stands the same record, and the predictions give its numbers again.
    (written,) = store.read(tmp_path)
    assert written == record
    with np.load(artifacts.predictions_path(tmp_path, made.key), allow_pickle=False) as kept:
        assert set(kept.files) == {"probabilities", "y_true", "y_pred", "classes"}
        probabilities, y_true, y_pred = kept["probabilities"], kept["y_true"], kept["y_pred"]
        assert kept["classes"].tolist() == ["1", "2"]
    assert probabilities.dtype == np.float16 and probabilities.shape == (1029, 2)
    np.testing.assert_allclose(probabilities.astype(float).sum(axis=1), 1, atol=2e-3)
    assert record.accuracy == pytest.approx((y_true == y_pred).mean(), abs=1e-12)
    recalls = [(y_pred[y_true == label] == label).mean() for label in (0, 1)]
    assert record.balanced_accuracy == pytest.approx(np.mean(recalls), abs=1e-12)
    picked = probabilities.astype(float)[np.arange(1029), y_true]
    assert record.cross_entropy == pytest.approx(-np.log(np.maximum(picked, 1e-4)).mean(), rel=0.01)

    # The weights reproduce the predictions, in a network that is built from what the files themselves say.
    path = artifacts.weights_path(tmp_path, made.key)
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    assert about["tsfcn"] == tsfcn.__version__ and about["classes"].split("\n") == ["1", "2"]
    assert (about["key"], about["dataset"], about["seed"], about["resample"]) == (made.key, ITALY, "4", "0")
    assert (about["model"], about["protocol"]) == (made.model, made.protocol)
    assert int(about["cells"]) == (record.chosen_cells or 0)
    network, told = tsfcn.load_network(path)
    assert told["settings"] == made.settings and told["classes"] == ["1", "2"] and not network.training
    assert registry.n_parameters(network) == record.n_parameters
    x_test, y_test = arrays_of(made)
    again = predict.predict(network, x_test)
    assert y_test.tolist() == y_true.tolist()
    assert again.argmax(dim=1).tolist() == y_pred.tolist()
    np.testing.assert_array_equal(again.exp().numpy().astype(np.float16), probabilities)
    assert predict.cross_entropy(again, y_test) == pytest.approx(record.cross_entropy, abs=1e-12)


def test_the_same_job_gives_the_same_numbers_and_leaves_the_threads_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        records = [train(trainable_job("lstm_fcn"), tmp_path / name) for name in ("one", "two")]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    numbers = [
        {name: value for name, value in fields.items() if name in ("curve", "cells", "n_parameters", "best_epoch")}
        | {name: value for name, value in fields.items() if "accuracy" in name or "cross_entropy" in name}
        for fields in map(asdict, records)
    ]
    assert numbers[0] == numbers[1] and len(numbers[0]) > 10


PROBES: list[dict[str, Any]] = [{"truncate": 0.5}, {"permute_time": 3}, {"noise": 0.5}, {"test_noise": 0.5}]


@pytest.mark.parametrize("probe", PROBES, ids=str)
@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
def test_a_probe_of_the_data_changes_the_arrays_and_the_numbers(
    model: str, probe: dict[str, Any], tmp_path: Path
) -> None:
    plain, probed = trainable_job(model, resample=2), trainable_job(model, resample=2, **probe)
    before, after = (run_job.prepare(archive.load(ITALY), made) for made in (plain, probed))
    assert before.y_test.tolist() == after.y_test.tolist()  # the same resample
    trains_on_others = "test_noise" not in probe
    assert np.array_equal(before.x_train, after.x_train) != trains_on_others
    assert not np.array_equal(before.x_test, after.x_test)
    records = [train(made, tmp_path) for made in (plain, probed)]
    assert [record.status for record in records] == ["ok", "ok"]
    assert records[1].settings == {**records[0].settings, **probe} and records[0].key != records[1].key
    assert records[1].n_timepoints == (12 if "truncate" in probe else 24)
    assert records[1].engine == records[0].engine == "fast"
    assert (records[0].curve != records[1].curve) == trains_on_others
    assert records[0].cross_entropy != records[1].cross_entropy


def test_noise_is_drawn_from_the_seed_of_the_job_for_every_network() -> None:
    def noisy(model: str, seed: int) -> preprocess.Arrays:
        return run_job.prepare(archive.load(ITALY), trainable_job(model, seed=seed, noise=0.5))

    np.testing.assert_array_equal(noisy("fcn", 1).x_test, noisy("mlp", 1).x_test)
    assert not np.array_equal(noisy("fcn", 1).x_test, noisy("fcn", 2).x_test)


def test_a_network_without_order_in_time_does_not_see_a_permutation(tmp_path: Path) -> None:
    """With kernels of one timepoint and global pooling: the training is the same but for rounding."""
    changes: dict[str, Any] = {"model_changes": {"kernels": [1, 1, 1]}, "epochs": 20}
    plain, permuted = (train(trainable_job(**changes, permute_time=seed), tmp_path) for seed in (None, 5))
    losses = [require(record.curve)["loss"] for record in (plain, permuted)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and losses[0][-1] < losses[0][0]
    assert plain.accuracy == pytest.approx(permuted.accuracy, abs=0.01)
    wide = [train(trainable_job(epochs=20, permute_time=seed), tmp_path) for seed in (None, 5)]
    losses = [require(record.curve)["loss"] for record in wide]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_a_resample_and_another_seed_are_other_jobs_with_other_numbers(tmp_path: Path) -> None:
    jobs = [trainable_job(), trainable_job(resample=1), trainable_job(seed=1)]
    records = [train(made, tmp_path) for made in jobs]
    assert len({made.key for made in jobs}) == 3
    assert len({made.group for made in jobs}) == 2 and jobs[0].group == jobs[2].group
    assert len({record.least_train_loss for record in records}) == 3
    assert [record.key for record in store.read(tmp_path)] == [made.key for made in jobs]  # one file, three lines


@pytest.mark.parametrize(
    ("select", "validation", "field"),
    [
        ("least_train_loss", 0.2, "accuracy_least_train_loss"),
        ("last", 0.0, "accuracy_last"),
        ("validation", 0.2, "accuracy_selected"),
        ("test_oracle", 0.0, "accuracy_test_oracle"),
    ],
)
def test_the_accuracy_is_that_of_the_selected_weights(
    select: str, validation: float, field: str, tmp_path: Path
) -> None:
    made = trainable_job(select=select, validation=validation, epochs=6, lr=0.02)
    record = train(made, tmp_path, save_weights=True)
    assert record.accuracy == getattr(record, field)
    assert record.test_selected == (select == "test_oracle")
    assert (record.accuracy_test_oracle is not None) == (select == "test_oracle")
    assert (record.accuracy_selected is not None) == (validation > 0)
    assert record.n_train == 67
    if select == "last":
        assert record.best_epoch == 6
    network = registry.build("fcn", made.model_config(), 1, 24, 2, 0)
    network.load_state_dict(load_file(artifacts.weights_path(tmp_path, made.key)))
    x_test, y_test = arrays_of(made)
    assert predict.accuracy(predict.predict(network, x_test), y_test) == record.accuracy


def test_the_batch_of_a_job_with_held_out_cases_counts_the_fitted_ones(tmp_path: Path) -> None:
    # Of 34 and 33 cases 7 and 7 are held out: 53 are fitted, a tenth of them is 5.
    assert train(trainable_job(validation=0.2, batch_divisor=10), tmp_path).batch == 5
    assert train(trainable_job(batch_divisor=10), tmp_path).batch == 6


def test_a_long_curve_is_thinned_to_two_hundred_points_with_both_ends_and_the_best() -> None:
    loss = [1.0 + epoch for epoch in range(3000)]
    loss[1234] = 0.5
    thinned = run_job.thin(loop.Curve(loss, [0.1] * 3000), best_epoch=1235)
    assert len(thinned["epoch"]) == len(thinned["loss"]) == len(thinned["lr"]) <= 200
    assert (thinned["epoch"][0], thinned["epoch"][-1]) == (1, 3000)
    assert thinned["epoch"] == sorted(set(thinned["epoch"])) and max(np.diff(thinned["epoch"])) <= 16
    assert dict(zip(thinned["epoch"], thinned["loss"], strict=True))[1235] == 0.5
    assert run_job.thin(loop.Curve([3.0, 2.0, 1.0], [0.1] * 3), best_epoch=3)["epoch"] == [1, 2, 3]


# ---------------------------------------------------------------- processor time


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins the job and its neighbour to one core")
def test_a_busy_process_on_the_same_core_doubles_the_wall_time_and_not_the_processor_time(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    made = trainable_job(epochs=150)
    train(trainable_job(), tmp_path / "warm")  # what is loaded and compiled at first is not compared
    quiet = [train(made, tmp_path / f"quiet{number}") for number in range(4)]
    try:
        os.sched_setaffinity(0, {min(cores)})  # of this thread, and of the process that it starts
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
            try:
                beside = [train(made, tmp_path / f"beside{number}") for number in range(4)]
            finally:
                neighbour.kill()
    finally:
        os.sched_setaffinity(0, cores)
    waited = [require(record.train_seconds) / require(record.train_processor_seconds) for record in beside]
    assert max(waited) > 1.5
    # A core that shares its units with a busy one computes at half its speed for a while: the least of each counts.
    least_beside = min(require(record.train_processor_seconds) for record in beside)
    assert least_beside < 1.6 * min(require(record.train_processor_seconds) for record in quiet)


def test_a_busy_thread_of_the_same_process_does_not_count_under_the_clock_of_the_thread(tmp_path: Path) -> None:
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            sum(range(1000))

    neighbour = threading.Thread(target=spin)
    before = time.process_time()
    neighbour.start()
    try:
        record = train(trainable_job(epochs=100), tmp_path, clock=time.thread_time)
    finally:
        ended.set()
        neighbour.join()
    of_both = time.process_time() - before
    taken = require(record.train_processor_seconds) + require(record.test_processor_seconds)
    assert 0 < taken < 0.75 * of_both


def stopped_job(results: Path, after: int) -> tuple[plan.Job, Path]:
    """Train a job of six epochs until `after` of them are done; return it and the path of its checkpoint."""
    made = trainable_job(epochs=6)
    epochs: list[int] = []
    with pytest.raises(Stopped):
        train(
            *(made, results),
            progress=lambda epoch, n_epochs, loss: epochs.append(epoch),
            stop=lambda: len(epochs) >= after,
        )
    return made, artifacts.checkpoint_path(results, made.key)


def read_state(path: Path) -> State:
    """Return the state of a checkpoint, without a check of its digest."""
    state: State = torch.load(io.BytesIO(path.read_bytes().partition(b"\n")[2]), weights_only=True)
    return state


def rewrite_state(path: Path, state: State) -> None:
    """Put another state into a checkpoint, with its digest."""
    with path.open("wb") as file:
        write_state(state, file)


def test_a_resumed_job_adds_the_processor_time_of_earlier_processes(tmp_path: Path) -> None:
    made, path = stopped_job(tmp_path, 3)
    state = read_state(path)
    assert 0 < state["processor_seconds"] < 60
    rewrite_state(path, state | {"processor_seconds": state["processor_seconds"] + 1000})
    record = train(made, tmp_path)
    assert record.resumed_epochs == [3]
    assert 1000 + state["processor_seconds"] < require(record.train_processor_seconds) < 1060
    assert 0 < require(record.train_seconds) < 60


def test_a_checkpoint_without_processor_time_is_resumed_and_the_job_counts_with_its_wall_time(tmp_path: Path) -> None:
    made, path = stopped_job(tmp_path, 3)
    state = read_state(path)
    del state["processor_seconds"]
    rewrite_state(path, state)
    with pytest.raises(Stopped):  # another state that does not know it
        train(made, tmp_path, stop=lambda: True)
    record = train(made, tmp_path)
    assert record.resumed_epochs == [3, 4]
    assert record.train_processor_seconds is None and require(record.test_processor_seconds) > 0
    assert record.seconds("train") == record.train_seconds
    assert record.seconds("test") == record.test_processor_seconds


# ---------------------------------------------------------------- data of the user's own


def write(root: Path, name: str, train_rows: list[list[float]], test_rows: list[list[float]]) -> None:
    """Write a dataset in the 2018 layout: a row a case, its label first."""
    (root / name).mkdir(parents=True, exist_ok=True)
    for part, rows in (("TRAIN", train_rows), ("TEST", test_rows)):
        text = "".join("\t".join(f"{value:g}" for value in row) + "\n" for row in rows)
        (root / name / f"{name}_{part}.tsv").write_text(text)


NAN = math.nan
WAVES = [[label, *(math.sin(label * t + phase) for t in range(12))] for phase in (0, 1, 2) for label in (1.0, 2.0)]


def test_a_network_of_fixed_length_cuts_longer_test_cases_and_the_record_counts_them(tmp_path: Path) -> None:
    longer = [[1.0, *range(15)], [2.0, *range(12), *[math.nan] * 3], [1.0, *range(9), *[math.nan] * 6]]
    write(tmp_path, "Mine", [[*row, *[math.nan] * 3] for row in WAVES], longer)
    cut = train(trainable_job("mlp", dataset="Mine", root=tmp_path), tmp_path / "r", root=str(tmp_path))
    assert (cut.status, cut.reason) == ("ok", "")
    assert (cut.n_timepoints, cut.n_cut, cut.n_padded, cut.n_filled) == (12, 1, 1, 0)
    whole = train(trainable_job("fcn", dataset="Mine", root=tmp_path), tmp_path / "r", root=str(tmp_path))
    assert (whole.n_timepoints, whole.n_cut, whole.n_padded, whole.n_filled) == (12, 0, 1, 0)


# The longest training case has 12 timepoints, the shortest 2; one misses a value. A test case has 14, another one 1.
UNEQUAL = [
    [[*row[: 1 + n], *[NAN] * (14 - n)] for n, row in zip((12, 2, 7, 12, 9, 5), WAVES, strict=True)],
    [[1.0, *range(14)], [2.0, 0.5, *[NAN] * 13], [1.0, *range(9), *[NAN] * 5]],
]
UNEQUAL_HEADER = "@problemName Mine\n@univariate true\n@classLabel true 1 2\n@data\n"


def write_ts(root: Path, name: str) -> None:
    """Write UNEQUAL as .ts files, which say where a case ends, with a missing value in the first training case."""
    (root / name).mkdir(parents=True)
    for part, rows in zip(("TRAIN", "TEST"), UNEQUAL, strict=True):
        lines = [[f"{value:g}" for value in row if not math.isnan(value)] for row in rows]
        if part == "TRAIN":
            lines[0][4] = "?"
        text = "".join(f"{','.join(line[1:])}:{line[0]}\n" for line in lines)
        (root / name / f"{name}_{part}.ts").write_text(UNEQUAL_HEADER + text)


@pytest.mark.parametrize("missing", ["zero", "interpolate"])
@pytest.mark.parametrize(
    ("length", "model", "n_timepoints", "counts"),  # n_padded, n_cut, n_masked
    [
        ("pad", "fcn", 12, (4 + 2, 0, 0)),
        ("pad", "lstm_fcn", 12, (4 + 2, 1, 0)),
        ("cut", "fcn", 2, (1, 5 + 2, 0)),
        ("cut", "mlp", 2, (1, 5 + 2, 0)),
        ("cut", "lstm_fcn", 2, (1, 5 + 2, 0)),
        ("mask", "fcn", 12, (0, 0, 4 + 2)),
        ("mask", "resnet", 12, (0, 0, 4 + 2)),
        ("mask", "lstm_fcn", 12, (4 + 2, 1, 4 + 2)),
        ("mask", "alstm_fcn", 12, (4 + 2, 1, 4 + 2)),
    ],
)
def test_the_record_names_the_policies_and_counts_what_they_touched(
    length: str, model: str, n_timepoints: int, counts: tuple[int, int, int], missing: str, tmp_path: Path
) -> None:
    write_ts(tmp_path, "Mine")
    made = trainable_job(model, dataset="Mine", root=tmp_path, length=length, missing=missing, batch_size=4)
    record = train(made, tmp_path / "r", root=str(tmp_path), save_weights=True)
    assert (record.status, record.reason) == ("ok", "")
    assert (record.settings["length"], record.settings["missing"]) == (length, missing)
    n_filled = 0 if length == "cut" else 1  # the missing value is the fourth
    assert (record.n_timepoints, record.n_filled) == (n_timepoints, n_filled)
    assert (record.n_padded, record.n_cut, record.n_masked) == counts
    plain = trainable_job(model, dataset="Mine", root=tmp_path, batch_size=4)
    assert (made.key == plain.key) == ((length, missing) == ("pad", "zero"))


def test_a_masked_job_trains_each_case_at_its_own_length(tmp_path: Path) -> None:
    write_ts(tmp_path, "Mine")
    losses = []
    for length in ("mask", "pad"):
        made = trainable_job(dataset="Mine", root=tmp_path, length=length, batch_size=4)
        data = run_job.prepare(archive.load("Mine", tmp_path), made)
        x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
        ends = torch.tensor([12, 2, 7, 12, 9, 5]) if length == "mask" else None
        fit = reference.fit("fcn", made.model_config(), made.resolved(), x, y, 2, 0, lengths=ends)
        record = train(made, tmp_path / "r", root=str(tmp_path))
        assert require(record.curve)["loss"] == pytest.approx(fit.curve.loss, rel=1e-5)
        losses.append(record.least_train_loss)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
def test_a_masked_job_can_be_predicted_again_from_its_files(model: str, tmp_path: Path) -> None:
    write_ts(tmp_path, "Mine")
    made = trainable_job(model, dataset="Mine", root=tmp_path, length="mask", select="last", epochs=20)
    record = train(made, tmp_path / "r", root=str(tmp_path), save_weights=True)
    n_timepoints = require(record.n_timepoints)
    network = registry.build(model, made.model_config(), 1, n_timepoints, 2, record.chosen_cells or 0)
    network.load_state_dict(load_file(artifacts.weights_path(tmp_path / "r", made.key)))
    data = run_job.prepare(archive.load("Mine", tmp_path), made)
    x = torch.from_numpy(data.x_test)
    alone = [predict.predict(network, x[i : i + 1, :, :n], torch.tensor([n])) for i, n in enumerate((14, 1, 9))]
    with np.load(artifacts.predictions_path(tmp_path / "r", made.key)) as kept:
        np.testing.assert_allclose(kept["probabilities"], torch.cat(alone).exp().numpy(), atol=1e-3)


def test_a_policy_stands_in_the_label_where_it_is_not_the_protocols_own(tmp_path: Path) -> None:
    write_ts(tmp_path, "Mine")
    passports = {"Mine": dict(archive.passport("Mine", tmp_path))}
    changed = smoke_protocol(length="mask", missing="interpolate")
    (made,) = plan.jobs(passports, {"fcn": small_config("fcn")}, changed, smoke_protocol(), [0], [0])
    assert made.protocol == "smoke[length=mask, missing=interpolate]" and made.off_paper


EDGES = {
    "a training case without any value": ([[1.0, *[NAN] * 6], *[row[:7] for row in WAVES[1:]]], WAVES),
    "a test case without any value": (WAVES, [[1.0, *[NAN] * 12], *WAVES[1:]]),
    "a constant series in both": ([[1.0, *[0.1] * 12], *WAVES[1:]], [[2.0, *[0.1] * 12], *WAVES[1:]]),
    "a class in the test set only": (WAVES, [[3.0, *range(12)], *WAVES]),
    "two training cases, fewer than a batch": (WAVES[:2], WAVES),
    "a last batch of one case": (WAVES[:5], WAVES),
    "one timepoint": ([row[:2] for row in WAVES], [row[:2] for row in WAVES]),
    "two timepoints": ([row[:3] for row in WAVES], [row[:3] for row in WAVES]),
    "two timepoints but for one case": (
        [[*row[:3], *[NAN] * 10] if i else row for i, row in enumerate(WAVES)],
        [[*row[:2], *[NAN] * 11] for row in WAVES],
    ),
}


@pytest.mark.parametrize("length", ["pad", "cut", "mask"])
@pytest.mark.parametrize("name", sorted(EDGES))
def test_odd_data_trains_under_every_policy(name: str, length: str, tmp_path: Path) -> None:
    train_rows, test_rows = EDGES[name]
    width = max(map(len, [*train_rows, *test_rows]))
    rows = [[[*row, *[NAN] * (width - len(row))] for row in part] for part in (train_rows, test_rows)]
    write(tmp_path, "Mine", *rows)
    masking = ("fcn", "lstm_fcn", "resnet", "inception", "lite", "mlstm_fcn")
    for model in (*masking, *(["mlp"] if length != "mask" else [])):
        made = trainable_job(model, dataset="Mine", root=tmp_path, length=length, batch_size=4)
        record = train(made, tmp_path / "r", root=str(tmp_path))
        assert (record.status, record.reason) == ("ok", ""), model
        assert 0 <= record.accuracy <= 1 and math.isfinite(require(record.cross_entropy))
        assert record.n_classes == (3 if "class" in name else 2)


@pytest.mark.parametrize(("batch_size", "n_timepoints"), [(1, 1), (1, 2), (4, 1)])
@pytest.mark.parametrize("model", models.MODELS)
def test_batches_of_a_single_value_train(model: str, batch_size: int, n_timepoints: int, tmp_path: Path) -> None:
    rows = [row[: 1 + n_timepoints] for row in WAVES[:5]]
    write(tmp_path, "Mine", rows, rows)
    short = {"filters": [4], "kernels": [3]} if model == "encoder" else {}  # else it halves the length twice
    data: dict[str, Any] = {"dataset": "Mine", "root": tmp_path, "normalisation": "none"}
    made = trainable_job(model, model_changes=short, batch_size=batch_size, **data)
    record = train(made, tmp_path / "r", root=str(tmp_path))
    assert (record.status, record.reason) == ("ok", "")


def test_series_that_the_encoder_cannot_halve_twice_are_refused(tmp_path: Path) -> None:
    rows = [row[:3] for row in WAVES]
    write(tmp_path, "Mine", rows, rows)
    record = train(trainable_job("encoder", dataset="Mine", root=tmp_path), tmp_path / "r", root=str(tmp_path))
    assert record.status == "failed"
    assert record.reason == "series of 2 timepoints are too short for encoder: give 4 or more"


def test_a_training_set_of_one_class_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "Mine", WAVES[::2], WAVES)
    record = train(trainable_job(dataset="Mine", root=tmp_path), tmp_path / "r", root=str(tmp_path))
    assert record.status == "failed"
    assert record.reason == "the training set is of one class, '1': a classifier needs two or more"


def test_a_training_set_without_any_value_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "Mine", [[row[0], *[NAN] * 12] for row in WAVES], WAVES)
    for length in ("pad", "cut", "mask"):
        record = train(trainable_job(dataset="Mine", root=tmp_path, length=length), tmp_path / "r", root=str(tmp_path))
        assert record.status == "failed"
        assert record.reason == "the training set is without any value: there is nothing to learn from"


def test_a_dataset_that_changed_since_the_plan_is_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path, "Mine", WAVES, WAVES)
    made = trainable_job(dataset="Mine", root=tmp_path)
    assert train(made, tmp_path / "before", root=str(tmp_path)).status == "ok"
    write(tmp_path, "Mine", WAVES, [*WAVES[:-1], [2.0, *range(12)]])  # one test case
    record = train(made, tmp_path / "after", root=str(tmp_path))
    assert record.status == "failed"
    assert record.reason == "dataset 'Mine' has changed since the run was planned: start the run again"
    assert not list((tmp_path / "after").glob("predictions/*"))


# ---------------------------------------------------------------- jobs that do not go well


def test_a_dataset_that_is_gone_fails_with_the_way_to_get_it(tmp_path: Path) -> None:
    made = trainable_job()
    gone = plan.Job(**{**made.to_json(), "dataset": "Coffee"})
    record = train(gone, tmp_path)
    assert record.status == "failed" and "Coffee" in record.reason and "TSFCN_ARCHIVE" in record.reason


def test_attention_that_cannot_fit_is_skipped_with_the_figure(tmp_path: Path) -> None:
    write(tmp_path, "Mine", [[label, *range(20_000)] for label in (1.0, 2.0)], [[1.0, *range(20_000)]])
    made = trainable_job("alstm_fcn", dataset="Mine", root=tmp_path, model_changes={"shuffle": False, "cells": 10**4})
    record = train(made, tmp_path, root=str(tmp_path))
    assert record.status == "skipped" and "accuracy" not in record.to_json()
    found = re.match(
        r"attention over 20000 timepoints needs about ([\d.]+) GiB for a batch of 2, ([\d.]+) GiB are free for it: "
        r"use a smaller protocol\.batch_size, fewer executor\.workers, or the dimension shuffle$",
        record.reason,
    )
    assert found, record.reason
    # A tanh of 10^4 values and a softmax for each pair of 20,000 timepoints and each of two cases, float32.
    assert float(found[1]) == pytest.approx(2 * 20_000 * 20_000 * 1e4 * 4 / 2**30, rel=0.01)
    assert 0 < float(found[2]) < float(found[1])
    assert store.read(tmp_path)[0].status == "skipped"


def test_attention_that_fits_is_trained(tmp_path: Path) -> None:
    record = train(trainable_job("alstm_fcn", model_changes={"shuffle": False}), tmp_path)
    assert (record.status, record.reason) == ("ok", "")


def test_a_diverged_job_fails_with_its_reason(tmp_path: Path) -> None:
    record = train(trainable_job("mlp", lr=1e30, epochs=9), tmp_path)
    assert record.status == "failed"
    assert re.match(r"training loss is (nan|inf) in epoch \d: try a smaller protocol\.lr", record.reason)
    assert not list(tmp_path.glob("predictions/*"))


def test_a_job_whose_last_step_ruined_the_weights_fails_with_its_reason(tmp_path: Path) -> None:
    """One step an epoch: the loss of the only epoch was finite, what its weights predict is not."""
    record = train(trainable_job("mlp", lr=1e30, epochs=1, batch_size=128), tmp_path)
    assert record.status == "failed" and "protocol.lr" in record.reason
    assert store.read(tmp_path)[0].status == "failed"


def test_an_error_of_any_kind_becomes_a_failed_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(epoch: int, epochs: int, loss: float) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    record = train(trainable_job(), tmp_path, progress=broken)
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: first line")
    assert "Traceback" in capsys.readouterr().err
    assert store.read(tmp_path)[0].reason == record.reason
    assert not list(tmp_path.glob("predictions/*"))


@pytest.mark.parametrize("error", [MemoryError("so much"), RuntimeError("DefaultCPUAllocator: not enough memory: 9")])
def test_running_out_of_memory_is_named_as_such(error: Exception, tmp_path: Path) -> None:
    def full(epoch: int, epochs: int, loss: float) -> None:
        raise error

    record = train(trainable_job(), tmp_path, progress=full)
    assert record.status == "failed"
    assert record.reason == f"out of memory: {error}; use fewer executor.workers"


def test_ctrl_c_is_no_failure_and_leaves_no_record(tmp_path: Path) -> None:
    def stop(epoch: int, epochs: int, loss: float) -> None:
        raise KeyboardInterrupt

    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        train(trainable_job(), tmp_path, progress=stop)
    assert torch.get_num_threads() == before
    assert store.read(tmp_path) == []


def test_a_full_disk_is_told_and_not_taken_for_the_jobs_failure(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file where the folder belongs")
    with pytest.raises(OSError, match="records"):
        train(trainable_job(), tmp_path)
