"""Jobs of dense labelling: their keys, their stages on disk, their records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import PROTOCOL, coffee_job, small_config, smoke_protocol, train
from tsfcn.common.errors import UserError
from tsfcn.config.segmentation import SegmentationConfig
from tsfcn.data import archive
from tsfcn.jobs import artifacts, cost, run_job, run_segmentation, store
from tsfcn.jobs.plan import Job, jobs
from tsfcn.jobs.record import job_from_json
from tsfcn.models import weights
from tsfcn.training import segmentation
from tsfcn.training.checkpoint import Stopped
from tsfcn.training.labeller import load_labeller

SIZES = {"filters": [3, 4, 4, 4, 4], "kernels": [3, 3, 3, 3, 3]}
GUNPOINT = "GunPoint"  # bundled: 50 training and 150 test cases of 150 timepoints


def job(model: str = "fcn_8s", seed: int = 0, epochs: int = 1, **changes: Any) -> Job:
    """Return a job on GunPoint with a small network, of one epoch a stage; `changes` to SegmentationConfig."""
    config = small_config(model, **(SIZES if model not in ("fcn", "resnet") else {}))
    planned = smoke_protocol(select="last", epochs=epochs)
    passports = {GUNPOINT: dict(archive.passport(GUNPOINT))}
    task = SegmentationConfig(**{"passes": 1, **changes})
    (made,) = jobs(passports, {model: config}, planned, planned, [seed], [0], segmentation=task)
    return made


def stage_keys(each: Job) -> list[str]:
    return [stage.key for stage in run_segmentation.stages(each)]


# ---------------------------------------------------------------------------------------------------------------------
# Keys


def test_a_job_without_a_task_has_the_content_of_before() -> None:
    assert "task" not in coffee_job().content
    assert (
        job_from_json({name: value for name, value in coffee_job().to_json().items() if name != "task"}) == coffee_job()
    )


@pytest.mark.parametrize("change", [{"gap": 0.1}, {"cases": 3}, {"labelling": "shift_and_stitch"}, {"sampling": 0.5}])
def test_the_key_follows_the_settings_of_the_task(change: dict[str, Any]) -> None:
    plain, other = job(), job(**change)
    assert plain.key != other.key and plain.group != other.group
    ((name, value),) = change.items()
    assert other.protocol == f"smoke[{', '.join(sorted(['passes=1', f'{name}={value}']))}]"


def test_the_key_follows_the_settings_of_the_stages_before() -> None:
    config = small_config("fcn_8s", **SIZES)
    passports = {GUNPOINT: dict(archive.passport(GUNPOINT))}
    keys = []
    for lr in (0.01, 0.02):
        planned = smoke_protocol(select="last")
        planned.models.block("fcn_32s").lr = lr
        (made,) = jobs(passports, {"fcn_8s": config}, planned, planned, [0], [0], segmentation=SegmentationConfig())
        keys.append(made.key)
    assert keys[0] != keys[1]


def test_the_estimate_follows_the_task_of_jobs_that_share_all_else() -> None:
    one = job("pooled_fcn", labelling="sliding")
    other = replace(one, task={**(one.task or {}), "labelling": "shift_and_stitch"})
    model = cost.Model()
    assert model.work(one).tolist() == cost.work(one).tolist() != cost.work(other).tolist()
    assert model.work(other).tolist() == cost.work(other).tolist()


def test_jobs_of_one_chain_share_their_stages() -> None:
    finest = stage_keys(job())
    assert len(set(finest)) == 5
    for model, n_stages in (("pooled_fcn", 1), ("fcn_32s_fixed", 2), ("fcn_32s", 3), ("fcn_16s", 4)):
        assert stage_keys(job(model)) == finest[:n_stages]
    assert stage_keys(job(labelling="shift_and_stitch")) == finest
    assert stage_keys(job(sampling=0.5))[0] == finest[0]  # the classifier is trained on cases
    assert not set(stage_keys(job(sampling=0.5))[1:]) & set(finest)
    assert not set(stage_keys(job(gap=0.1))) & set(finest) and not set(stage_keys(job(seed=1))) & set(finest)


# ---------------------------------------------------------------------------------------------------------------------
# Records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with a trained FCN-8s."""
    results = tmp_path_factory.mktemp("dense")
    assert train(job(), results).is_ok
    return results


