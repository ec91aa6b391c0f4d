"""A protocol, a dataset and its jobs, for tests that train nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from tsfcn.config import models
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import TrainingConfig, protocol_schema
from tsfcn.jobs.plan import Job, jobs

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
TRAINING = TrainingConfig(
    epochs=100,
    batch_size=16,
    batch_divisor=10,
    optimiser="adam",
    lr=0.001,
    betas=[0.9, 0.999],
    rho=0.95,
    eps=1e-7,
    plateau_factor=0.5,
    plateau_patience=50,
    plateau_min_lr=0.0001,
    plateau_min_delta=0.0001,
    initialiser="glorot_uniform",
    class_weights="none",
    cells=[8, 64],
)
PROTOCOL = protocol_schema()(
    name="paper",
    paper="a paper",
    paper_models=["fcn", "lstm_fcn"],
    normalisation="series",
    common=TRAINING,
)


def make(model: str = "fcn", settings: ModelConfig | None = None, **changed: Any) -> Job:
    """Return the job of one model on Coffee, with protocol values that the user changed."""
    chosen = {model: settings or models.spec(model).settings()}
    (job,) = jobs({"Coffee": COFFEE}, chosen, replace(PROTOCOL, **changed), PROTOCOL, [0], [0])
    return job


def small(model: str, **changes: Any) -> ModelConfig:
    """Return the settings of a network of three narrow layers or blocks, otherwise as published."""
    kind = models.spec(model).settings
    width = "units" if "units" in {f.name for f in fields(kind)} else "filters"
    return kind(**({width: [6, 5, 4]} | changes))
