"""Properties of the training loop besides its numbers: determinism, no side effects, inference in any chunks."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import factories
from tests.factories import small_config
from tests.networks import Mixed, Pooled
from tsfcn.common.errors import UserError
from tsfcn.config.model_spec import register
from tsfcn.config.models import MODELS, FCNConfig, spec
from tsfcn.config.protocol import Settings
from tsfcn.data import preprocess, splits
from tsfcn.models import initialisers, registry
from tsfcn.training import loop, predict, reference, search

CONFIGS = {model: small_config(model) for model in MODELS}

X = torch.randn(11, 1, 12, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])


def settings(model: str, validation: float = 0.0) -> Settings:
    """Return settings of three epochs in batches of 4."""
    return factories.settings(
        validation=validation,
        optimiser="adadelta" if model == "mlp" else "adam",
        initialiser="he_uniform",
        cells=(3, 5) if "lstm" in model else (),
    )


def trained(model: str, seed: int, validation: float = 0.0) -> loop.Fit:
    return search.search(model, CONFIGS[model], settings(model, validation), X, Y, 3, seed)[0]


def same_bits(one: loop.Fit, two: loop.Fit) -> bool:
    """Return whether two fits agree in every bit: curve, selections, weights, statistics, training cross-entropy."""
    return (
        one.curve == two.curve
        and one.best_epoch == two.best_epoch
        and one.cells == two.cells
        and one.train_cross_entropy == two.train_cross_entropy
        and one.weights.keys() == two.weights.keys()
        and all(
            torch.equal(value, two.weights[selection][name])
            for selection, weights in one.weights.items()
            for name, value in weights.items()
        )
    )


@pytest.mark.parametrize("model", sorted(CONFIGS))
def test_the_same_seed_gives_the_same_bits_whatever_ran_before(model: str) -> None:
    first = trained(model, seed=0, validation=0.3)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    torch.nn.Linear(5, 5)(torch.randn(7, 5)).sum().backward()
    trained(model, seed=1)
    assert same_bits(first, trained(model, seed=0, validation=0.3))


@pytest.mark.parametrize("model", sorted(CONFIGS))
def test_every_seed_trains_differently(model: str) -> None:
    losses = [tuple(trained(model, seed).curve.loss) for seed in (0, 1, 2, 2**31, 2**40)]
    assert len(set(losses)) == 5


@pytest.mark.parametrize("model", sorted(CONFIGS))
def test_training_leaves_the_data_and_the_global_random_states_alone(model: str) -> None:
    x, y = X.clone(), Y.clone()
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    trained(model, seed=0, validation=0.3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]
    assert torch.equal(X, x) and torch.equal(Y, y)


def test_training_takes_the_type_of_the_data() -> None:
    done = reference.fit("fcn", CONFIGS["fcn"], settings("fcn"), X.double(), Y, 3, seed=0)
    assert {value.dtype for value in done.network.parameters()} == {torch.float64}
    single = trained("fcn", seed=0)
    assert {value.dtype for value in single.network.parameters()} == {torch.float32}
    assert done.curve.loss[0] == pytest.approx(single.curve.loss[0], rel=1e-4)  # one start, one order
    assert done.curve.loss != single.curve.loss


@pytest.mark.parametrize(("n_cases", "n_timepoints"), [(5, 2**15), (2, 2**16 + 1)])
def test_inference_does_not_depend_on_how_the_cases_are_split(n_cases: int, n_timepoints: int) -> None:
    """The first case has batches of 2, 2 and 1; in the second, each series is longer than a batch may be."""
    assert n_cases * n_timepoints > predict.PREDICT_TIMEPOINTS
    network = registry.build("fcn", FCNConfig(filters=[2], kernels=[3]), 1, n_timepoints, 3, cells=0)
    initialisers.initialise(network, "he_uniform", torch.Generator().manual_seed(0))
    x = torch.randn(n_cases, 1, n_timepoints, generator=torch.Generator().manual_seed(1))
    network.train()(100 * x)  # changes the running statistics, so that they are not those of a batch
    actual = predict.predict(network, x)
    assert not network.training and not actual.requires_grad
    assert actual.dtype == torch.float64 and actual.shape == (n_cases, 3)
    np.testing.assert_allclose(actual.exp().sum(dim=1).numpy(), 1.0, rtol=1e-12)
    for order in ([[case] for case in range(n_cases)], [list(range(n_cases))]):
        whole = torch.cat([torch.log_softmax(network(x[part]).detach().double(), dim=1) for part in order])
        np.testing.assert_allclose(actual.numpy(), whole.numpy(), rtol=0, atol=1e-6)


def test_cross_entropy_and_accuracy_worked_by_hand() -> None:
    log_probabilities = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.4, 0.4, 0.2], [0.2, 0.2, 0.6]]).double())
    assert predict.cross_entropy(log_probabilities, torch.tensor([0, 1, 0])) == pytest.approx(
        -(np.log(0.5) + np.log(0.4) + np.log(0.2)) / 3, rel=1e-6
    )
    assert predict.accuracy(log_probabilities, torch.tensor([0, 0, 0])) == pytest.approx(2 / 3)
    assert predict.accuracy(log_probabilities, torch.tensor([0, 1, 2])) == pytest.approx(2 / 3)  # of equals the first


@pytest.mark.parametrize("policy", ["pad", "mask"])
def test_what_is_predicted_for_a_case_does_not_depend_on_the_length_of_another(policy: str) -> None:
    rng = np.random.default_rng(0)
    x_train = rng.normal(size=(6, 1, 9))
    x_test = np.full((4, 1, 14), np.nan)
    for case, length in enumerate((5, 9, 14, 11)):
        x_test[case, 0, :length] = rng.normal(size=length)

    def predicted(chosen: list[int]) -> torch.Tensor:
        data = preprocess.prepare(
            x_train,
            ["a", "b"] * 3,
            x_test[chosen],
            ["a"] * len(chosen),
            normalisation="series",
            missing="zero",
            length=policy,
            unequal=True,
            fixed_length=False,
        )
        network = registry.build("fcn", FCNConfig(filters=[4], kernels=[3]), 1, 9, 2, 0).double()
        initialisers.initialise(network, "glorot_uniform", torch.Generator().manual_seed(0))
        x = torch.from_numpy(data.x_test).double()
        return predict.predict(network, x, torch.from_numpy(data.test_lengths))

    together = predicted([0, 1, 2, 3])
    for case in range(4):
        torch.testing.assert_close(together[case], predicted([case])[0], rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- length=mask

LENGTHS = torch.tensor([3, 12, 1, 7, 12, 2, 5, 9, 12, 4, 6])
MASKABLE = [model for model in MODELS if spec(model).masks]


def masked(model: str, x: torch.Tensor, lengths: torch.Tensor | None, validation: float = 0.0) -> loop.Fit:
    """Return a network trained on x, with zeros after the end of each case."""
    if lengths is not None:
        x = torch.where(torch.arange(x.shape[2]) < lengths[:, None, None], x, 0.0)
    return search.search(model, CONFIGS[model], settings(model, validation), x, Y, 3, 0, lengths=lengths)[0]


@pytest.mark.parametrize("validation", [0.0, 0.3])
@pytest.mark.parametrize("model", MASKABLE)
def test_with_lengths_that_are_all_the_same_training_has_the_bits_of_training_without(
    model: str, validation: float
) -> None:
    assert same_bits(masked(model, X, torch.full((11,), 12), validation), masked(model, X, None, validation))


@pytest.mark.parametrize("model", ["fcn", "resnet"])
def test_how_far_the_cases_are_padded_does_not_matter(model: str) -> None:
    """The last batch of 11 in fours is of three cases; under seed 0 the held-out ones are of several lengths."""
    wide = torch.nn.functional.pad(X, (0, 20), value=1e6)
    assert same_bits(masked(model, X, LENGTHS, 0.3), masked(model, wide, LENGTHS, 0.3))
    assert masked(model, X, LENGTHS).curve != masked(model, X, None).curve


@pytest.mark.parametrize("model", MASKABLE)
def test_masked_cases_select_and_are_scored_at_their_own_length(model: str) -> None:
    done = masked(model, X, LENGTHS, validation=0.3)
    again = masked(model, X, LENGTHS, validation=0.3)
    assert same_bits(done, again)
    fitted, held = splits.stratified_holdout(Y.numpy(), 0.3, int(np.random.SeedSequence(0).generate_state(4)[3]))

    def alone(selection: str, index: np.ndarray) -> float:
        network = done.load(selection)
        logs = [predict.predict(network, X[[i], :, : int(LENGTHS[i])], LENGTHS[[i]]) for i in index]
        return predict.cross_entropy(torch.cat(logs), Y[index])

    assert done.train_cross_entropy == pytest.approx(alone("least_train_loss", fitted), rel=1e-6)
    last, kept = alone("last", held), alone("validation", held)
    assert kept <= last * (1 + 1e-6)
    if done.best_epoch["validation"] == 3:
        assert kept == pytest.approx(last, rel=1e-6)


@pytest.mark.parametrize("model", MASKABLE)
def test_a_batch_of_one_case_of_one_timepoint_trains(model: str) -> None:
    """Five batches of one case; PyTorch's batch norm would refuse those of one timepoint."""
    lengths = torch.tensor([1, 2, 1, 12, 3])
    x = torch.where(torch.arange(12) < lengths[:, None, None], X[:5], 0.0)
    single = dataclasses.replace(settings(model), batch_size=1)
    done = search.search(model, CONFIGS[model], single, x, Y[:5], 3, 0, lengths=lengths)[0]
    assert all(np.isfinite(done.curve.loss)) and np.isfinite(done.train_cross_entropy)
    done = search.search(model, CONFIGS[model], single, X[:5, :, :1], Y[:5], 3, 0)[0]  # the same without a mask
    assert all(np.isfinite(done.curve.loss)) and np.isfinite(done.train_cross_entropy)


