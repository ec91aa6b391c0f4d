"""The training loop compared with a second one: plain tensors, own batch norm, Adam, Adadelta and schedule, float64.

Only three things come from the package: the initial weights (tested by test_models), the held-out cases (test_arrays),
and the order of the four streams of a seed: initial weights, orders, masks and held-out cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests import factories
from tsfcn.common.errors import UserError
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, MLPConfig, ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.data.splits import stratified_holdout
from tsfcn.models import initialisers, registry
from tsfcn.training import loop, lr_scheduler, reference, search

Weights = dict[str, Tensor]

FCN = FCNConfig(filters=[4, 3], kernels=[4, 3])
LSTM_FCN = LSTMFCNConfig(filters=[4, 3], kernels=[4, 3], dropout=0.5)
MLP = MLPConfig(units=[6, 5], dropout=[0.1, 0.2, 0.3])
NO_DROPOUT = MLPConfig(units=[6], dropout=[0.0, 0.0])


def settings(**changes: Any) -> Settings:
    """Return settings for tests: batches of 4, and a patience short enough for a few epochs."""
    return factories.settings(**({"epochs": 8, "lr": 0.05, "plateau_min_lr": 0.01} | changes))


def data(n_cases: int = 10, seed: int = 0, n_channels: int = 1) -> tuple[Tensor, Tensor]:
    """Return x (n_cases, n_channels, 8) of noise and y of three classes, 5 : 3 : 2."""
    x = np.random.default_rng(seed).normal(size=(n_cases, n_channels, 8))
    return torch.from_numpy(x), torch.tensor([0, 1, 0, 2, 0, 1, 0, 2, 1, 0] * (n_cases // 10))


# ---------------------------------------------------------------- the loop written anew


def streams(seed: int) -> tuple[torch.Generator, torch.Generator, torch.Generator, int]:
    init, order, masks, held = (int(s) for s in np.random.SeedSequence(seed).generate_state(4))
    return (
        torch.Generator().manual_seed(init),
        torch.Generator().manual_seed(order),
        torch.Generator().manual_seed(masks),
        held,
    )


def initial(
    model: str, config: ModelConfig, seed: int, cells: int = 0, rule: str = "glorot_uniform", n_channels: int = 1
) -> Weights:
    """Return the initial weights and statistics in float64."""
    network = registry.build(model, config, n_channels, 8, 3, cells)
    initialisers.initialise(network, rule, streams(seed)[0])
    return {
        name: value.double() if value.is_floating_point() else value for name, value in network.state_dict().items()
    }


def drop(x: Tensor, rate: float, masks: torch.Generator | None) -> Tensor:
    if masks is None:
        return x
    return torch.where(torch.rand(x.shape, generator=masks, dtype=torch.float64) < rate, 0.0, x / (1 - rate))


def forward(w: Weights, x: Tensor, config: ModelConfig, masks: torch.Generator | None, training: bool) -> Tensor:
    """Return logits; in training with batch statistics, and the running ones in `w` are updated with momentum 0.01."""
    if isinstance(config, MLPConfig):
        y = x[:, 0]
        for layer, rate in enumerate(config.dropout[:-1]):
            y = drop(y, rate, masks if training else None) @ w[f"hidden.{layer}.weight"].T + w[f"hidden.{layer}.bias"]
            y = torch.relu(y)
        return drop(y, config.dropout[-1], masks if training else None) @ w["head.weight"].T + w["head.bias"]
    assert isinstance(config, FCNConfig)
    branch = []
    if isinstance(config, LSTMFCNConfig):
        h = c = x.new_zeros(len(x), len(w["lstm.recurrent"]))
        for channel in x.unbind(1):  # the dimension shuffle: a step for each channel
            i, f, g, o = (channel @ w["lstm.kernel"] + h @ w["lstm.recurrent"] + w["lstm.bias"]).chunk(4, dim=1)
            hard_i, hard_f, hard_o = ((0.2 * z + 0.5).clamp(0, 1) for z in (i, f, o))
            c = hard_f * c + hard_i * torch.tanh(g)
            h = hard_o * torch.tanh(c)
        branch = [drop(h, config.dropout, masks if training else None)]
    y = x
    for block, kernel in enumerate(config.kernels):
        name = f"blocks.{block}"
        y = F.pad(y, {3: (1, 1), 4: (1, 2)}[kernel])
        y = F.conv1d(y, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"])
        name += ".norm"
        if training:
            n = y.shape[0] * y.shape[2]
            mean = y.sum(dim=(0, 2)) / n
            variance = (y - mean[:, None]).square().sum(dim=(0, 2)) / n
            w[f"{name}.running_mean"] = 0.99 * w[f"{name}.running_mean"] + 0.01 * mean.detach()
            w[f"{name}.running_var"] = 0.99 * w[f"{name}.running_var"] + 0.01 * variance.detach() * n / (n - 1)
            w[f"{name}.num_batches_tracked"] = w[f"{name}.num_batches_tracked"] + 1
        else:
            mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        y = (y - mean[:, None]) / torch.sqrt(variance + 0.001)[:, None]
        y = torch.relu(w[f"{name}.weight"][:, None] * y + w[f"{name}.bias"][:, None])
    return torch.cat([*branch, y.mean(dim=2)], dim=1) @ w["head.weight"].T + w["head.bias"]


def log_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return each case's -log softmax of its class."""
    shifted = logits - logits.max(dim=1, keepdim=True).values
    picked = shifted[torch.arange(len(y)), y]
    return torch.log(shifted.exp().sum(dim=1)) - picked


