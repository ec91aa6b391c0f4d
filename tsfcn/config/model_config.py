"""The settings of a model, and what they say about the sizes of its network. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution or a dense layer, for the estimates of time and memory."""

    n_in: int  # channels, or inputs of a dense layer
    n_out: int
    kernel: int = 1  # timepoints
    n_timepoints: int = 1  # length of the output; 1 for a dense layer

    @property
    def n_weights(self) -> int:
        """The number of weights, without biases."""
        return self.n_in * self.n_out * self.kernel

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
