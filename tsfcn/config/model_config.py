"""The settings of a model, and what they say about the sizes of its network. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A convolution or a dense layer, for the estimates of time and memory."""

    n_in: int  # channels, or inputs of a dense layer
    n_out: int
    kernel: int = 1  # timepoints
    n_timepoints: int = 1  # length of the output; 1 for a dense layer
    groups: int = 1  # of channels that are convolved by themselves; n_in of a depthwise convolution
    kept: int = 2  # values for each output that the backward pass needs: what was computed, and that rectified

    @property
    def n_weights(self) -> int:
        """The number of weights, without biases."""
        return self.n_in // self.groups * self.n_out * self.kernel

    @property
    def n_multiplications(self) -> int:
        """The multiplications of the forward pass of one case."""
        return self.n_timepoints * self.n_weights

    @property
    def n_activations(self) -> int:
        """The output values of one case."""
        return self.n_timepoints * self.n_out


@dataclass(frozen=True)
class LSTMShape:
    """The input of a network's LSTM for one case."""

    n_steps: int
    n_features: int
    attention: bool = False  # whether each step attends to all steps


@dataclass
class ModelConfig:
    """Base class of the settings of a model.

    A subclass is a dataclass whose defaults are the published values, checked in `__post_init__`. Its methods describe
    the network that the settings give; it defines at least `layers`.
    """

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions and dense layers of the network in order, without the head and an LSTM."""
        raise NotImplementedError

    def lstm(self, n_channels: int, n_timepoints: int) -> LSTMShape | None:
        """Return the input of the network's LSTM for one case; None without an LSTM."""
        return None

    def fixed_length(self) -> bool:
        """Return whether the network takes series of one length only."""
        return False

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last convolution depends on.

        This is for convolutions one after another, without dilation; others compute it anew.

        >>> from tsfcn.config.models import FCNConfig
        >>> FCNConfig().receptive_field()
        14
        """
        return 1 + sum(layer.kernel - 1 for layer in self.layers(n_channels=1, n_timepoints=1))

    def row_name(self, model: str) -> str:
        """Return the name of a model with its default settings, as it stands in tables."""
        return model

    def changed(self) -> dict[str, Any]:
        """Return the settings that are not at their defaults, which stand in brackets behind the name in tables."""
        return changes(self, type(self)())


def changes(now: object, then: object) -> dict[str, Any]:
    """Return the fields of the dataclass `now` whose values differ from those of `then`, with the values of `now`."""
    old = asdict(then)  # type: ignore[call-overload]
    new: dict[str, Any] = asdict(now)  # type: ignore[call-overload]
    return {name: value for name, value in new.items() if value != old[name]}
