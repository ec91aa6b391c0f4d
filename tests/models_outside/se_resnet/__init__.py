"""SE-ResNet: the residual network with squeeze-and-excitation (Hu et al. 2018) behind each block; without torch."""

from __future__ import annotations

from dataclasses import dataclass

from tsfcn.config.checks import within
from tsfcn.config.models import ResNetConfig
from tsfcn.models import Layer, ModelSpec


@dataclass
class SEResNetConfig(ResNetConfig):
    """The settings of the residual network, and how many times narrower the gates are inside (Hu et al. 2018: 16)."""

    reduction: int = 16

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        within("reduction", self.reduction, 1)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions of the blocks, then the dense layers of the gates."""
        gates = [(width, max(1, width // self.reduction)) for width in self.filters]
        dense = [Layer(*sizes) for width, hidden in gates for sizes in ((width, hidden), (hidden, width))]
        return super().layers(n_channels, n_timepoints) + dense


MODEL = ModelSpec("se_resnet", SEResNetConfig, "se_resnet.network:SEResNet")
