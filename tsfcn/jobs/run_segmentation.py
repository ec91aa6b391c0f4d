"""One job of dense labelling, from streams to the numbers of its record.

A network is trained in stages: the classifier, then for each FCN the one before (segmentation_models.stages). The
weights of each stage lie in results/stages/KEY.safetensors, under a key that follows from all that they depend on, so
that the jobs of a chain train each stage once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.model_config import ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.config.segmentation import SegmentationConfig
from tsfcn.config.segmentation_models import FCN32sConfig
from tsfcn.data.streams import NO_LABEL, StreamData
from tsfcn.jobs import artifacts, kept_weights
from tsfcn.jobs.plan import Job, Terms, digest, settings_of
from tsfcn.models import registry, weights
from tsfcn.training import predict, segmentation
from tsfcn.training.checkpoint import Checkpoint
from tsfcn.training.loop import Curve, Diverged, Progress, Weights
from tsfcn.training.train import Task, choose_engine, train

MakeCheckpoint = Callable[[str, str], Checkpoint]  # of a stage's key and engine


@dataclass(frozen=True)
class Stage:
    """One training of a chain."""

    key: str
    model: str
    config: ModelConfig
    settings: Settings


@dataclass(frozen=True, eq=False)
class Trained:
    """What a stage left."""

    weights: Weights
    curve: Curve
    best_epoch: int
    train_cross_entropy: float
    train_seconds: float  # of this stage and those before it
    train_processor_seconds: float | None
    engine: str


def stages(job: Job) -> list[Stage]:
    """Return the trainings of a job, the last one that of its own network. How streams are labelled is in no key."""
    assert job.task is not None
    own = {"model": job.architecture, "config": job.model_settings, "settings": job.settings}
    described = [*job.task["stages"], own]
    chain = []
    for number, each in enumerate(described):
        unread = {"stages", "labelling", "window_step"} | (set() if number else {"cases", "passes", "sampling"})
        content = {
            **{name: job.content[name] for name in ("meaning", "dataset", "data", "resample", "precision")},
            "task": {name: value for name, value in job.task.items() if name not in unread},
            "stages": described[: number + 1],
            "seed": job.seed,
        }
        config = models.spec(each["model"]).settings(**each["config"])
        chain.append(Stage(digest(content), each["model"], config, settings_of(each["settings"])))
    return chain


def segmentation_config(job: Job) -> SegmentationConfig:
    """Return how the streams of a job are drawn and labelled."""
    assert job.task is not None
    return SegmentationConfig(**{each.name: job.task[each.name] for each in fields(SegmentationConfig)})


def check(job: Job, config: SegmentationConfig, window: int) -> None:
    """Raise UserError where the labelling is not for the network or the windows of a job."""
    is_dense = isinstance(job.model_config(), FCN32sConfig)
    if config.labelling == "sliding" and is_dense:
        raise UserError(
            f"segmentation.labelling=sliding is for classifiers, not for {job.architecture}: use pooled_fcn or fcn"
        )
    if config.labelling == "shift_and_stitch" and not (is_dense or job.architecture == "pooled_fcn"):
        raise UserError(
            f"segmentation.labelling=shift_and_stitch is for networks with pooling, not for {job.architecture}: "
            "use pooled_fcn or fcn_32s"
        )
    if config.labelling == "sliding" and config.window_step > window:
        raise UserError(
            f"segmentation.window_step={config.window_step} leaves gaps between windows of {window} timepoints: "
            f"use {window} at most"
        )
    if job.resolved().select == "test_oracle":
        raise UserError("protocol.select=test_oracle is not for streams: use least_train_loss or last")


def measure(
    job: Job,
    results: Path,
    data: StreamData,
    terms: Terms,
    progress: Progress | None,
    checkpoint: MakeCheckpoint,
    clock: Callable[[], float],
) -> tuple[dict[str, Any], Curve, int]:
    """Train and test a job, store its predictions, and return numbers of its record, the curve and the kept epoch.

    Args:
        job: The job.
        results: The results folder.
        data: Its streams.
        terms: How jobs are run.
        progress: Called with (epoch, epochs, training loss) after each epoch of all stages that are to be trained.
        checkpoint: Gives the checkpoint of a stage.
        clock: The processor time in seconds.

    Raises:
        UserError: The labelling is not for the network, or a setting of the protocol is not for streams.
        Diverged: A loss or a prediction is not finite.
        Stopped: The job was asked to stop; its stages so far are kept.
    """
    config, n_classes = segmentation_config(job), len(data.classes)
    check(job, config, data.x_cases.shape[2])
    chain = stages(job)
    trained = run_stages(job, chain, results, data, terms, progress, checkpoint)
    dtype, device = precision(job), torch.device(terms.device)
    plain = built(chain[-1], data).to(dtype=dtype, device=device)
    plain.load_state_dict(trained.weights)
    network = segmentation.labelling_network(plain, config.labelling)

    start, processor_start = time.perf_counter(), clock()
    how = config.labelling, data.x_cases.shape[2], config.window_step
    streams = (torch.from_numpy(x).to(dtype=dtype, device=device) for x, _ in data.test)
    tested = torch.cat([segmentation.log_probabilities(network, x, *how) for x in streams])
    test_seconds, test_processor_seconds = time.perf_counter() - start, clock() - processor_start
    if not torch.isfinite(tested).all():
        raise Diverged("predictions of the test streams are not finite: try a smaller protocol.lr")
    y = np.concatenate([labels for _, labels in data.test])
    tested, y = tested[torch.from_numpy(y != NO_LABEL)], y[y != NO_LABEL]
    predicted = tested.argmax(dim=1).numpy()
    artifacts.write_predictions(results, job.key, tested.exp().numpy(), y, predicted, np.array(data.classes))
    scores = segmentation.metrics(y, predicted, n_classes)
    if terms.save_weights:
        task = {"name": "segmentation", "labelling": config.labelling, "window_step": config.window_step}
        kept = plain.eval(), data.preparation, np.array(data.classes), scores.accuracy
        kept_weights.write(results, job, *kept, task=task)
    numbers = {
        "n_train": len(data.train),
        "n_test": len(y),
        "n_classes": n_classes,
        "n_timepoints": max(x.shape[1] for x, _ in data.train),
        "median_segment": data.median_segment,
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.mean_accuracy,
        "mean_iu": scores.mean_iu,
        "frequency_weighted_iu": scores.frequency_weighted_iu,
        "cross_entropy": predict.cross_entropy(tested, torch.from_numpy(y)),
        "train_cross_entropy": trained.train_cross_entropy,
        "n_parameters": registry.n_parameters(network),
        "least_train_loss": min(trained.curve.loss),
        "best_epoch": trained.best_epoch,
        "engine": trained.engine,
        "train_seconds": round(trained.train_seconds, 3),
        "test_seconds": round(test_seconds, 4),
        "train_processor_seconds": _rounded(trained.train_processor_seconds),
        "test_processor_seconds": round(test_processor_seconds, 4),
    }
    return numbers, trained.curve, trained.best_epoch


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def precision(job: Job) -> torch.dtype:
    """Return the type of the numbers of a job."""
    return torch.float64 if job.precision == "float64" else torch.float32


def built(stage: Stage, data: StreamData) -> nn.Module:
    """Return the network of a stage, with any weights."""
    _, n_channels, n_timepoints = data.x_cases.shape
    return registry.build(stage.model, stage.config, n_channels, n_timepoints, len(data.classes), 0)


def run_stages(
    job: Job,
    chain: list[Stage],
    results: Path,
    data: StreamData,
    terms: Terms,
    progress: Progress | None,
    checkpoint: MakeCheckpoint,
) -> Trained:
    """Train the stages of a job that are not there yet, and return the last one.

    Args: as for `measure`; chain: the stages.
    """
    first, last = 0, None
    for number in reversed(range(len(chain))):
        last = load(results, chain[number].key)
        if last is not None:
            first = number + 1
            break
    n_epochs, done = sum(stage.settings.epochs for stage in chain[first:]), 0
    for stage in chain[first:]:

        def report(epoch: int, _: int, loss: float, done: int = done) -> None:
            if progress is not None:
                progress(done + epoch, n_epochs, loss)

        last = train_stage(job, stage, data, terms, report, checkpoint, last)
        save(results, stage.key, last)
        artifacts.remove_checkpoint(results, stage.key)
        done += stage.settings.epochs
    assert last is not None
    return last


def train_stage(
    job: Job,
    stage: Stage,
    data: StreamData,
    terms: Terms,
    progress: Progress,
    make_checkpoint: MakeCheckpoint,
    before: Trained | None,
) -> Trained:
    """Train one stage.

    Args:
        job: The job.
        stage: The stage.
        data: The streams and the cases.
        terms: How jobs are run.
        progress: Called after each epoch.
        make_checkpoint: Gives the checkpoint of a stage.
        before: The stage before; None for the classifier.
    """
    dtype, device, n_classes = precision(job), torch.device(terms.device), len(data.classes)
    if before is None:
        x, y = torch.from_numpy(data.x_cases).to(dtype).to(device), torch.from_numpy(data.y_cases).to(device)
        task = Task(stage.model, stage.config, stage.settings, x, y, n_classes, job.seed)
        engine = choose_engine(task, terms.engine, job.precision, terms.device)
        checkpoint = make_checkpoint(stage.key, engine)
        fit, _ = train(task, engine, precision=job.precision, progress=progress, checkpoint=checkpoint)
    else:
        engine = "reference"
        checkpoint = make_checkpoint(stage.key, engine)
        x, y = segmentation.joined(data.train, dtype, device)
        fit = segmentation.fit(
            *(stage.model, stage.config, stage.settings, x, y, n_classes, job.seed),
            start=before.weights,
            sampling=segmentation_config(job).sampling,
            progress=progress,
            checkpoint=checkpoint,
        )
    seconds, processor_seconds = checkpoint.train_seconds(), checkpoint.train_processor_seconds()
    if before is not None:
        seconds += before.train_seconds
        earlier = before.train_processor_seconds
        processor_seconds = None if processor_seconds is None or earlier is None else processor_seconds + earlier
    select = stage.settings.select
    kept, epoch = fit.weights[select], fit.best_epoch[select]
    return Trained(kept, fit.curve, epoch, fit.train_cross_entropy, seconds, processor_seconds, engine)


# ---------------------------------------------------------------------------------------------------------------------
# Stages on disk


def path_of(results: Path, key: str) -> Path:
    """Return where the weights of a stage lie."""
    return results / "stages" / f"{key}.safetensors"


def save(results: Path, key: str, trained: Trained) -> None:
    """Store a stage."""
    about = {name: getattr(trained, name) for name in NAMES} | {"loss": trained.curve.loss, "lr": trained.curve.lr}
    data = weights.pack(trained.weights, {"stage": json.dumps(about)})
    artifacts.write_file(path_of(results, key), data)


NAMES = ("best_epoch", "train_cross_entropy", "train_seconds", "train_processor_seconds", "engine")


def load(results: Path, key: str) -> Trained | None:
    """Return a stage that is stored; None where it is not. Raises UserError for a damaged file."""
    path = path_of(results, key)
    if not path.is_file():
        return None
    metadata, tensors = weights.read(path)
    with weights.metadata_errors(path):
        about = json.loads(metadata["stage"])
        return Trained(tensors, Curve(about["loss"], about["lr"]), **{name: about[name] for name in NAMES})