def test_a_record_has_the_metrics_of_the_stored_predictions(folder: Path) -> None:
    (record,) = [each for each in store.read(folder) if each.model == job().model]
    probabilities, y_true, y_predicted = artifacts.read_predictions(folder, record.key, record.n_test, record.n_classes)
    assert artifacts.read_classes(folder, record.key, record.n_test, record.n_classes) == ["1", "2", "background"]
    found = segmentation.metrics(y_true.astype(np.int64), y_predicted.astype(np.int64), 3)
    assert (found.accuracy, found.mean_accuracy, found.mean_iu, found.frequency_weighted_iu) == (
        *(record.accuracy, record.balanced_accuracy, record.mean_iu, record.frequency_weighted_iu),
    )
    assert record.n_test == len(y_true) > 150 * 150 and probabilities.shape == (record.n_test, 3)
    assert (y_true != 2).sum() == 150 * 150  # each test case once
    assert record.median_segment == 150 and record.n_train == 5
    assert record.curve is not None and record.curve["epoch"] == [1]
    assert record.job == job() and record.job.key == record.key


def test_the_stages_that_are_there_are_not_trained_again(folder: Path) -> None:
    epochs: list[int] = []
    before = sorted(path.name for path in (folder / "stages").iterdir())
    assert before == sorted(f"{key}.safetensors" for key in stage_keys(job()))
    coarse = train(job("fcn_16s"), folder, progress=lambda *each: epochs.append(each[0]))
    assert coarse.is_ok and not epochs and sorted(path.name for path in (folder / "stages").iterdir()) == before
    assert not list((folder / "checkpoints").glob("*"))


def test_the_same_job_elsewhere_has_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    alone = train(job("fcn_32s"), tmp_path)
    beside = train(job("fcn_32s"), folder)
    assert (alone.accuracy, alone.mean_iu) == (beside.accuracy, beside.mean_iu)
    ours, theirs = (
        weights.read(path / "stages" / f"{stage_keys(job('fcn_32s'))[-1]}.safetensors")[1]
        for path in (tmp_path, folder)
    )
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("model", "labelling"),
    [("pooled_fcn", "sliding"), ("pooled_fcn", "shift_and_stitch"), ("fcn_8s", "shift_and_stitch")],
)
def test_the_ways_to_label_use_the_same_weights(folder: Path, model: str, labelling: str) -> None:
    record = train(job(model, labelling=labelling, window_step=50), folder)
    assert record.is_ok and record.mean_iu is not None and 0 < record.mean_iu < 1


def test_a_classifier_of_the_papers_labels_as_a_convolution(tmp_path: Path) -> None:
    record = train(job("resnet"), tmp_path)
    assert record.is_ok and record.n_classes == 3


@pytest.mark.parametrize(
    ("model", "labelling", "settings"),
    [
        ("fcn_8s", "network", {}),
        ("fcn_16s", "shift_and_stitch", {"normalisation": "train"}),
        ("pooled_fcn", "sliding", {"length": "cut"}),
        ("pooled_fcn", "network", {}),
        ("resnet", "network", {}),
    ],
)
def test_kept_weights_label_streams_as_the_job_did(
    tmp_path: Path, model: str, labelling: str, settings: dict[str, Any]
) -> None:
    made = job(model, labelling=labelling, epochs=8)
    made = replace(made, settings={**made.settings, **settings})
    record = train(made, tmp_path, save_weights=True)
    labeller = load_labeller(artifacts.weights_path(tmp_path, record.key))
    assert labeller.saved_.has_prepared_cases == (not settings.get("normalisation"))
    data = run_job.stream_data(made, None)
    streams = [x for x, _ in data.test]
    if settings.get("normalisation"):  # streams of the runner are scaled already
        preparation = data.preparation
        assert preparation.mean is not None and preparation.deviation is not None
        streams = [x * preparation.deviation[0] + preparation.mean[0] for x in streams]
    found = np.concatenate(labeller.predict_proba(streams))
    stored, _, y_predicted = artifacts.read_predictions(tmp_path, record.key, record.n_test, record.n_classes)
    np.testing.assert_allclose(found, stored, atol=1e-3)  # stored in float16
    if not settings.get("normalisation"):
        assert found.argmax(axis=1).tolist() == y_predicted.tolist()
    assert np.ptp(found[:, 0]) > 0.01


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ("fcn_8s", {"labelling": "sliding"}, "labelling=sliding is for classifiers, not for fcn_8s"),
        ("fcn", {"labelling": "shift_and_stitch"}, "is for networks with pooling, not for fcn"),
        ("pooled_fcn", {"labelling": "sliding", "window_step": 151}, "gaps between windows of 150 timepoints"),
        ("fcn_8s", {"cases": 1, "gap": 0.0, "truncate": 0.2}, "stream of 30 timepoints, fewer than the stride of 32"),
    ],
)
def test_what_cannot_be_labelled_fails_with_the_reason(
    tmp_path: Path, model: str, change: dict[str, Any], message: str
) -> None:
    truncate = change.pop("truncate", 1.0)
    made = job(model, **change)
    made = replace(made, settings={**made.settings, "truncate": truncate})
    record = train(made, tmp_path)
    assert record.status == "failed" and message in record.reason


