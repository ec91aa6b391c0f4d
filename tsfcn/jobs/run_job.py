"""One job from names to its record: read, prepare, fit, predict, record."""

from __future__ import annotations

import errno
import functools
import math
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tsfcn
from tsfcn.common import device as devices
from tsfcn.common import machine
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.machine import commit, peak_memory, reset_peak_memory, resident_memory
from tsfcn.config.libraries import LibraryConfig
from tsfcn.config.model_code import check_planned
from tsfcn.config.protocol import DataSettings
from tsfcn.data import preprocess, splits, streams
from tsfcn.data.dataset import Dataset
from tsfcn.data.user_data import load_planned
from tsfcn.jobs import artifacts, cost, initial_weights, kept_weights, run_segmentation, store
from tsfcn.jobs.plan import MEANING, Job, Terms
from tsfcn.jobs.record import Record
from tsfcn.models import registry
from tsfcn.models.saved_classifier import versions
from tsfcn.training import loop, predict
from tsfcn.training.checkpoint import Checkpoint, Stopped
from tsfcn.training.library_classifier import LibraryClassifier
from tsfcn.training.threads import one_thread, use_threads
from tsfcn.training.train import Task, choose_engine, train

CURVE_POINTS = 200

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no fault of the job, and the next one would fail likewise


class TooLarge(UserError):
    """The job cannot fit into this machine's memory."""


@one_thread()
def run_job(
    job: Job,
    results: Path,
    writer: store.Writer,
    *,
    root: str | None = None,
    engine: str = "auto",
    save_weights: bool = False,
    n_sharing: int = 1,
    memory: float = math.inf,
    checkpoint_seconds: float = math.inf,
    device: str = "cpu",
    sources: Sequence[str] = (),
    threads: int = 1,
    progress: loop.Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    is_held: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.process_time,
) -> Record:
    """Run one job, write its record (last, after its other files) and return it. Never raises for a failing job.

    A job that fails, whatever the reason, becomes a record of status 'failed' or, where it was not started because it
    cannot fit into memory, 'skipped'.

    Args:
        job: The job.
        results: The results folder.
        writer: Writes the record.
        root: The archive's folder; this and the next seven are plan.Terms.
        engine: One of schema.ENGINES.
        save_weights: Whether to keep the selected weights.
        n_sharing: How many jobs at a time share the free memory.
        memory: Bytes that the process may take.
        checkpoint_seconds: Between two checkpoints.
        device: torch's name of where to train.
        sources: Keys of the jobs whose weights are kept even without save_weights.
        threads: Of a step of the fast engine on the CPU; 0: as many as this process has been told.
        progress: Called with (epoch, epochs, training loss) after each epoch.
        stop: Called after each epoch; True ends the job with its state on disk.
        is_held: Called before the record is written: whether this process still holds the job's lease.
        clock: The processor time in seconds; time.thread_time where other jobs run in this process at the same time.

    Raises:
        Stopped: There is no record, because the job was stopped or another runner has it now.
        OSError: The disk is full, or the results folder cannot be written to.
    """
    started = time.monotonic()
    device = "cpu" if job.library else device
    if device == "cpu":  # beside other jobs in this process the peak is that of all
        reset_peak_memory()
    try:
        save_weights = save_weights or job.key in sources
        terms = Terms(
            *(root, engine, save_weights, n_sharing, memory, checkpoint_seconds, device),
            threads=threads,
            sources=sources,
        )
        if threads:
            use_threads(threads)
        outcome = measure(job, results, terms, progress, stop, clock)
        status, reason = "ok", ""
    except (Stopped, artifacts.FolderUnusable):
        raise
    except TooLarge as error:
        outcome, status, reason = {}, "skipped", str(error)
    except UserError as error:
        outcome, status, reason = {}, "failed", str(error)
    except MemoryError as error:
        outcome, status, reason = {}, "failed", f"out of memory: {first_line(error)}; use fewer executor.workers"
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        reason = memory_reason(error, device)
        if not reason:
            traceback.print_exc(file=sys.stderr)
            reason = f"{type(error).__name__}: {first_line(error)}"
        outcome, status = {}, "failed"
    outcome["peak_memory_bytes"] = peak_memory()
    outcome["job_seconds"] = round(time.monotonic() - started, 3)
    record = replace(describe(job, status, reason, device), **outcome)
    if not is_held():
        raise Stopped("another runner has taken the job over")
    writer.write(record)
    artifacts.remove_checkpoint(results, job.key)
    return record


