"""Jobs of classifiers of a library: their keys, names and settings, and one from its plan to its record."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import ITALY, protocol, smoke_protocol, train
from tests.records import require
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.libraries import LibraryConfig
from tsfcn.config.protocol import ProtocolConfig
from tsfcn.data import archive
from tsfcn.jobs import artifacts, cost, store
from tsfcn.jobs.plan import Job, jobs

NAME = f"sktime.SummaryClassifier+{metadata.version('sktime')}"
AS_IT_IS = protocol(normalisation="none")


def planned(
    params: dict[str, Any] | None = None,
    *,
    changed: ProtocolConfig = AS_IT_IS,
    unchanged: ProtocolConfig = AS_IT_IS,
    estimator: str = "SummaryClassifier",
    **options: Any,
) -> Job:
    """Return the job of a classifier on ITALY, with parameters where they are not its defaults."""
    config = {"sktime": LibraryConfig(estimator, params or {})}
    (job,) = jobs({ITALY: dict(archive.passport(ITALY, None))}, config, changed, unchanged, [3], [0], **options)
    return job


def test_a_job_from_end_to_end(tmp_path: Path) -> None:
    job = planned({"summary_functions": ["mean", "std"]})
    record = train(job, tmp_path)
    assert (record.status, record.reason, record.engine, record.device) == ("ok", "", "sktime", "cpu")
    assert record.model == f"{NAME}[summary_functions=[mean,std]]" and record.off_paper and not record.test_selected
    assert record.code == {"package": "sktime", "version": metadata.version("sktime")}
    assert record.settings == {"normalisation": "none", "missing": "zero", "length": "pad"}
    assert (record.n_train, record.n_test, record.n_classes, record.n_timepoints) == (67, 1029, 2, 24)
    assert (record.curve, record.n_parameters, record.batch, record.best_epoch) == (None, None, None, None)
    assert 0 < require(record.train_seconds) < require(record.job_seconds)
    assert 0 < require(record.test_seconds) < require(record.job_seconds)

    probabilities, y_true, predicted = artifacts.read_predictions(tmp_path, job.key, 1029, 2)
    assert record.accuracy == (predicted == y_true).mean() > 0.6  # the larger class has 0.5015
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(1029))
    assert record.balanced_accuracy == pytest.approx(
        np.mean([(predicted == y_true)[y_true == c].mean() for c in (0, 1)])
    )
    (read,) = store.read(tmp_path)
    assert read.job == job and read.key == record.key


def test_training_values_have_no_effect_on_the_key_and_settings_of_the_data_do() -> None:
    job = planned()
    assert planned(changed=replace(AS_IT_IS, epochs=7)).key == job.key
    normalised = planned(changed=replace(AS_IT_IS, normalisation="series"))
    assert normalised.key != job.key and normalised.protocol == "tiny[normalisation=series]"
    assert (
        planned(changed=smoke_protocol(normalisation="none"), unchanged=smoke_protocol(normalisation="none")).key
        == job.key
    )


def test_parameters_and_the_version_of_the_library_are_in_the_key() -> None:
    job = planned()
    assert (job.model, job.library) == (NAME, "sktime")
    assert planned({"n_jobs": 1}).key != job.key and planned({"n_jobs": 1}).model == f"{NAME}[n_jobs=1]"
    assert replace(job, code={"package": "sktime", "version": "0.1"}).key != job.key


def test_a_classifier_has_one_precision() -> None:
    for precision in ("bfloat16", "float64"):
        with pytest.raises(UserError, match=f"^engine.precision={precision} is not for sktime"):
            planned(precision=precision)
        assert planned(precision=precision, if_possible=True).key == planned().key


def test_a_job_that_fails_is_recorded_with_its_reason(tmp_path: Path) -> None:
    record = train(planned({"summary_functions": ["mode"]}), tmp_path)
    assert record.status == "failed" and record.reason.startswith("ValueError: summary_function must be")


def test_another_version_of_the_library_than_in_the_plan_is_refused(tmp_path: Path) -> None:
    record = train(replace(planned(), code={"package": "sktime", "version": "0.1"}), tmp_path)
    assert record.status == "failed" and record.reason.startswith("the code of model 'sktime' has changed")


def test_the_time_of_a_classifier_is_learned_from_its_own_records(tmp_path: Path) -> None:
    job, slow = planned(), planned(estimator="TimeSeriesForestClassifier")
    record = replace(train(job, tmp_path), train_seconds=50.0, train_processor_seconds=50.0)
    model = cost.Model([record], engine="auto")
    assert model.choice(job).name == "sktime"
    assert 20 < model.seconds(job) < 60
    assert model.seconds(slow) == cost.Model([], engine="auto").seconds(slow)
    assert cost.memory(job) > cost.BASE_BYTES


def test_libraries_are_known_to_workers_and_are_no_networks() -> None:
    for name in ("sktime", "aeon"):
        assert models.in_every_process(name) and name not in models.MODELS
