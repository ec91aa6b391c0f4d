"""What a network looks at: class activation maps, gradient saliency, and attention over time.

All functions take x, float (n_cases, n_channels, n_timepoints) on the network's device, of cases of one length, and
leave the network in evaluation mode. `tsfcn.analysis.explanation` applies them to any number of cases of any lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tsfcn.models import registry


@runtime_checkable
class PooledNetwork(Protocol):
    """A network whose head is linear in the mean of its feature maps over time, as all here but MLP and the encoder."""

    head: nn.Linear

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations before pooling, (n, n_filters, t), and sizes, both as in `concatenate_cases`."""


@runtime_checkable
class RecurrentNetwork(Protocol):
    """A pooled network with a recurrent branch, whose state comes first in the input of the head."""

    head: nn.Linear

    def last_state(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the state of the branch after the last step, (n, cells)."""


@runtime_checkable
class AttentiveNetwork(Protocol):
    """A network with attention."""

    def attention(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return attention weights (n, t, t) and context vectors (n, t, c); None where it is not over time."""


def is_layer(attribute: object) -> bool:
    """Return whether an attribute is a layer: a network may have one with the name of a method above."""
    return isinstance(attribute, nn.Module)


@dataclass(frozen=True)
class ActivationMaps:
    """Class activation maps, and what they add up to: maps.mean(dim=2) + network.head.bias + recurrent = logits.

    maps: (n_cases, n_classes, n_timepoints), in units of the logits. recurrent: (n_cases, n_classes), the term of the
    recurrent branch, which has no place in time; None for networks without one.
    """

    maps: Tensor
    recurrent: Tensor | None


@torch.no_grad()
def class_activation_maps(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> ActivationMaps | None:
    """Return the class activation maps of all classes; None for a network without global average pooling.

    The map of class k at timepoint t is the sum over filters f of w[k, f] * a[f, t], with the activations a of the last
    block and the weights w of the last layer: Zhou et al. 2016, equation 2; for time series Wang et al. 2017, section
    IV. Zhou et al. leave the bias out of the logit; here it is that of the head. Of LSTM-FCN and ALSTM-FCN the maps
    are those of the convolutional branch.

    Args:
        network: The network.
        x: (n_cases, n_channels, n_timepoints), of one length.
        lengths: int64 (n_cases,) on the CPU, all equal to n_timepoints; None for a network that was trained without.
    """
    if not isinstance(network, PooledNetwork) or is_layer(network.feature_maps):
        return None
    network.eval()
    features, _ = network.feature_maps(x, lengths)
    weights = network.head.weight
    n_states = weights.shape[1] - features.shape[1]  # the columns of the recurrent branch come first
    maps = torch.einsum("nft,kf->nkt", features, weights[:, n_states:])
    return ActivationMaps(maps, _recurrent_term(network, x, lengths))


def _recurrent_term(network: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return what the recurrent branch adds to the logits, (n_cases, n_classes); None without such a branch."""
    if not isinstance(network, RecurrentNetwork):
        return None
    state = network.last_state(x, lengths)
    return state @ network.head.weight[:, : state.shape[1]].T


def gradient_saliency(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the gradient of each logit with respect to the series, (n_cases, n_classes, n_channels, n_timepoints).

    Simonyan et al. 2014, section 3, who draw its absolute value. x, lengths: as for `class_activation_maps`.
    """
    network.eval()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = registry.logits(network, x, lengths)  # a row does not depend on other cases in evaluation mode
        gradients = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0] for one in logits.unbind(dim=1)]
    return torch.stack(gradients, dim=1)


@torch.no_grad()
def attention(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
    """Return the attention weights (n_cases, t, t) and context vectors (n_cases, t, n_channels) over time.

    None for networks other than ALSTM-FCN and MALSTM-FCN, and with the dimension shuffle, whose steps are channels. Row
    i of the weights is the attention of step i to all timepoints: Karim et al. 2018, section II.D. x, lengths: as for
    `class_activation_maps`.
    """
    network.eval()
    if not isinstance(network, AttentiveNetwork) or is_layer(network.attention):
        return None
    return network.attention(x, lengths)