def inference_loss(w: Weights, x: Tensor, y: Tensor, config: ModelConfig) -> float:
    return log_loss(forward(w, x, config, None, training=False), y).mean().item()


def hits(w: Weights, x: Tensor, y: Tensor, config: ModelConfig) -> int:
    return int((forward(w, x, config, None, training=False).argmax(dim=1) == y).sum())


@dataclass
class Replay:
    """The result of the second loop: for each epoch the loss, the learning rate and the weights after it."""

    losses: list[float] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)

    def least(self) -> int:
        """Return the first epoch, from 1, with the least loss."""
        return 1 + self.losses.index(min(self.losses))


def replay(
    model: str,
    config: ModelConfig,
    s: Settings,
    x: Tensor,
    y: Tensor,
    seed: int,
    cells: int = 0,
    case_weights: Tensor | None = None,
) -> Replay:
    """Train according to the protocol, on all of x."""
    _, order, masks, _ = streams(seed)
    w = initial(model, config, seed, cells, s.initialiser, x.shape[1])
    learned = [name for name in w if "running" not in name and "num_batches" not in name]
    first = {name: torch.zeros_like(w[name]) for name in learned}
    second = {name: torch.zeros_like(w[name]) for name in learned}
    done, lr, best, waited, step = Replay(), s.lr, math.inf, 0, 0
    case_weights = torch.ones(len(x), dtype=torch.float64) if case_weights is None else case_weights
    for _ in range(s.epochs):
        shuffled = torch.randperm(len(x), generator=order).tolist()
        total = 0.0
        for start in range(0, len(x), s.batch_size):
            index = shuffled[start : start + s.batch_size]
            for name in learned:
                w[name] = w[name].detach().requires_grad_()
            losses = log_loss(forward(w, x[index], config, masks, training=True), y[index]) * case_weights[index]
            values = torch.autograd.grad(losses.sum() / len(index), [w[n] for n in learned], materialize_grads=True)
            gradients = dict(zip(learned, values, strict=True))
            total += losses.sum().item()
            step += 1
            with torch.no_grad():
                for name, g in gradients.items():
                    if s.optimiser == "adam":
                        first[name] = s.betas[0] * first[name] + (1 - s.betas[0]) * g
                        second[name] = s.betas[1] * second[name] + (1 - s.betas[1]) * g**2
                        mean, variance = first[name] / (1 - s.betas[0] ** step), second[name] / (1 - s.betas[1] ** step)
                        w[name] = w[name] - lr * mean / (variance.sqrt() + s.eps)
                    else:  # first: of squared gradients, second: of squared changes
                        first[name] = s.rho * first[name] + (1 - s.rho) * g**2
                        change = ((second[name] + s.eps) / (first[name] + s.eps)).sqrt() * g
                        second[name] = s.rho * second[name] + (1 - s.rho) * change**2
                        w[name] = w[name] - lr * change
        loss = total / len(x)
        done.losses.append(loss)
        done.lrs.append(lr)
        done.weights.append({name: value.detach().clone() for name, value in w.items()})
        if loss < best - s.plateau_min_delta:
            best, waited = loss, 0
        else:
            waited += 1
            if waited == s.plateau_patience:
                lr, waited = max(s.plateau_factor * lr, s.plateau_min_lr), 0
    return done


