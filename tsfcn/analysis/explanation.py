"""Why a classifier predicts what it predicts: class activation maps, gradient saliency and attention as arrays.

    explanation = tsfcn.explain(classifier, X)
    explanation.maps            # (n_cases, n_classes, n_timepoints)

docs/explain.md shows how to read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import Float32, Int64

if TYPE_CHECKING:
    from torch import Tensor, nn

Array = npt.NDArray[Any]
BATCH_TIMEPOINTS = 2**13  # of a batch: the activations of 256 filters take 8 MiB in float32


class ExplainableClassifier(Protocol):
    """A fitted classifier of tsfcn, as FCNClassifier."""

    classes_: Array
    network_: nn.Module
    _order: Int64  # the position of each of classes_ among the logits

    def prepare(self, X: Any) -> tuple[Float32, Int64]:
        """Return the cases as the network takes them, and the timepoints of each."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a network looks at in each case. maps.mean over a case's timepoints + bias + recurrent = logits.

    Arrays are in the precision of the network. After the end of a shorter case they are NaN.

    Args:
        classes: (n_classes,), the labels in the order of all other arrays.
        x: (n_cases, n_channels, n_timepoints), the series as the network takes them (normalised).
        lengths: int64 (n_cases,), the timepoints of each case.
        logits: (n_cases, n_classes), of the network.
        maps: (n_cases, n_classes, n_timepoints), the class activation maps in units of the logits; None for MLP and the
            encoder.
        bias: (n_classes,), of the last layer; None where there are no maps.
        recurrent: (n_cases, n_classes), what the recurrent branch adds to the logits; None for a network without one.
        saliency: (n_cases, n_classes, n_channels, n_timepoints), the gradient of each logit with respect to x.
        attention: (n_cases, n_timepoints, n_timepoints), row i is the attention of step i of the LSTM to all
            timepoints; None but for ALSTM-FCN and MALSTM-FCN without the dimension shuffle.
        context: (n_cases, n_timepoints, n_channels), the context vector of each step; None likewise.
    """

    classes: Array
    x: Array
    lengths: Int64
    logits: Array
    maps: Array | None
    bias: Array | None
    recurrent: Array | None
    saliency: Array
    attention: Array | None
    context: Array | None

    @property
    def probabilities(self) -> Array:
        """The probability of each class, (n_cases, n_classes)."""
        powers = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @property
    def predicted(self) -> Int64:
        """The position in `classes` of the predicted class, int64 (n_cases,)."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    def importance(self, positions: Int64) -> Array:
        """Return how much each timepoint speaks for one class of each case, (n_cases, n_timepoints).

        It is the class activation map, or without one the absolute gradient, summed over channels.
        positions: int64 (n_cases,), the position of each case's class in `classes`.
        """
        cases = np.arange(len(positions))
        if self.maps is not None:
            return np.asarray(self.maps[cases, positions])
        return np.asarray(np.abs(self.saliency[cases, positions]).sum(axis=1))


def explain(classifier: ExplainableClassifier, X: Any) -> Explanation:
    """Return what the network of a fitted classifier looks at in each case of X.

    Args:
        classifier: An FCNClassifier or another classifier of tsfcn, fitted; or one of tsfcn.sktime.
        X: Cases in any form that `predict` of the classifier for scikit-learn takes.

    Raises:
        ValueError: X does not fit the classifier. UserError, which is a ValueError, if it is none of tsfcn.
        sklearn.exceptions.NotFittedError: The classifier is not fitted.
    """
    classifier = getattr(classifier, "classifier_", classifier)
    if not hasattr(classifier, "prepare"):
        raise UserError(
            f"explain takes a fitted classifier of tsfcn, not {type(classifier).__name__}: give its last step"
        )
    x, lengths = classifier.prepare(X)
    return explain_network(classifier.network_, x, lengths, classifier.classes_, classifier._order)


