"""Training on streams and the metrics of labels, compared with numbers by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.factories import settings, small_config
from tsfcn.common.errors import UserError
from tsfcn.data.streams import NO_LABEL
from tsfcn.training import segmentation
from tsfcn.training.loop import Fit, train_epochs
from tsfcn.training.segmentation import SegmentationTraining, metrics

SIZES = {"filters": [3, 4, 5, 6, 5], "kernels": [3, 3, 3, 3, 3]}

# ---------------------------------------------------------------------------------------------------------------------
# Metrics


def test_metrics_by_hand() -> None:
    """Three classes: 5, 3 and 2 timepoints; 4, 2 and 2 of them right."""
    y_true = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    found = metrics(y_true, predicted, 3)
    assert found.accuracy == pytest.approx(8 / 10)
    assert found.mean_accuracy == pytest.approx((4 / 5 + 2 / 3 + 2 / 2) / 3)
    ious = [
        4 / 5,
        2 / 4,
        2 / 3,
    ]  # right / (true + predicted - right): 4 / (5 + 4 - 4), 2 / (3 + 3 - 2), 2 / (2 + 3 - 2)
    assert found.mean_iu == pytest.approx(sum(ious) / 3)
    assert found.frequency_weighted_iu == pytest.approx((5 * ious[0] + 3 * ious[1] + 2 * ious[2]) / 10)


def test_a_class_that_is_absent_and_not_predicted_is_left_out() -> None:
    y_true, predicted = np.array([0, 0, 2]), np.array([0, 2, 2])
    assert metrics(y_true, predicted, 3) == metrics(y_true, predicted, 5)
    with_wrong = metrics(
        y_true, np.array([0, 1, 2]), 3
    )  # class 1 is predicted: its IU of 0 counts, its accuracy does not
    assert with_wrong.mean_iu == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert with_wrong.mean_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert with_wrong.frequency_weighted_iu == pytest.approx((2 * 1 / 2 + 1) / 3)


# ---------------------------------------------------------------------------------------------------------------------
# Training


def streams(n: int = 3, n_timepoints: int = 80) -> tuple[Tensor, Tensor]:
    """Return streams whose class is the sign of their level, with some timepoints that have no label."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(n_timepoints) // 20 % 2).repeat(n, 1)
    x = (2.0 * y - 1 + 0.1 * torch.randn(y.shape, generator=generator)).unsqueeze(1)
    y[:, :5] = NO_LABEL
    return x.double(), y


def training(model: str = "fcn_8s", start: dict[str, Tensor] | None = None, **options: Any) -> SegmentationTraining:
    changes = {"select": "last", "batch_size": 2, **options.pop("changes", {})}
    x, y = options.pop("streams", streams())
    given = {"start": start or {}, "sampling": 1.0, **options}
    return SegmentationTraining(model, small_config(model, **SIZES), settings(**changes), x, y, 2, 0, **given)


def trained(each: SegmentationTraining) -> Fit:
    train_epochs(each, None, None)
    return each.fit()


def test_the_loss_of_an_epoch_is_the_mean_over_labelled_timepoints() -> None:
    """The scores start at zero, so that the first loss is that of equal probabilities, whatever has no label."""
    each = training(changes={"batch_size": 3, "epochs": 1})
    assert each.train_epoch() == pytest.approx(np.log(2), rel=1e-12)


def test_a_timepoint_without_label_changes_nothing() -> None:
    x, y = streams()
    other = y.clone()
    other[:, 40:] = NO_LABEL
    network = training().network.eval()
    with torch.no_grad():
        nn.init.normal_(network.get_parameter("scores.0.weight"), generator=torch.Generator().manual_seed(3))
        full, part = segmentation.losses(network, x, y), segmentation.losses(network, x, other)
    assert torch.equal(part[:, :40], full[:, :40]) and not part[:, 40:].any() and not full[:, :5].any()


def test_a_few_epochs_learn_the_level_of_a_stream() -> None:
    fit = trained(training("fcn_8s", changes={"epochs": 30, "lr": 0.02}))
    x, y = streams()
    with torch.no_grad():
        predicted = fit.network(x).argmax(dim=1)
    assert (predicted == y)[y != NO_LABEL].double().mean() > 0.9
    assert fit.curve.loss[-1] < 0.3 < fit.curve.loss[0]
    assert fit.train_cross_entropy < 0.5


def test_a_stage_starts_from_the_weights_of_the_one_before() -> None:
    coarse = trained(training("fcn_32s", changes={"epochs": 2}))
    fine = training("fcn_16s", start=coarse.weights["last"])
    state = fine.network.state_dict()
    for name, value in coarse.weights["last"].items():
        assert torch.equal(state[name], value)
    assert not state["scores.1.weight"].any()  # what is new


def test_a_training_that_is_resumed_ends_with_the_same_bits() -> None:
    whole = trained(training(sampling=0.5, changes={"epochs": 4}))
    first = training(sampling=0.5, changes={"epochs": 4})
    first.advance()
    first.advance()
    second = training(sampling=0.5, changes={"epochs": 4}, resume_from=first.state())
    resumed = trained(second)
    assert resumed.curve == whole.curve
    assert all(torch.equal(value, whole.weights["last"][name]) for name, value in resumed.weights["last"].items())


def test_loss_sampling_counts_whole_cells_and_enlarges_the_batch() -> None:
    x, y = torch.zeros(40, 1, 100).double(), torch.ones(40, 100, dtype=torch.int64)
    each = training(sampling=0.25, streams=(x, y))
    sampled = each.sampled(y)
    cells = [sampled[:, start : start + 32] for start in range(0, 100, 32)]  # the last one is shorter
    assert all((cell == cell[:, :1]).all() for cell in cells)
    share = torch.cat([cell[:, 0] for cell in cells]).eq(1).double().mean()
    assert 0.15 < share < 0.35
    assert each.settings.batch(40) == 2  # of which a step takes four times as many: 40 streams are 5 steps
    steps = []
    each.optimizer.register_step_post_hook(lambda *_: steps.append(1))
    each.train_epoch()
    assert len(steps) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": 0.2, "select": "last"}, "validation"),
        ({"class_weights": "balanced"}, "class_weights=balanced is for cases"),
        ({"select": "test_oracle"}, "selection"),
    ],
)
def test_settings_for_cases_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        segmentation.check(replace(settings(select="last"), **changes))


def test_streams_of_unequal_length_are_joined_without_labels_at_their_ends() -> None:
    short = np.ones((1, 3), dtype=np.float32), np.array([0, 1, 1])
    long = np.ones((1, 5), dtype=np.float32), np.array([1, 1, 0, 0, 0])
    x, y = segmentation.joined([short, long], torch.float64, torch.device("cpu"))
    assert x.tolist() == [[[1, 1, 1, 0, 0]], [[1, 1, 1, 1, 1]]]
    assert y.tolist() == [[0, 1, 1, NO_LABEL, NO_LABEL], [1, 1, 0, 0, 0]]