def assert_weights(actual: Weights, expected: Weights) -> None:
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), rtol=0, atol=1e-9, err_msg=name)


def assert_replayed(done: loop.Fit, expected: Replay, config: ModelConfig, x: Tensor, y: Tensor) -> None:
    np.testing.assert_allclose(done.curve.loss, expected.losses, rtol=0, atol=1e-9)
    np.testing.assert_allclose(done.curve.lr, expected.lrs, rtol=1e-12)
    least = expected.least()
    assert done.best_epoch["least_train_loss"] == least
    assert done.best_epoch["last"] == len(expected.losses)
    assert_weights(done.weights["least_train_loss"], expected.weights[least - 1])
    assert_weights(done.weights["last"], expected.weights[-1])
    cross_entropy = inference_loss(expected.weights[least - 1], x, y, config)
    assert done.train_cross_entropy == pytest.approx(cross_entropy, abs=1e-9)


# ---------------------------------------------------------------- fit, epoch by epoch


@pytest.mark.parametrize(
    ("model", "config", "cells", "n_channels", "seed", "changes"),
    [
        ("fcn", FCN, 0, 1, 0, {}),
        ("fcn", FCN, 0, 1, 0, {"initialiser": "he_uniform", "batch_size": 5, "betas": (0.8, 0.99), "eps": 1e-3}),
        ("fcn", FCN, 0, 3, 0, {}),
        ("lstm_fcn", LSTM_FCN, 3, 1, 3, {"plateau_patience": 2}),
        ("lstm_fcn", LSTM_FCN, 3, 6, 0, {}),
        ("mlp", MLP, 0, 1, 0, {"optimiser": "adadelta", "lr": 1.0, "plateau_min_lr": 0.1}),
    ],
)
def test_fit_agrees_with_the_second_loop(
    model: str, config: ModelConfig, cells: int, n_channels: int, seed: int, changes: dict[str, Any]
) -> None:
    s = settings(**changes)
    x, y = data(n_channels=n_channels)
    expected = replay(model, config, s, x, y, seed, cells)
    assert (
        1 < expected.least() < s.epochs and len(set(expected.lrs)) > 1
    )  # otherwise the test would check less than it claims
    assert_replayed(reference.fit(model, config, s, x, y, 3, seed, cells=cells), expected, config, x, y)


def test_the_batch_rule_of_a_tenth_is_used() -> None:
    s = settings(batch_size=16, batch_divisor=10, epochs=3)
    x, y = data(30)
    expected = replay("fcn", FCN, settings(batch_size=3, epochs=3), x, y, seed=0)  # 30 // 10
    assert_replayed(reference.fit("fcn", FCN, s, x, y, 3, seed=0), expected, FCN, x, y)


def test_the_loss_of_an_epoch_is_the_mean_over_cases_not_over_batches() -> None:
    """With a rate of next to nothing, an epoch's loss needs no training to work out: batches of 4, 4 and 2."""
    x, y = data()
    done = reference.fit("mlp", NO_DROPOUT, settings(lr=1e-12, epochs=2), x, y, 3, seed=0)
    losses = log_loss(forward(initial("mlp", NO_DROPOUT, 0), x, NO_DROPOUT, None, training=False), y)
    np.testing.assert_allclose(done.curve.loss, losses.mean().item(), rtol=0, atol=1e-9)
    order = torch.randperm(10, generator=streams(0)[1])
    assert abs(np.mean([part.mean().item() for part in losses[order].split(4)]) - losses.mean().item()) > 1e-3