def explain_network(
    network: nn.Module,
    x: Float32,
    lengths: Int64,
    classes: Sequence[Any] | Array,
    order: Int64 | None = None,
) -> Explanation:
    """Return what a network looks at in prepared cases.

    Args:
        network: The network.
        x: (n_cases, n_channels, n_timepoints), prepared.
        lengths: int64 (n_cases,), the timepoints of each case that the network sees.
        classes: The labels in the order of the result.
        order: int64 (n_classes,), the position of each of them among the logits; None: their own order.
    """
    from tsfcn.models import cam

    parts = _explain_batches(network, x, lengths)
    arrays = {name: _joined([(rows, part[name]) for rows, part in parts], len(x)) for name in parts[0][1]}
    order = np.arange(len(classes)) if order is None else order
    for name in ("logits", "maps", "recurrent", "saliency"):
        arrays[name] = None if arrays[name] is None else arrays[name][:, order]
    bias = None
    if isinstance(network, cam.PooledNetwork) and arrays["maps"] is not None:
        bias = network.head.bias.detach().cpu().numpy()[order]
    return Explanation(classes=np.asarray(classes), lengths=lengths, bias=bias, **arrays)


def _explain_batches(network: nn.Module, x: Float32, lengths: Int64) -> list[tuple[Int64, dict[str, Tensor | None]]]:
    """Return for each batch the positions of its cases and what `_explain_batch` returns of them."""
    import torch

    first = next(network.parameters())
    tensor = torch.from_numpy(x).to(device=first.device, dtype=first.dtype)
    # One case at a time with attention over time: the memory for its gradients grows with the square of the length.
    n_timepoints = 1 if _attends_over_time(network, tensor, lengths) else BATCH_TIMEPOINTS
    return [
        (rows, _explain_batch(network, tensor[torch.from_numpy(rows)][:, :, :length], length))
        for rows, length in _batches(lengths, n_timepoints)
    ]


def _attends_over_time(network: nn.Module, x: Tensor, lengths: Int64) -> bool:
    """Return whether a network has attention over time, by its attention to the first case."""
    import torch

    from tsfcn.models import cam

    return cam.attention(network, x[:1, :, : lengths[0]], torch.from_numpy(lengths[:1])) is not None


def _batches(lengths: Int64, n_timepoints: int) -> Iterator[tuple[Int64, int]]:
    """Yield the positions of cases of one length, in batches of about so many timepoints, and that length."""
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        size = max(1, n_timepoints // length)
        yield from ((rows[start : start + size], length) for start in range(0, len(rows), size))


def _explain_batch(network: nn.Module, x: Tensor, length: int) -> dict[str, Tensor | None]:
    """Return the fields of an Explanation of a batch of cases of one length, in the order of the logits."""
    import torch

    from tsfcn.models import cam, registry

    lengths = torch.full((len(x),), length)
    with torch.no_grad():
        logits = registry.logits(network.eval(), x, lengths)
    maps = cam.class_activation_maps(network, x, lengths)
    attention, context = cam.attention(network, x, lengths) or (None, None)
    return {
        "x": x,
        "logits": logits,
        "maps": None if maps is None else maps.maps,
        "recurrent": None if maps is None else maps.recurrent,
        "saliency": cam.gradient_saliency(network, x, lengths),
        "attention": attention,
        "context": context,
    }


def _joined(parts: Iterable[tuple[Int64, Tensor | None]], n_cases: int) -> Any:
    """Return the arrays of batches as one array, NaN where a case is shorter than the longest; None for none."""
    arrays = [(rows, part.detach().cpu().numpy()) for rows, part in parts if part is not None]
    if not arrays:
        return None
    shape = np.max([array.shape[1:] for _, array in arrays], axis=0)
    joined = np.full((n_cases, *shape), np.nan, dtype=arrays[0][1].dtype)
    for rows, array in arrays:
        inside: tuple[Any, ...] = (rows, *map(slice, array.shape[1:]))
        joined[inside] = array
    return joined