@pytest.mark.parametrize(("n_cases", "n_timepoints"), [(5, 2**15), (2, 2**16 + 1)])
def test_inference_of_masked_cases_stays_within_its_batches(n_cases: int, n_timepoints: int) -> None:
    network = registry.build("fcn", FCNConfig(filters=[2], kernels=[3]), 1, n_timepoints, 3, cells=0)
    seen: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    lengths = torch.tensor([n_timepoints - 1] * (n_cases - 1) + [3])
    predict.predict(network, torch.zeros(n_cases, 1, n_timepoints), lengths)
    assert max(seen) <= max(predict.PREDICT_TIMEPOINTS, n_timepoints) and sum(seen) == int(lengths.sum())


# ---------------------------------------------------------------------------------------------------------------------
# Networks of the user, which draw from the global generators


def user_fit(seed: int = 0, **options: Any) -> loop.Fit:
    """Train tests.networks.Mixed for six epochs."""
    name = register(Mixed).name
    return reference.fit(name, spec(name).settings(), factories.settings(epochs=6), X, Y, 3, seed, **options)


def test_a_network_that_draws_from_global_generators_follows_the_seed(forgotten_models: None) -> None:
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    first = user_fit()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    trained("lstm_fcn", seed=1)
    assert same_bits(first, user_fit())
    assert len({tuple(user_fit(seed).curve.loss) for seed in (0, 1, 2**40)}) == 3