def memory_reason(error: BaseException, device: str) -> str:
    """Return the reason of a record, with a remedy, if the error is one for want of memory; '' if it is not.

    device: torch's name of where the job was trained. Of a GPU's error the first two sentences are kept: torch adds how
    the memory is used, and advice of its own.
    """
    if device != "cpu" and re.search("CUDA out of memory|MPS backend out of memory|ALLOC_FAILED", str(error)):
        sentences = ". ".join(first_line(error).split(". ")[:2]).rstrip(".")
        return f"out of memory: {sentences}; use a smaller executor.per_device or protocol.batch_size"
    if re.search("not enough memory|out of memory|can't allocate memory", str(error)):
        return f"out of memory: {first_line(error)}; use fewer executor.workers"
    return ""


def describe(job: Job, status: str, reason: str, device: str = "cpu") -> Record:
    """Return the record of a job without its numbers. device: torch's name of where it was trained."""
    return Record(
        key=job.key,
        group=job.group,
        status=status,
        reason=reason,
        **job.to_json(),
        test_selected=job.settings.get("select") == "test_oracle",
        meaning=MEANING,
        device=device,
        **devices.description(device),
        hardware=hardware(device),
        versions=versions(),
        commit=commit(),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def measure(
    job: Job,
    results: Path,
    terms: Terms,
    progress: loop.Progress | None,
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Train and test one job, store its predictions, and return the numbers of its record."""
    check_planned(job.architecture, job.code)
    if job.task is not None:
        return measure_segmentation(job, results, terms, progress, stop, clock)
    dataset = load_planned(job.dataset, job.passport, terms.root)
    data = prepare(dataset, job)
    numbers = {
        "n_train": len(data.y_train),
        "n_test": len(data.y_test),
        "n_classes": len(data.classes),
        "n_timepoints": data.x_train.shape[2],
        "n_filled": data.n_filled,
        "n_padded": data.n_padded,
        "n_cut": data.n_cut,
        "n_masked": data.n_masked,
    }
    if job.library:
        return {**numbers, **measure_classifier(job, results, data, clock)}
    return {**numbers, **measure_network(job, results, dataset, data, terms, progress, stop, clock)}


def measure_classifier(job: Job, results: Path, data: preprocess.Arrays, clock: Callable[[], float]) -> dict[str, Any]:
    """Fit and test the classifier of a library, store its predictions, and return the numbers of its record.

    Args:
        job: The job.
        results: The results folder.
        data: The arrays.
        clock: The processor time in seconds.
    """
    config = job.model_config()
    assert isinstance(config, LibraryConfig)
    classifier = LibraryClassifier(job.library, config, job.seed)
    start, processor_start = time.perf_counter(), clock()
    classifier.fit(data.x_train, data.y_train)
    fitted, processor_fitted = time.perf_counter(), clock()
    predicted = classifier.predict(data.x_test)
    tested, processor_tested = time.perf_counter(), clock()
    probabilities = classifier.predict_proba(data.x_test, len(data.classes))
    artifacts.write_predictions(results, job.key, probabilities, data.y_test, predicted, data.classes.astype(str))
    y = torch.from_numpy(data.y_test)
    cross_entropy = predict.cross_entropy(torch.from_numpy(probabilities).log(), y)
    return {
        "accuracy": float((predicted == data.y_test).mean()),
        "balanced_accuracy": balanced_accuracy(torch.from_numpy(predicted), y),
        "cross_entropy": cross_entropy if math.isfinite(cross_entropy) else None,
        "engine": job.library,
        "train_seconds": round(fitted - start, 3),
        "test_seconds": round(tested - fitted, 4),
        "train_processor_seconds": round(processor_fitted - processor_start, 3),
        "test_processor_seconds": round(processor_tested - processor_fitted, 4),
        "hardware": hardware(),
    }


def measure_network(
    job: Job,
    results: Path,
    dataset: Dataset,
    data: preprocess.Arrays,
    terms: Terms,
    progress: loop.Progress | None,
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Train and test a network, store its predictions, and return the numbers of its record.

    Args:
        job: The job.
        results: The results folder.
        dataset: The dataset as it was read.
        data: Its arrays, as the network takes them.
        terms: How jobs are run.
        progress: Called with (epoch, epochs, training loss) after each epoch.
        stop: Called after each epoch; True ends the job with its state on disk.
        clock: The processor time in seconds.
    """
    settings = job.resolved()
    dtype, device = torch.float64 if job.precision == "float64" else torch.float32, torch.device(terms.device)
    devices.prepare(terms.device)
    x, y = torch.from_numpy(data.x_train).to(dtype), torch.from_numpy(data.y_train)
    x_test, y_test = torch.from_numpy(data.x_test).to(dtype), torch.from_numpy(data.y_test)
    lengths = torch.from_numpy(data.test_lengths)
    on_gpu = device.type != "cpu"
    if not on_gpu:  # what a GPU has no memory for, it says itself
        check_memory(job, cost.Sizes(len(x), len(x_test), x.shape[1], x.shape[2], len(data.classes)), terms)
    x, y, x_test = x.to(device), y.to(device), x_test.to(device)

    config = job.model_config()
    task = Task(
        *(job.architecture, config, settings, x, y, len(data.classes), job.seed),
        lengths=torch.from_numpy(data.train_lengths) if settings.length == "mask" else None,
        oracle=(x_test, y_test, lengths) if settings.select == "test_oracle" else None,
        start=initial_weights.start_of(job, results),
    )
    name = choose_engine(task, terms.engine, job.precision, terms.device)
    checkpoint = checkpoint_of(job.key, name, results, terms, stop, clock)
    best, fits = train(task, name, precision=job.precision, progress=progress, checkpoint=checkpoint)
    train_seconds, train_processor_seconds = checkpoint.train_seconds(), checkpoint.train_processor_seconds()

    start, processor_start = time.perf_counter(), clock()
    tested = predict.predict(best.load(settings.select), x_test, lengths)
    test_seconds, test_processor_seconds = time.perf_counter() - start, clock() - processor_start
    if not torch.isfinite(tested).all():
        raise loop.Diverged("predictions of the test cases are not finite: try a smaller protocol.lr")

    def accuracy_of(fit: loop.Fit, selection: str) -> float | None:
        is_tested = fit is best and selection == settings.select
        logs = tested if is_tested else predict.predict(fit.load(selection), x_test, lengths)
        return predict.accuracy(logs, y_test) if torch.isfinite(logs).all() else None

    accuracy = {selection: accuracy_of(best, selection) for selection in best.weights}

    predicted = tested.argmax(dim=1)
    held_out = task.held_out()
    artifacts.write_predictions(
        *(results, job.key, tested.exp().numpy(), data.y_test, predicted.numpy(), data.classes.astype(str)),
        held_out=held_out and held_out_predictions(best.load(settings.select), held_out),
    )
    if terms.save_weights:
        kept = best.load(settings.select), data.preparation, data.classes, accuracy[settings.select]
        kept_weights.write(results, job, *kept, cells=best.cells, unequal=dataset.unequal)
    least, details = "least_train_loss", devices.description(terms.device)
    return {
        "accuracy": accuracy[settings.select],
        "accuracy_least_train_loss": accuracy[least],
        "accuracy_last": accuracy["last"],
        "accuracy_selected": accuracy.get("validation"),
        "accuracy_test_oracle": accuracy.get("test_oracle"),
        "balanced_accuracy": balanced_accuracy(predicted, y_test),
        "cross_entropy": predict.cross_entropy(tested, y_test),
        "train_cross_entropy": best.train_cross_entropy,
        "batch": settings.batch(task.n_fit),
        "chosen_cells": best.cells or None,
        "cells": [
            {
                "cells": fit.cells,
                "train_cross_entropy": fit.train_cross_entropy,
                "least_train_loss": min(fit.curve.loss),
                "best_epoch": fit.best_epoch[least],
                "accuracy": accuracy_of(fit, settings.select),  # for information: the choice is made without it
            }
            for fit in fits
            if fit.cells
        ],
        "n_held_out": len(held_out[1]) if held_out else None,
        "n_parameters": registry.n_parameters(best.network),
        "least_train_loss": min(best.curve.loss),
        "best_epoch": best.best_epoch[settings.select],
        "curve": thin(best.curve, best.best_epoch[least]),
        "engine": name,
        "train_seconds": round(train_seconds, 3),
        "test_seconds": round(test_seconds, 4),
        "train_processor_seconds": None if train_processor_seconds is None else round(train_processor_seconds, 3),
        "test_processor_seconds": round(test_processor_seconds, 4),
        "resumed_epochs": checkpoint.resumed,
        "hardware": " + ".join(dict.fromkeys([*checkpoint.hardware, checkpoint.this_hardware])),
        **({"deterministic": name == "reference" and details["deterministic"]} if on_gpu else {}),
    }


def held_out_predictions(
    network: nn.Module, cases: tuple[Tensor, Tensor, Tensor | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities, (n_cases, n_classes), of the cases that a training held out, and their classes."""
    x, y, lengths = cases
    return predict.predict(network, x, lengths).exp().numpy(), y.numpy()


def checkpoint_of(
    key: str, engine: str, results: Path, terms: Terms, stop: Callable[[], bool], clock: Callable[[], float]
) -> Checkpoint:
    """Return the checkpoint of a training.

    Args:
        key: Of the job, or of the stage of one.
        engine: What trains.
        results: The results folder.
        terms: How jobs are run.
        stop: Called after each epoch; True ends the training with its state on disk.
        clock: The processor time in seconds.
    """
    if terms.device != "cpu":  # a state is continued on the kind of device that it comes from: the record names one
        engine = f"{engine} on {devices.kind(terms.device)}"
    return Checkpoint(
        artifacts.checkpoint_path(results, key),
        {"key": key, "meaning": MEANING, "tsfcn": tsfcn.__version__, "torch": torch.__version__, "engine": engine},
        terms.checkpoint_seconds,
        hardware(terms.device),
        stop,
        clock,
    )


def measure_segmentation(
    job: Job,
    results: Path,
    terms: Terms,
    progress: loop.Progress | None,
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Train and test a job of dense labelling, store its predictions, and return the numbers of its record.

    Arguments as for `measure`.
    """
    devices.prepare(terms.device)
    if terms.device == "cpu":
        check_memory(job, cost.sizes(job), terms)

    def make_checkpoint(key: str, engine: str) -> Checkpoint:
        return checkpoint_of(key, engine, results, terms, stop, clock)

    data = stream_data(job, terms.root)
    numbers, curve, epoch = run_segmentation.measure(job, results, data, terms, progress, make_checkpoint, clock)
    return {**numbers, "curve": thin(curve, epoch), "hardware": hardware(terms.device)}


def stream_data(job: Job, root: str | Path | None) -> streams.StreamData:
    """Return the streams of a job of dense labelling. root: the archive's folder. Raises UserError for what is none."""
    if job.passport.get("kind") == streams.KIND:
        settings = job.data_settings()
        if settings != DataSettings(settings.normalisation, settings.missing, settings.length):
            raise UserError("protocol.truncate, permute_time and noise are for cases, not for streams: leave them out")
        return streams.load_planned(job.dataset, job.passport, settings.normalisation)
    dataset = load_planned(job.dataset, job.passport, root)
    own_lengths = {**job.settings, "length": "cut" if job.settings["length"] == "cut" else "mask"}
    data = prepare(dataset, replace(job, settings=own_lengths))
    return streams.of_cases(job.dataset, data, run_segmentation.segmentation_config(job), job.seed)


def prepare(dataset: Dataset, job: Job) -> preprocess.Arrays:
    """Return the arrays of a job: resampled, normalised, filled and padded as its settings say.

    Raises UserError for a training set of one class.
    """
    x_train, y_train, x_test, y_test = splits.resample(
        dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, job.resample
    )
    if len(set(y_train.tolist())) == 1:
        raise UserError(f"the training set is of one class, '{y_train[0]}': a classifier needs two or more")
    settings = job.data_settings()
    return preprocess.prepare(
        x_train,
        y_train,
        x_test,
        y_test,
        normalisation=settings.normalisation,
        missing=settings.missing,
        length=settings.length,
        unequal=dataset.unequal,
        fixed_length=job.model_config().fixed_length(),
        truncate=settings.truncate,
        permute_time=settings.permute_time,
        noise=settings.noise,
        test_noise=settings.test_noise,
        seed=job.seed,
    )


def balanced_accuracy(predicted: Tensor, y: Tensor) -> float:
    """Return the mean over the classes present in y of the share of their cases that was predicted right."""
    hits = (predicted == y).double()
    return float(np.mean([hits[y == label].mean().item() for label in y.unique()]))


def thin(curve: loop.Curve, best_epoch: int) -> dict[str, list[float]]:
    """Return at most CURVE_POINTS epochs of a learning curve: evenly spread, the first, the last and the best one."""
    n = len(curve.loss)
    epochs = {round(e) for e in np.linspace(1, n, min(n, CURVE_POINTS - 1))} | {best_epoch}
    return {
        "epoch": sorted(epochs),
        "loss": [float(f"{curve.loss[e - 1]:.6g}") for e in sorted(epochs)],
        "lr": [float(f"{curve.lr[e - 1]:.6g}") for e in sorted(epochs)],
    }


def check_memory(job: Job, sizes: cost.Sizes, terms: Terms) -> None:
    """Raise TooLarge where the job would not fit into its share of the free memory."""
    needed = cost.memory(job, sizes)
    free = min(machine.free_memory() / terms.n_sharing + resident_memory(), terms.memory)
    if needed > free:
        batch, part = job.resolved().batch(sizes.n_train), f"{job.architecture} on {sizes.length} timepoints"
        if cost.attention(job, sizes) > needed / 2:
            part, advice = f"attention over {sizes.length} timepoints", ", or the dimension shuffle"
        else:
            advice = ", or more executor.memory" if free == terms.memory else ""
        raise TooLarge(
            f"{part} needs about {needed / 2**30:.1f} GiB for a batch of {min(batch, sizes.n_train)}, "
            f"{free / 2**30:.1f} GiB are free for it: use a smaller protocol.batch_size, "
            f"fewer executor.workers{advice}"
        )


@functools.cache
def hardware(device: str = "cpu") -> str:
    """Return the processor's name, its core count and the vector instructions that torch uses; a GPU's name first."""
    processor = f"{machine.processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return processor if device == "cpu" else f"{devices.gpu(device)} + {processor}"
