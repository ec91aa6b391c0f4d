"""The networks of dense labelling: their settings, and the order in which they are trained.

Long, Shelhamer and Darrell 2015 turn an image classifier into FCN-32s, and that into FCN-16s and FCN-8s. Here the
classifier is a small network with five poolings, the least that has their strides. docs/segmentation.md says what else
differs from that paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from tsfcn.common.errors import UserError
from tsfcn.config.checks import all_within, within
from tsfcn.config.model_config import Layer, ModelConfig
from tsfcn.config.model_spec import ModelSpec

N_POOLINGS = 5
STRIDE = 2**N_POOLINGS  # timepoints between two positions of the last feature maps


@dataclass
class PooledFCNConfig(ModelConfig):
    """Five blocks of convolution, batch norm, ReLU and pooling by two, then global average pooling and a head."""

    filters: list[int] = field(default_factory=lambda: [32, 64, 128, 128, 128])
    kernels: list[int] = field(default_factory=lambda: [7, 5, 5, 5, 5])
    bn_momentum: float = 0.9
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, values in (("filters", self.filters), ("kernels", self.kernels)):
            if len(values) != N_POOLINGS:
                raise UserError(f"{name}={values} has {len(values)} values: give {N_POOLINGS}, one for each pooling")
            all_within(name, values, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions."""
        sizes = [n_channels, *self.filters]
        return [
            Layer(n_in, n_out, kernel, -(-n_timepoints // 2**number))
            for number, (n_in, n_out, kernel) in enumerate(zip(sizes, self.filters, self.kernels, strict=False))
        ]

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last pooling depends on.

        >>> PooledFCNConfig().receptive_field()
        158
        """
        field_width = 1
        for number, kernel in enumerate(self.kernels):
            field_width += kernel * 2**number  # of the kernel less one, and of the pooling
        return field_width


@dataclass
class FCN32sConfig(PooledFCNConfig):
    """FCN-32s, Long et al. 2015, section 4.1: a score layer on the last pooling, interpolated to every timepoint."""

    n_skips: ClassVar[int] = 0  # finer poolings that have a score layer too
    trains_trunk: ClassVar[bool] = True
    start: ClassVar[str] = "fcn_32s_fixed"  # the model whose weights it starts from

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions of the trunk and the score layers, whose outputs are about as many as classes."""
        trunk = super().layers(n_channels, n_timepoints)
        return trunk + [Layer(layer.n_out, 2, 1, layer.n_timepoints) for layer in trunk[::-1][: self.n_skips + 1]]


@dataclass
class FCN32sFixedConfig(FCN32sConfig):
    """FCN-32s-fixed, Long et al. 2015, table 2: the trunk stays as the classifier has it, the score layer learns."""

    trains_trunk: ClassVar[bool] = False
    start: ClassVar[str] = "pooled_fcn"


@dataclass
class FCN16sConfig(FCN32sConfig):
    """FCN-16s, Long et al. 2015, section 4.2: FCN-32s and a score layer on the fourth pooling."""

    n_skips: ClassVar[int] = 1
    start: ClassVar[str] = "fcn_32s"


@dataclass
class FCN8sConfig(FCN32sConfig):
    """FCN-8s, Long et al. 2015, section 4.2: FCN-16s and a score layer on the third pooling."""

    n_skips: ClassVar[int] = 2
    start: ClassVar[str] = "fcn_16s"


CLASSIFIER = ModelSpec("pooled_fcn", PooledFCNConfig, "tsfcn.models.segmentation:PooledFCN")
NETWORK = "tsfcn.models.segmentation:SegmentationFCN"
SEGMENTATION_MODELS = (
    CLASSIFIER,
    ModelSpec("fcn_32s_fixed", FCN32sFixedConfig, NETWORK),
    ModelSpec("fcn_32s", FCN32sConfig, NETWORK),
    ModelSpec("fcn_16s", FCN16sConfig, NETWORK),
    ModelSpec("fcn_8s", FCN8sConfig, NETWORK),
)

CONVOLUTIONISED = ("fcn", "resnet", "inception", "h_inception", "lite")  # classifiers of the papers that label too
LABELS_TIMEPOINTS = (*(spec.name for spec in SEGMENTATION_MODELS), *CONVOLUTIONISED)


def stages(model: str, config: ModelConfig) -> list[tuple[str, ModelConfig]]:
    """Return the models that are trained before a model, the first one first, with its sizes: name and settings.

    >>> [name for name, _ in stages("fcn_16s", FCN16sConfig())]
    ['pooled_fcn', 'fcn_32s_fixed', 'fcn_32s']
    """
    kinds = {spec.name: spec.settings for spec in SEGMENTATION_MODELS}
    earlier: list[tuple[str, ModelConfig]] = []
    while isinstance(config, FCN32sConfig):
        model, values = config.start, vars(config)
        config = kinds[model](**values)
        earlier.insert(0, (model, config))
    return earlier
