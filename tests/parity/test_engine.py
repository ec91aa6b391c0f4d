"""The fast engine compared with the reference loop: the same losses, step by step, up to rounding.

Series of one channel are random, those of several channels are from BasicMotions.
"""

from __future__ import annotations

import copy
import math
import random
import statistics
import types
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tsfcn
from tests import factories
from tsfcn.config.models import FCNConfig, LSTMFCNConfig
from tsfcn.config.protocol import Settings
from tsfcn.training import loop, lr_scheduler, predict
from tsfcn.training import reference as train
from tsfcn.training.checkpoint import State
from tsfcn.training.fused import build, torch_backend
from tsfcn.training.fused import stacked as engine
from tsfcn.training.fused.backend import AdamOptions, Backend

N, LENGTH, CLASSES = 22, 30, 3
CHANNELS = (1, 3, 6)
MODELS = {  # the first and last use F(m, r) (winograd.inc.h), the second plain products
    "fcn": (FCNConfig(filters=[32, 32, 32]), 0),
    "lstm_fcn": (LSTMFCNConfig(filters=[12, 16, 8]), 5),
    "alstm_fcn": (LSTMFCNConfig(filters=[32, 32, 32], gates="sigmoid"), 5),
}


def settings(model: str, **changes: object) -> Settings:
    """Return settings of few epochs whose learning rate is reduced after every epoch without a large gain."""
    cells = (8, 64) if "lstm" in model else ()
    quick = {"batch_size": 6, "lr": 0.001, "plateau_min_delta": 0.3, "cells": cells}
    return factories.settings(**(quick | changes))