@pytest.mark.parametrize(("optimiser", "eps"), [("adam", 1e-7), ("adam", 0.01), ("adadelta", 1e-7), ("adadelta", 0.01)])
def test_the_first_step_worked_by_hand(optimiser: str, eps: float) -> None:
    x, y = data()
    s = settings(epochs=1, batch_size=10, optimiser=optimiser, eps=eps, lr=0.02)
    w = {name: value.requires_grad_() for name, value in initial("mlp", NO_DROPOUT, seed=4).items()}
    log_loss(forward(w, x, NO_DROPOUT, None, training=False), y).mean().backward()
    after = reference.fit("mlp", NO_DROPOUT, s, x, y, 3, seed=4).weights["last"]
    for name, value in w.items():
        assert value.grad is not None
        g = value.grad
        # Adam: both means, once their bias is corrected, are of this gradient alone. Adadelta: no changes came before,
        # and the mean of squares holds a twentieth of this one.
        adadelta = math.sqrt(eps) / (0.05 * g.square() + eps).sqrt() * g
        change = g / (g.abs() + eps) if optimiser == "adam" else adadelta
        np.testing.assert_allclose(after[name].numpy(), (value - 0.02 * change).detach().numpy(), rtol=0, atol=1e-12)


def test_the_weights_kept_are_copies() -> None:
    x, y = data()
    done = reference.fit("fcn", FCN, settings(), x, y, 3, seed=0)
    kept = {name: value.clone() for name, value in done.weights["least_train_loss"].items()}
    done.load("last")
    with torch.no_grad():
        for parameter in done.network.parameters():
            parameter.zero_()
    assert all(torch.equal(value, done.weights["least_train_loss"][name]) for name, value in kept.items())
    loaded = done.load("least_train_loss")
    assert not loaded.training
    assert all(torch.equal(value, kept[name]) for name, value in loaded.state_dict().items())


# ---------------------------------------------------------------- class weights


def test_balanced_class_weights_worked_by_hand() -> None:
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    weights = reference.class_weights(y, 3, "balanced")
    assert weights is not None
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 9, 8 / 3])
    assert weights[y].mean().item() == pytest.approx(1.0)
    assert reference.class_weights(y, 3, "none") is None


def test_fit_weighs_the_loss_of_each_case() -> None:
    x, y = data()
    s = settings(class_weights="balanced")
    case_weights = torch.tensor([10 / (3 * 5), 10 / (3 * 3), 10 / (3 * 2)], dtype=torch.float64)[y]
    expected = replay("fcn", FCN, s, x, y, seed=1, case_weights=case_weights)
    done = reference.fit("fcn", FCN, s, x, y, 3, seed=1)
    assert_replayed(done, expected, FCN, x, y)  # the cross-entropy that cells are searched by is not weighted
    assert abs(done.curve.loss[0] - reference.fit("fcn", FCN, settings(), x, y, 3, seed=1).curve.loss[0]) > 1e-3


# ---------------------------------------------------------------- selections


def test_held_out_cases_select_and_do_not_train() -> None:
    x, y = data(20)
    s, seed = settings(validation=0.3, select="validation"), 0
    fitted, held = stratified_holdout(y.numpy(), 0.3, streams(seed)[3])
    assert len(held) == 3 + 2 + 1  # of 10, 6 and 4 cases
    expected = replay("fcn", FCN, s, x[fitted], y[fitted], seed)
    done = reference.fit("fcn", FCN, s, x, y, 3, seed)
    assert_replayed(done, expected, FCN, x[fitted], y[fitted])
    scores = [inference_loss(w, x[held], y[held], FCN) for w in expected.weights]
    best = 1 + scores.index(min(scores))
    assert best not in (expected.least(), s.epochs)  # else any rule would pass
    assert done.best_epoch["validation"] == best
    assert_weights(done.weights["validation"], expected.weights[best - 1])


def test_without_held_out_cases_nothing_is_selected_by_them() -> None:
    x, y = data()
    assert set(reference.fit("fcn", FCN, settings(epochs=1), x, y, 3, seed=0).weights) == {"least_train_loss", "last"}