def test_a_job_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = train(job("fcn_32s_fixed", epochs=4), tmp_path / "whole")
    calls = iter([False] * 5 + [True] * 99)
    with pytest.raises(Stopped):  # in the second stage, whose state is kept beside the first stage
        train(job("fcn_32s_fixed", epochs=4), tmp_path / "parts", stop=lambda: next(calls), checkpoint_seconds=0)
    assert len(list((tmp_path / "parts" / "stages").iterdir())) == 1
    assert len(list((tmp_path / "parts" / "checkpoints").iterdir())) == 1
    resumed = train(job("fcn_32s_fixed", epochs=4), tmp_path / "parts", checkpoint_seconds=0)
    assert (resumed.accuracy, resumed.train_cross_entropy) == (whole.accuracy, whole.train_cross_entropy)
    assert not list((tmp_path / "parts").glob("checkpoints/*"))


def test_a_damaged_stage_is_told(tmp_path: Path) -> None:
    assert train(job("pooled_fcn"), tmp_path).is_ok
    (path,) = (tmp_path / "stages").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    record = train(job("fcn_32s_fixed"), tmp_path)
    assert record.status == "failed" and str(path) in record.reason


# ---------------------------------------------------------------------------------------------------------------------
# Estimates


def test_finer_networks_are_estimated_to_take_longer_so_that_they_run_first() -> None:
    model = cost.Model()
    seconds = [model.seconds(job(each)) for each in ("fcn_32s_fixed", "fcn_32s", "fcn_16s", "fcn_8s")]
    assert seconds == sorted(seconds) and len(set(seconds)) == 4
    sizes = cost.sizes(job())
    assert (sizes.n_train, sizes.n_test, sizes.length) == (5, 15, 1875)


def test_a_stream_is_estimated_to_have_no_more_cases_than_there_are() -> None:
    assert cost.sizes(job(cases=10**12)) == cost.sizes(job(cases=150))
    assert cost.sizes(job(cases=10**12, passes=4)).length == cost.sizes(job(cases=200, passes=4)).length


def test_precisions_of_the_fast_engine_are_refused() -> None:
    arguments: tuple[Any, ...] = (
        {GUNPOINT: {}},
        {"fcn": small_config("fcn")},
        PROTOCOL,
        PROTOCOL,
        [0],
        [0],
        "bfloat16",
    )
    with pytest.raises(UserError, match=r"engine\.precision=bfloat16 is not for fcn"):
        jobs(*arguments, segmentation=SegmentationConfig())
    (made,) = jobs(*arguments, if_possible=True, segmentation=SegmentationConfig())
    assert made.precision == "float32"


def test_streams_of_a_job_follow_from_its_seed() -> None:
    first, again, other = (run_job.stream_data(job(seed=seed), None) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first.test, again.test, strict=True))
    assert not all(
        a.shape == b.shape and np.array_equal(a, b) for (a, _), (b, _) in zip(first.test, other.test, strict=True)
    )