def data(dtype: torch.dtype, n_channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cases (N, n_channels, LENGTH) and classes that can be learned from them."""
    generator = torch.Generator().manual_seed(7)
    y = torch.arange(N) % CLASSES
    if n_channels > 1:  # ten cases of each class, one class after another; every third timepoint
        motions = torch.from_numpy(tsfcn.load("BasicMotions").x_train)[10 * y + torch.arange(N) // CLASSES]
        x = motions[:, :n_channels, ::3][:, :, :LENGTH]
        return ((x - x.mean(dim=(0, 2), keepdim=True)) / x.std(dim=(0, 2), keepdim=True)).to(dtype), y
    x = torch.randn(N, 1, LENGTH, generator=generator, dtype=torch.float64) + y[:, None, None] * torch.linspace(
        -1, 1, LENGTH, dtype=torch.float64
    )
    return x.to(dtype), y


def reference(
    model: str, chosen: Settings, dtype: torch.dtype, seed: int = 3, cells: int | None = None, n_channels: int = 1
) -> loop.Fit:
    shape, size = MODELS[model]
    x, y = data(dtype, n_channels)
    return train.fit(model, shape, chosen, x, y, CLASSES, seed, cells=size if cells is None else cells)


def fast(
    model: str, chosen: Settings, dtype: torch.dtype, precision: str, seed: int = 3, n_channels: int = 1
) -> loop.Fit:
    shape, cells = MODELS[model]
    x, y = data(dtype, n_channels)
    (fit,) = engine.fit(model, shape, chosen, x, y, CLASSES, [(seed, cells)], precision=precision)
    return fit


def largest_difference(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference of two lists of losses."""
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


@pytest.fixture(params=["best", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the engine train with its backend for this processor, or with the PyTorch backend."""
    if request.param == "torch":
        monkeypatch.setattr(engine, "best_backend", lambda *_: torch_backend.TorchBackend())
    return str(request.param)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("model", MODELS)
def test_float64_losses_are_the_reference_s(model: str, n_channels: int, class_weights: str, backend: str) -> None:
    """Over 3 epochs with a smaller last batch and steps of the plateau rule."""
    chosen = settings(model, class_weights=class_weights, plateau_min_delta=0.3 if n_channels == 1 else 1.0)
    there = reference(model, chosen, torch.float64, n_channels=n_channels)
    here = fast(model, chosen, torch.float64, "float64", n_channels=n_channels)
    assert largest_difference(here.curve.loss, there.curve.loss) < 1e-9
    assert here.curve.lr == there.curve.lr and len(set(here.curve.lr)) == 2
    assert here.best_epoch == there.best_epoch
    assert here.train_cross_entropy == pytest.approx(there.train_cross_entropy, rel=1e-9)
    x, _ = data(torch.float64, n_channels)
    for selection in ("least_train_loss", "last"):
        actual, expected = (predict.predict(fit.load(selection), x) for fit in (here, there))
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)
    assert set(here.weights["last"]) == set(there.weights["last"])


@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-4), ("bfloat16", 0.02)])
@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("model", MODELS)
def test_twenty_steps_agree_within_the_precision(model: str, n_channels: int, precision: str, limit: float) -> None:
    """Epochs of one step each; the median of seeds, since for some the reference loop itself is sensitive."""
    chosen = settings(model, epochs=20, batch_size=N, plateau_min_delta=0.0)
    found = []
    for seed in range(5):
        there = reference(model, chosen, torch.float32, seed, n_channels=n_channels)
        here = fast(model, chosen, torch.float32, precision, seed, n_channels)
        found.append(largest_difference(here.curve.loss, there.curve.loss))
    assert statistics.median(found) < limit


@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("model", MODELS)
def test_each_training_of_a_stack_is_the_same_as_alone(model: str, n_channels: int, backend: str) -> None:
    """Several seeds and, if there is an LSTM, sizes in one stack, in float64."""
    shape, cells = MODELS[model]
    trainings = [(3, cells), (4, cells), (3, cells and cells + 4)]
    chosen, (x, y) = settings(model, epochs=4), data(torch.float64, n_channels)
    stacked = engine.fit(model, shape, chosen, x, y, CLASSES, trainings, precision="float64")
    for (seed, size), fit in zip(trainings, stacked, strict=True):
        alone = reference(model, chosen, torch.float64, seed, size, n_channels)
        assert largest_difference(fit.curve.loss, alone.curve.loss) < 1e-9
        assert {name: value.shape for name, value in fit.weights["last"].items()} == {
            name: value.shape for name, value in alone.weights["last"].items()
        }


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("model", MODELS)
def test_a_resumed_training_has_the_same_bits(model: str, n_channels: int, precision: str, backend: str) -> None:
    shape, cells = MODELS[model]
    x, y = data(torch.float32, n_channels)
    states: list[State] = []

    def keep(state: Callable[[], State]) -> None:
        states.append(copy.deepcopy(state()))

    arguments = (model, shape, settings(model, epochs=5), x, y, CLASSES, [(3, cells), (4, cells)])
    whole = engine.fit(*arguments, precision=precision, on_epoch_end=keep)
    again = engine.fit(*arguments, precision=precision, resume_from=states[1])
    for one, other in zip(whole, again, strict=True):
        assert asdict(one.curve) == asdict(other.curve)
        assert one.train_cross_entropy == other.train_cross_entropy


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("backend", ["native", "torch", "triton"])
def test_a_schedule_in_tensors_is_the_plateau_of_the_reference_loop(backend: str, patience: int) -> None:
    """Rates, best epochs and snapshots of 200 epochs of random losses, for three trainings at once, bit by bit."""
    if backend == "native" and build.library() is None:
        pytest.skip("no C compiler here")
    if backend == "triton":
        pytest.importorskip("triton", reason="Triton is not installed")
        from tsfcn.training.fused.cuda_backend import CudaBackend
    n, epochs, chosen = 3, 200, settings("fcn", epochs=200, plateau_patience=patience, plateau_min_delta=0.01)
    weights = torch.zeros(n, 4)
    made: dict[str, Callable[[torch.Tensor], Backend]] = {
        "native": engine.best_backend,
        "torch": lambda _: torch_backend.TorchBackend(),
        "triton": lambda weights: CudaBackend(weights, torch.float32),
    }
    stack = types.SimpleNamespace(n=n, weights=weights, values=lambda: [weights])
    schedule = engine.initial_schedule(chosen, stack, 7)  # type: ignore[arg-type]
    end_epoch = made[backend](weights).end_epoch(schedule)
    plateaus = [lr_scheduler.Plateau.from_settings(chosen) for _ in range(n)]
    generator, least = torch.Generator().manual_seed(0), [math.inf] * n
    for epoch in range(epochs):
        schedule.total.copy_(7 * (torch.rand(n, generator=generator, dtype=torch.float64) + 5 / (epoch + 1)))
        losses = (schedule.total / 7).tolist()
        weights.fill_(float(epoch))
        end_epoch()
        assert schedule.losses[epoch].tolist() == losses
        assert schedule.rates[epoch].tolist() == [plateau.lr for plateau in plateaus]
        for i, (plateau, loss) in enumerate(zip(plateaus, losses, strict=True)):
            plateau.step(loss)
            if loss < least[i]:
                least[i] = loss
                assert schedule.best_epoch[i] == epoch + 1
            assert schedule.snapshots[0][1][i].tolist() == [float(schedule.best_epoch[i] - 1)] * 4
    assert schedule.least.tolist() == least and not schedule.total.any() and int(schedule.epoch) == epochs
    assert (len(set(schedule.rates[:, 0].tolist())) > 1) == (patience > 0)


@pytest.mark.parametrize("n_channels", CHANNELS)
@pytest.mark.parametrize("model", MODELS)
def test_an_epoch_reads_nothing_on_the_host_and_moves_nothing(
    model: str, n_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be captured in a CUDA graph. The test uses the PyTorch backend."""
    monkeypatch.setattr(engine, "best_backend", lambda *_: torch_backend.TorchBackend())
    shape, cells = MODELS[model]
    cases, trainings = data(torch.float32, n_channels), [(3, cells), (4, cells)]
    training = engine.Training(model, shape, settings(model), *cases, CLASSES, trainings)
    tensors = [*training.stack.values(), *training.schedule.tensors().values(), training.epochs.orders]
    places = [each.data_ptr() for each in tensors]
    training.epochs.fill(training.streams, 0)
    called: set[str] = set()

    class Watch(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.add(str(function))
            return function(*args, **(kwargs or {}))

    with Watch():  # type: ignore[no-untyped-call]
        training.epochs.run()
    assert "aten.mm.default" in called and "aten.index_select.out" in called  # the watch works
    reads = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.equal.default", "aten._to_copy.out"}
    assert not called & reads
    assert [each.data_ptr() for each in tensors] == places
    assert int(training.schedule.epoch) == 1 and int(training.stack.steps) == 4


def test_epochs_at_once_divide_those_that_are_left() -> None:
    assert engine.epochs_at_once(2000, 1) == 50 and engine.epochs_at_once(2000, 8) == 8
    assert engine.epochs_at_once(1999, 4) == 1 and engine.epochs_at_once(2000, 558) == 1
    assert engine.epochs_at_once(6, 10) == 6


def test_several_epochs_at_once_are_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where a graph contains several short epochs."""
    shape, cells = MODELS["lstm_fcn"]
    arguments = ("lstm_fcn", shape, settings("lstm_fcn", epochs=6), *data(torch.float32), CLASSES, [(3, cells)])
    one_by_one = engine.Training(*arguments)
    loop.train_epochs(one_by_one, None, None)
    at_once = engine.Training(*arguments)
    epochs = at_once.epochs
    at_once.epochs = engine.Epochs(
        *(at_once.stack, shape, next(iter(epochs.steps.values())).cases, epochs.batch, torch.float32, epochs.backend),
        *(AdamOptions(at_once.schedule.lr, at_once.stack.steps, (0.9, 0.999), arguments[2].eps), at_once.schedule, 3),
    )
    loop.train_epochs(at_once, None, None)
    (one,), (other,) = one_by_one.fits(), at_once.fits()
    assert asdict(one.curve) == asdict(other.curve) and one.train_cross_entropy == other.train_cross_entropy


@pytest.mark.parametrize("n_channels", [1, 2, 7])
def test_networks_and_series_of_odd_shapes(n_channels: int) -> None:
    """Kernels longer than the series, one filter, one to four blocks, batches of one: C and PyTorch, float64."""
    draw = random.Random(0)
    for seed in range(20):
        model = draw.choice(list(MODELS))
        blocks = draw.randint(1, 4)
        sizes: dict[str, Any] = {
            "filters": [draw.choice([1, 3, 8, 17]) for _ in range(blocks)],
            "kernels": [draw.choice([1, 2, 3, 5, 8, 9]) for _ in range(blocks)],
        }
        shape = FCNConfig(**sizes) if model == "fcn" else LSTMFCNConfig(**sizes, dropout=draw.choice([0.0, 0.8]))
        chosen = settings(model, batch_size=draw.choice([1, 2, 5, 128]), plateau_patience=0)
        n, length, cells = draw.choice([2, 3, 7]), draw.choice([2, 3, 24]), 0 if model == "fcn" else draw.choice([1, 8])
        x = torch.randn(n, n_channels, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        arguments = (model, shape, chosen, x, torch.arange(n) % CLASSES, CLASSES)
        there = train.fit(*arguments, seed, cells=cells)
        for each in (engine.best_backend(x), torch_backend.TorchBackend()):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(engine, "best_backend", lambda *_, each=each: each)
                here = engine.fit(*arguments, [(seed, cells), (seed + 1, cells)], precision="float64")[0]
            assert largest_difference(here.curve.loss, there.curve.loss) < 1e-9, (model, sizes, n, length)