def test_holding_out_of_classes_of_one_case_says_so() -> None:
    x, _ = data()
    with pytest.raises(
        UserError, match=r"protocol\.validation=0\.3 holds out none of 3 .*: use protocol\.validation=0"
    ):
        reference.fit("fcn", FCN, settings(validation=0.3), x[:3], torch.tensor([0, 1, 2]), 3, seed=0)


def test_the_oracle_looks_at_the_test_set_only_where_asked_and_changes_nothing_else() -> None:
    x, y = data()
    x_test, y_test = data(40, seed=5)
    s, seed = settings(epochs=8), 3
    plain = reference.fit("fcn", FCN, s, x, y, 3, seed)
    done = reference.fit("fcn", FCN, s, x, y, 3, seed, oracle=(x_test, y_test, torch.full((40,), x_test.shape[2])))
    assert "test_oracle" not in plain.weights and "test_oracle" not in plain.best_epoch
    assert done.curve == plain.curve
    assert done.train_cross_entropy == plain.train_cross_entropy
    for selection, weights in plain.weights.items():
        assert all(torch.equal(value, done.weights[selection][name]) for name, value in weights.items())
    right = [hits(w, x_test, y_test, FCN) for w in replay("fcn", FCN, s, x, y, seed).weights]
    best = 1 + right.index(max(right))  # the first of equals
    assert 1 < best < s.epochs and right.count(max(right)) > 1 and best != plain.best_epoch["least_train_loss"]
    assert done.best_epoch["test_oracle"] == best


def test_search_keeps_the_least_cross_entropy_in_inference_mode() -> None:
    x, y = data()
    s, seed = settings(cells=(2, 3, 5), epochs=6), 0
    chosen, fits = search.search("lstm_fcn", LSTM_FCN, s, x, y, 3, seed)
    assert [done.cells for done in fits] == [2, 3, 5]
    scores, losses = [], []
    for done in fits:
        alone = reference.fit("lstm_fcn", LSTM_FCN, s, x, y, 3, seed, cells=done.cells)
        assert done.curve == alone.curve
        expected = replay("lstm_fcn", LSTM_FCN, s, x, y, seed, done.cells)
        scores.append(inference_loss(expected.weights[expected.least() - 1], x, y, LSTM_FCN))
        losses.append(min(expected.losses))
        assert done.train_cross_entropy == pytest.approx(scores[-1], abs=1e-9)
    best = scores.index(min(scores))
    assert best != 0 and best != losses.index(min(losses))  # else the first, or the loss in training mode, would pass
    assert chosen is fits[best]


def test_search_of_a_network_without_an_lstm_trains_once() -> None:
    x, y = data()
    chosen, fits = search.search("fcn", FCN, settings(epochs=2), x, y, 3, seed=0)
    assert fits == [chosen] and chosen.cells == 0


def test_progress_counts_the_epochs_of_all_sizes() -> None:
    x, y = data()
    calls: list[tuple[int, int, float]] = []
    _, fits = search.search(
        "lstm_fcn",
        LSTM_FCN,
        settings(cells=(2, 3), epochs=2),
        x,
        y,
        3,
        seed=0,
        progress=lambda *now: calls.append(now),
    )
    losses = [*fits[0].curve.loss, *fits[1].curve.loss]
    assert calls == [(1, 4, losses[0]), (2, 4, losses[1]), (3, 4, losses[2]), (4, 4, losses[3])]


# ---------------------------------------------------------------- divergence


def test_a_loss_that_is_not_finite_is_named_with_its_epoch() -> None:
    x, y = data()
    with pytest.raises(loop.Diverged, match=r"training loss is (nan|inf) in epoch [12]: try a smaller protocol\.lr"):
        reference.fit("mlp", MLP, settings(lr=1e200), x, y, 3, seed=0)


# ---------------------------------------------------------------- the plateau rule