def test_its_resumed_training_has_the_same_bits(forgotten_models: None) -> None:
    states: list[bytes] = []

    def keep(state: Callable[[], Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state(), buffer)
        states.append(buffer.getvalue())

    whole = user_fit(on_epoch_end=keep)
    for written in states:
        user_fit(seed=3)
        assert same_bits(whole, user_fit(resume_from=torch.load(io.BytesIO(written), weights_only=True)))


def test_its_trainings_in_threads_have_the_bits_of_those_alone(forgotten_models: None) -> None:
    seeds = (0, 1, 2)
    alone = {seed: user_fit(seed) for seed in seeds}
    with ThreadPoolExecutor(6) as pool:
        others = [pool.submit(trained, "lstm_fcn", seed) for seed in seeds]
        together = dict(zip(seeds, pool.map(user_fit, seeds), strict=True))
    assert all(same_bits(alone[seed], together[seed]) for seed in seeds)
    assert all(same_bits(other.result(), trained("lstm_fcn", seed)) for seed, other in zip(seeds, others, strict=True))


def test_it_is_checked_on_its_cases_and_its_errors_in_training_are_one_line(forgotten_models: None) -> None:
    class Normed(Pooled):
        def __init__(self, n_channels: int, n_timepoints: int, n_classes: int) -> None:
            super().__init__(n_channels, n_timepoints, n_classes)
            self.head = nn.Sequential(nn.Linear(4, n_classes), nn.BatchNorm1d(n_classes))  # type: ignore[assignment]

    class Wrong(Pooled):
        def __init__(self, n_channels: int, n_timepoints: int, n_classes: int) -> None:
            super().__init__(n_channels, n_timepoints, n_classes + 1)

    def refused(network: type, batch_size: int) -> str:
        name = register(network).name
        settings = factories.settings(batch_size=batch_size)
        with pytest.raises(UserError) as caught:
            reference.fit(name, spec(name).settings(), settings, X, Y, 3, 0)
        return str(caught.value)

    assert refused(Normed, 5).startswith(
        "network Normed fails in training with 5 cases in a batch and 1 in the last (Va"
    )
    assert refused(Normed, 5).endswith(
        "): correct its forward, or change protocol.batch_size or protocol.batch_divisor"
    )
    assert refused(Wrong, 4).startswith(
        "network Wrong returns (2, 4) for cases of 1 channel and 12 timepoints, 3 classes"
    )
