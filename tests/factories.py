"""Settings, protocols, model settings and jobs for tests: each test names the values that matter to it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tsfcn.config import models
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import ProtocolConfig, Settings, TrainingConfig, protocol_schema
from tsfcn.data import archive
from tsfcn.jobs import run_job, store
from tsfcn.jobs.plan import Job, jobs
from tsfcn.jobs.record import Record

ITALY = "ItalyPowerDemand"  # bundled: 67 training and 1029 test cases of 24 timepoints, two classes

COFFEE = {
    "name": "Coffee",
    "archive": "UCR2018",
    "source": "tsv",
    "split": "ucr2018",
    "n_train": 28,
    "n_test": 28,
    "n_channels": 1,
    "n_classes": 2,
    "length": 286,
    "content": "0123456789abcdef",
}
"""The passport of a dataset that no test loads."""

TRAINING: dict[str, Any] = {
    "epochs": 100,
    "batch_size": 16,
    "batch_divisor": 10,
    "optimiser": "adam",
    "lr": 0.001,
    "betas": [0.9, 0.999],
    "rho": 0.95,
    "eps": 1e-7,
    "plateau_factor": 0.5,
    "plateau_patience": 50,
    "plateau_min_lr": 0.0001,
    "plateau_min_delta": 0.0001,
    "initialiser": "glorot_uniform",
    "class_weights": "none",
    "cells": [8, 64],
}
"""Every training value of a protocol, near those of the papers."""

POLICIES: dict[str, Any] = {
    "normalisation": "none",
    "missing": "zero",
    "length": "pad",
    "validation": 0.0,
    "select": "least_train_loss",
}
"""Every value of a protocol that `Settings` takes without a default and `TrainingConfig` does not."""

QUICK: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "batch_divisor": 0,
    "lr": 0.01,
    "betas": (0.9, 0.999),
    "plateau_patience": 1,
    "cells": (),
}
"""Values for a training of few cases and epochs, with a plateau short enough to matter."""


def settings(**changes: Any) -> Settings:
    """Return settings of three epochs in batches of 4 for a model without an LSTM; `changes` to any field."""
    return Settings(**(TRAINING | POLICIES | QUICK | changes))


def protocol(**changes: Any) -> ProtocolConfig:
    """Return a protocol; `changes` to its own fields or to the training values, which hold for all models."""
    own = {name: changes.pop(name) for name in list(changes) if name not in TRAINING}
    defaults = {"name": "tiny", "normalisation": "series"}
    return protocol_schema()(**(defaults | own), common=TrainingConfig(**(TRAINING | changes)))


def small_config(model: str, **changes: Any) -> ModelConfig:
    """Return the settings of a network of three narrow layers or blocks (or narrow modules), otherwise as published."""
    kind = models.spec(model).settings
    names = {f.name for f in fields(kind)}
    width = "filters" if "filters" in names else "units"
    return kind(**({width: [6, 5, 4] if isinstance(getattr(kind(), width), list) else 4} | changes))


PROTOCOL = protocol(name="paper", paper="a paper", paper_models=["fcn", "lstm_fcn"])


def coffee_job(model: str = "fcn", config: ModelConfig | None = None, **changes: Any) -> Job:
    """Return a job on Coffee under PROTOCOL, which cannot be trained: there is no such data.

    Args:
        model: The name of the network.
        config: Its settings; None for the published ones.
        changes: Values of the protocol that the user changed.
    """
    configs = {model: config or models.spec(model).settings()}
    (job,) = jobs({"Coffee": COFFEE}, configs, replace(PROTOCOL, **changes), PROTOCOL, [0], [0])
    return job


def trainable_job(
    model: str = "fcn",
    *,
    dataset: str = ITALY,
    root: Path | None = None,
    seed: int = 0,
    resample: int = 0,
    model_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> Job:
    """Return the job that a run would plan for a small network, of two epochs in batches of 32 unless changed.

    Args:
        model: The name of the network.
        dataset: The name of a dataset that is bundled or lies in `root`.
        root: The folder of the archive; None for the bundled datasets.
        seed: The seed of the training.
        resample: The number of the resample; 0 for the official split.
        model_changes: Values of the network's settings.
        changes: Values of the protocol, as in `smoke_protocol`.
    """
    passports = {dataset: dict(archive.passport(dataset, root))}
    configs, planned = {model: small_config(model, **(model_changes or {}))}, smoke_protocol(**changes)
    (job,) = jobs(passports, configs, planned, planned, [seed], [resample])
    return job


def smoke_protocol(**changes: Any) -> ProtocolConfig:
    """Return a protocol of two epochs in batches of 32, with LSTMs of 3 and 5 cells; `changes` as in `protocol`."""
    smoke = {"name": "smoke", "epochs": 2, "batch_size": 32, "batch_divisor": 0, "initialiser": "he_uniform"}
    return protocol(**(smoke | {"cells": [3, 5]} | changes))


def train(job: Job, results: Path, **options: Any) -> Record:
    """Train a job in this process and return its record; `options` of `run_job`."""
    return run_job.run_job(job, results, store.Writer(results), **options)