def rates(losses: list[float], **changes: float) -> list[float]:
    """Return the learning rate after each loss; by default a half after two epochs without improvement, from 1."""
    rule: dict[str, Any] = {"lr": 1.0, "factor": 0.5, "patience": 2, "min_lr": 0.0, "min_delta": 0.0} | changes
    plateau = lr_scheduler.Plateau(**rule)
    return [plateau.step(loss) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "changes", "expected"),
    [
        pytest.param([5, 5, 5, 5, 5, 5], {}, [1, 1, 0.5, 0.5, 0.25, 0.25], id="the second epoch without gain reduces"),
        pytest.param([5, 5, 5, 5], {"patience": 1}, [1, 0.5, 0.25, 0.125], id="patience of one: every such epoch"),
        pytest.param([5, 5, 4, 4, 4, 3], {}, [1, 1, 1, 1, 0.5, 0.5], id="a gain starts the count again"),
        pytest.param([5, 6, 5, 4.9, 5, 4.9], {}, [1, 1, 0.5, 0.5, 0.5, 0.25], id="an equal loss is no gain"),
        pytest.param(
            [5, 4.875, 4.75, 4.5, 4.25], {"min_delta": 0.25}, [1, 1, 0.5, 0.5, 0.5], id="gains below min_delta"
        ),
        pytest.param([5, 4.875, 4.625, 4.5, 4.25], {"min_delta": 0.25}, [1, 1, 1, 1, 1], id="they add up"),
        pytest.param([0.25, 0.125, 0.06, 0.03], {"min_delta": 0.25}, [1, 1, 0.5, 0.5], id="min_delta is absolute"),
        pytest.param([5] * 7, {"min_lr": 0.2}, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2], id="not below the floor"),
        pytest.param([5] * 9, {"min_lr": 0.2}, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2], id="and it stays there"),
        pytest.param([5] * 4, {"min_lr": 1.0}, [1, 1, 1, 1], id="a floor where it starts"),
        pytest.param([5] * 4, {"min_lr": 3.0}, [1, 1, 1, 1], id="a floor above never raises it"),
        pytest.param([5] * 4, {"patience": 0}, [1, 1, 1, 1], id="patience 0: the rate stays"),
    ],
)
def test_plateau_traces_worked_by_hand(losses: list[float], changes: dict[str, float], expected: list[float]) -> None:
    assert rates(losses, **changes) == expected


def test_the_ladder_of_fawaz_and_of_karim() -> None:
    fawaz = rates([1.0] * 301, lr=1e-3, patience=50, min_lr=1e-4, min_delta=1e-4)
    assert [1 + fawaz.index(rate) for rate in (5e-4, 2.5e-4, 1.25e-4, 1e-4)] == [51, 101, 151, 201]
    assert fawaz[-1] == 1e-4
    karim = rates([1.0] * 2000, lr=1e-3, factor=2 ** (-1 / 3), patience=100, min_lr=1e-4, min_delta=1e-4)
    ladder = list(dict.fromkeys(karim))
    assert ladder == pytest.approx([1e-3 * 2 ** (-k / 3) for k in range(10)] + [1e-4])  # 2^(-10/3) would be 0.992e-4
    assert karim[100] == ladder[1] and karim[99] == ladder[0]


def torch_rates(losses: list[float], patience: int) -> list[float]:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=1 / 16, threshold_mode="abs", min_lr=0.1, eps=0.0
    )
    found = []
    for loss in losses:
        scheduler.step(loss)
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


@pytest.mark.parametrize("patience", [1, 2, 3, 7])
def test_torchs_scheduler_agrees_at_one_patience_less_and_only_there(patience: int) -> None:
    numbers = np.random.default_rng(patience)
    late = 0
    for _ in range(40):
        # Falling walks in sixteenths: exact in floating point, so gains of exactly min_delta occur.
        losses = (np.cumsum(numbers.integers(-3, 4, size=60) - 0.2).round() / 16).tolist()
        own = rates(losses, patience=patience, min_lr=0.1, min_delta=1 / 16)
        assert own == torch_rates(losses, patience - 1)
        late += own != torch_rates(losses, patience)
    assert late > 20


def test_the_rate_in_the_curve_is_the_one_that_the_epoch_was_trained_with() -> None:
    """No loss ever falls by 10, so every epoch after the first halves the rate for the next."""
    x, y = data()
    s = settings(epochs=5, lr=0.8, plateau_min_delta=10.0, plateau_min_lr=0.15)
    assert reference.fit("mlp", MLP, s, x, y, 3, seed=0).curve.lr == [0.8, 0.8, 0.4, 0.2, 0.15]
