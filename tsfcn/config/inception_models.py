"""The settings of the Inception network and of the networks that were made from it, with published values and ranges.

They are registered in models.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tsfcn.common.errors import UserError
from tsfcn.config.checks import all_within, within
from tsfcn.config.model_config import Layer, ModelConfig

POOL = 3  # timepoints of the maximum in a module
HAND_CRAFTED = 17  # the constant filters of tsfcn.models.hand_crafted
HAND_CRAFTED_KERNEL = 96  # timepoints of the widest of them


@dataclass
class InceptionConfig(ModelConfig):
    """The Inception network of Ismail Fawaz et al. 2020."""

    filters: int = 32  # of each convolution of a module
    kernels: list[int] = field(default_factory=lambda: [40, 20, 10])  # timepoints
    bottleneck: int = 32  # channels that the convolutions of a module get, if its input has several; 0: all
    depth: int = 6  # modules
    residual: bool = True  # a shortcut around every three modules
    bn_momentum: float = 0.99
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        all_within("kernels", self.kernels, 1)
        within("filters", self.filters, 1)
        within("bottleneck", self.bottleneck, 0)
        within("depth", self.depth, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)

    def has_bottleneck(self, n_in: int) -> bool:
        """Return whether a module with `n_in` input channels has a bottleneck."""
        return self.bottleneck > 0 and n_in > 1

    def bottleneck_width(self, n_in: int) -> int:
        """Return the channels that the convolutions of a module with `n_in` input channels get."""
        return self.bottleneck if self.has_bottleneck(n_in) else n_in

    def output_widths(self) -> list[int]:
        """Return the output channels of each module."""
        return [self.filters * (len(self.kernels) + 1)] * self.depth

    def shortcut_starts(self) -> range:
        """Return the positions of the modules whose input a shortcut takes."""
        return range(0, self.depth - 2, 3) if self.residual else range(0)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions of each module, and those of the shortcuts."""
        layers, widths = [], [n_channels, *self.output_widths()]
        for index, n_in in enumerate(widths[:-1]):
            narrow = self.bottleneck_width(n_in)
            layers += [Layer(n_in, narrow, 1, n_timepoints)] if self.has_bottleneck(n_in) else []
            layers += [Layer(narrow, self.filters, kernel, n_timepoints) for kernel in self.kernels]
            layers += [Layer(n_in, self.filters, 1, n_timepoints)]
            if index in self.shortcut_starts():
                layers += [Layer(n_in, widths[index + 3], 1, n_timepoints)]
        return layers

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last module depends on."""
        return 1 + self.depth * (max(*self.kernels, POOL) - 1)


@dataclass
class HInceptionConfig(InceptionConfig):
    """The Inception network with hand-crafted filters in its first module, Ismail-Fawaz et al. 2022."""

    def output_widths(self) -> list[int]:
        """Return the output channels of each module."""
        first, *others = super().output_widths()
        return [first + HAND_CRAFTED, *others]

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions of the modules and of the shortcuts, and the hand-crafted filters."""
        return [*super().layers(n_channels, n_timepoints), Layer(1, HAND_CRAFTED, HAND_CRAFTED_KERNEL, n_timepoints)]

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last module depends on."""
        first, others = max(*self.kernels, HAND_CRAFTED_KERNEL), max(*self.kernels, POOL)
        return first + (self.depth - 1) * (others - 1)


@dataclass
class LITEConfig(ModelConfig):
    """LITE, the light Inception network of Ismail-Fawaz et al. 2023."""

    filters: int = 32  # of each convolution
    kernels: list[int] = field(default_factory=lambda: [40, 20, 10])  # timepoints, of the first layer's convolutions
    separable_kernels: list[int] = field(default_factory=lambda: [20, 10])  # timepoints, of the layers behind it
    dilations: list[int] = field(default_factory=lambda: [2, 4])  # of the same layers
    hand_crafted: bool = True  # 17 constant filters beside the first layer's convolutions
    bn_momentum: float = 0.99
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        all_within("kernels", self.kernels, 1)
        all_within("separable_kernels", self.separable_kernels, 1)
        if len(self.separable_kernels) != len(self.dilations):
            raise UserError(
                f"separable_kernels={self.separable_kernels} and dilations={self.dilations} are of different length: "
                "give one dilation for each kernel"
            )
        all_within("dilations", self.dilations, 1)
        within("filters", self.filters, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)

    def first_width(self, n_channels: int) -> int:
        """Return the output channels of the first layer."""
        return self.filters * len(self.kernels) + (HAND_CRAFTED * n_channels if self.hand_crafted else 0)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions; a separable one is two."""
        layers = []
        for kernel in self.kernels:
            if n_channels == 1:
                layers += [Layer(1, self.filters, kernel, n_timepoints)]
            else:
                layers += separable(n_channels, self.filters, kernel, n_timepoints)
        if self.hand_crafted:
            layers += [Layer(1, HAND_CRAFTED * n_channels, HAND_CRAFTED_KERNEL, n_timepoints)]
        n_in = self.first_width(n_channels)
        for kernel in self.separable_kernels:
            layers += separable(n_in, self.filters, kernel, n_timepoints)
            n_in = self.filters
        return layers

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last convolution depends on."""
        first = max(*self.kernels, HAND_CRAFTED_KERNEL if self.hand_crafted else 1)
        separable = zip(self.separable_kernels, self.dilations, strict=True)
        return first + sum((kernel - 1) * dilation for kernel, dilation in separable)


def separable(n_in: int, n_out: int, kernel: int, n_timepoints: int) -> list[Layer]:
    """Return the two convolutions of a depthwise separable one."""
    return [Layer(n_in, n_in, kernel, n_timepoints, groups=n_in), Layer(n_in, n_out, 1, n_timepoints)]
