"""The weights file of a job and its model card (save_weights=true)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.data.preprocess import Labels, Preparation
from tsfcn.jobs import artifacts
from tsfcn.jobs.plan import Job
from tsfcn.models.saved_classifier import SavedClassifier, versions

if TYPE_CHECKING:
    from torch import nn


def write(
    results: Path,
    job: Job,
    network: nn.Module,
    preparation: Preparation,
    labels: Labels,
    accuracy: float | None,
    *,
    cells: int = 0,
    unequal: bool | None = None,
    task: Mapping[str, Any] | None = None,
) -> None:
    """Write both files.

    Args:
        results: The results folder.
        job: The job.
        network: The network with the selected weights, in evaluation mode.
        preparation: How series are prepared for it.
        labels: (n_classes,), the classes as text.
        accuracy: On the test set.
        cells: The LSTM size.
        unequal: Whether NaN at the end of a case of the dataset is its end.
        task: Of dense labelling: how streams are labelled.
    """
    saved = SavedClassifier(
        network=network,
        architecture=job.architecture,
        config=job.model_config(),
        settings=job.resolved(),
        preparation=preparation,
        labels=labels,
        seed=job.seed,
        cells=cells,
        protocol=job.protocol,
        unequal=unequal,
        accuracy=accuracy,
        passport=job.passport,
        versions=versions(),
        job={
            "key": job.key,
            "dataset": job.dataset,
            "model": job.model,
            "resample": str(job.resample),
            "precision": job.precision,
        },
        task=task or {},
    )
    artifacts.write_card(results, job.key, saved.card(artifacts.weights_path(results, job.key).name))
    artifacts.write_weights(results, job.key, saved.pack())
