"""The models of the papers: their settings, with published values and ranges, and their registration.

The networks are in tsfcn.models and are imported when one is built, so this module needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass
from typing import ClassVar, Optional

from tsfcn.common.errors import UserError
from tsfcn.config import model_spec
from tsfcn.config.checks import all_within, one_of, within
from tsfcn.config.inception_models import HInceptionConfig, InceptionConfig, LITEConfig
from tsfcn.config.libraries import LIBRARIES
from tsfcn.config.model_config import Layer, LSTMShape, ModelConfig
from tsfcn.config.model_spec import ModelSpec, PublishedSize, names, register, spec
from tsfcn.config.segmentation_models import SEGMENTATION_MODELS

__all__ = [
    "MODELS",
    "ALSTMFCNConfig",
    "EncoderConfig",
    "FCNConfig",
    "HInceptionConfig",
    "InceptionConfig",
    "LITEConfig",
    "LSTMFCNConfig",
    "MALSTMFCNConfig",
    "MLPConfig",
    "MLSTMFCNConfig",
    "ModelConfig",
    "ModelsConfig",
    "ResNetConfig",
    "in_every_process",
    "models_schema",
    "names",
    "spec",
]

# conf/model/*.yaml repeat the defaults of these classes with their sources, so that `--cfg job` shows every value.
# A test checks that the two are equal.


def check_convolutions(filters: list[int], kernels: list[int], part: str) -> None:
    """Raise UserError unless each part of a network, a block or a convolution, has filters and a kernel."""
    if not filters or len(filters) != len(kernels):
        raise UserError(
            f"filters={filters} and kernels={kernels} are of different length (or empty): "
            f"give one kernel size for each {part}"
        )
    all_within("filters", filters, 1)
    all_within("kernels", kernels, 1)


@dataclass
class FCNConfig(ModelConfig):
    """The three-block temporal FCN of Wang et al. 2017, section II.B."""

    filters: list[int] = field(default_factory=lambda: [128, 256, 128])
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # timepoints
    bn_momentum: float = 0.99  # Keras' convention: weight of the running value in each update
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_convolutions(self.filters, self.kernels, "block")
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions."""
        sizes = [n_channels, *self.filters]
        return [
            Layer(n_in, n_out, kernel, n_timepoints)
            for n_in, n_out, kernel in zip(sizes, self.filters, self.kernels, strict=False)
        ]


@dataclass
class LSTMFCNConfig(FCNConfig):
    """The FCN with a parallel LSTM branch, Karim et al. 2018, section III."""

    attention: ClassVar[bool] = False

    cells: Optional[int] = None  # noqa: UP045 (OmegaConf 2.3 needs Optional); None: search the protocol's sizes
    dropout: float = 0.8  # probability of dropping an output of the LSTM
    shuffle: bool = True  # dimension shuffle: a channel is one step with n_timepoints features
    gates: str = "hard_sigmoid"

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.cells is not None:
            within("cells", self.cells, 1)
        within("dropout", self.dropout, 0, 1, open_high=True)
        one_of("gates", self.gates, ("hard_sigmoid", "sigmoid"))

    def lstm(self, n_channels: int, n_timepoints: int) -> LSTMShape:
        """Return the input of the LSTM: the steps are channels with the shuffle, timepoints without it."""
        steps, features = (n_channels, n_timepoints) if self.shuffle else (n_timepoints, n_channels)
        return LSTMShape(steps, features, self.attention)

    def fixed_length(self) -> bool:
        """Return True with the dimension shuffle: the timepoints are the features of the LSTM."""
        return self.shuffle


@dataclass
class ALSTMFCNConfig(LSTMFCNConfig):
    """The FCN with a parallel LSTM branch with attention, Karim et al. 2018, section II.D."""

    attention: ClassVar[bool] = True


@dataclass
class MLSTMFCNConfig(LSTMFCNConfig):
    """LSTM-FCN with squeeze-and-excitation, Karim, Majumdar, Darabi, Harford 2019."""

    reduction: int = 16  # how many times fewer units than channels the first layer of squeeze-and-excitation has

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        within("reduction", self.reduction, 1)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions, then the dense layers of squeeze-and-excitation."""
        gates = [(width, max(1, width // self.reduction)) for width in self.filters[:-1]]
        dense = [Layer(*sizes) for width, hidden in gates for sizes in ((width, hidden), (hidden, width))]
        return super().layers(n_channels, n_timepoints) + dense


@dataclass
class MALSTMFCNConfig(MLSTMFCNConfig):
    """MLSTM-FCN with attention, Karim, Majumdar, Darabi, Harford 2019."""

    attention: ClassVar[bool] = True


@dataclass
class MLPConfig(ModelConfig):
    """The multilayer perceptron of Wang et al. 2017, section II.A."""

    units: list[int] = field(default_factory=lambda: [500, 500, 500])
    dropout: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.2, 0.3])  # before each hidden layer and the head

    def __post_init__(self) -> None:
        """Check the ranges."""
        if len(self.dropout) != len(self.units) + 1:
            raise UserError(f"dropout={self.dropout} has {len(self.dropout)} values: give {len(self.units) + 1}")
        for value in self.units:
            within("units", value, 1)
        for rate in self.dropout:
            within("dropout", rate, 0, 1, open_high=True)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the hidden layers."""
        sizes = [n_channels * n_timepoints, *self.units]
        return [Layer(n_in, n_out) for n_in, n_out in zip(sizes, self.units, strict=False)]

    def fixed_length(self) -> bool:
        """Return True, since the series is flattened."""
        return True


@dataclass
class ResNetConfig(ModelConfig):
    """The residual network of Wang et al. 2017, section II.C."""

    filters: list[int] = field(default_factory=lambda: [64, 128, 128])  # of each residual block
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # of the three convolutions inside a block
    input_norm: bool = False  # batch norm before the first block, as in Wang's code but not in the paper
    bn_momentum: float = 0.99
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        all_within("filters", self.filters, 1)
        all_within("kernels", self.kernels, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions of each block, followed by that of the shortcut where the width changes."""
        layers, n_in = [], n_channels
        for width in self.filters:
            sizes = [n_in] + [width] * (len(self.kernels) - 1)
            layers += [Layer(size, width, k, n_timepoints) for size, k in zip(sizes, self.kernels, strict=True)]
            layers += [Layer(n_in, width, 1, n_timepoints)] if n_in != width else []
            n_in = width
        return layers


@dataclass
class EncoderConfig(ModelConfig):
    """The encoder of Serrà et al. 2018."""

    filters: list[int] = field(default_factory=lambda: [128, 256, 512])
    kernels: list[int] = field(default_factory=lambda: [5, 11, 21])  # timepoints
    units: int = 256  # of the dense layer
    dropout: float = 0.2  # after each convolution
    norm_over: str = "case"  # each case over time and channels; channel: each channel of a case over time
    norm_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_convolutions(self.filters, self.kernels, "convolution")
        if self.filters[-1] % 2:
            raise UserError(
                f"filters={self.filters} ends with an odd number: attention halves the last, give an even one"
            )
        within("units", self.units, 1)
        within("dropout", self.dropout, 0, 1, open_high=True)
        one_of("norm_over", self.norm_over, ("case", "channel"))
        within("norm_eps", self.norm_eps, 0)

    def pooled_timepoints(self, n_timepoints: int) -> list[int]:
        """Return the length of the output of each convolution."""
        return [n_timepoints >> index for index in range(len(self.filters))]

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions and the dense layer."""
        sizes, lengths = [n_channels, *self.filters], self.pooled_timepoints(n_timepoints)
        convolutions = zip(sizes, self.filters, self.kernels, lengths, strict=False)
        layers = [Layer(*each, kept=5) for each in convolutions]  # of normalisation, PReLU, dropout and maximum
        return [*layers, Layer(self.filters[-1] // 2, self.units, 1, lengths[-1])]

    def fixed_length(self) -> bool:
        """Return True, since the activations are flattened."""
        return True


def always(config: ModelConfig) -> bool:
    """Return True for all settings."""
    return True


def shuffled(config: LSTMFCNConfig) -> bool:
    """Return whether the dimension shuffle is on."""
    return config.shuffle


LITE_ABSTRACT = "Ismail-Fawaz et al. 2023, abstract: 9,814"
MULTIVARIATE = "titu1994/MLSTM-FCN japanese_vowels_model.py, counted"
DIATOMS = "weight files of titu1994/LSTM-FCN for DiatomSizeReduction, without running statistics"
PAPER_MODELS = (
    ModelSpec(
        "fcn",
        FCNConfig,
        "tsfcn.models.fcn:FCN",
        masks=True,
        fused=always,
        published=PublishedSize(264_962, "Wang et al. 2017, section II.B, counted"),
    ),
    ModelSpec(
        "lstm_fcn",
        LSTMFCNConfig,
        "tsfcn.models.lstm_fcn:LSTMFCN",
        masks=True,
        lstm=True,
        fused=shuffled,
        published=PublishedSize(276_580, DIATOMS, n_timepoints=345, n_classes=4, cells=8),
    ),
    ModelSpec(
        "alstm_fcn",
        ALSTMFCNConfig,
        "tsfcn.models.lstm_fcn:ALSTMFCN",
        masks=True,
        lstm=True,
        fused=shuffled,
        published=PublishedSize(290_460, DIATOMS, n_timepoints=345, n_classes=4, cells=8),
    ),
    ModelSpec(
        "mlp",
        MLPConfig,
        "tsfcn.models.mlp:MLP",
        unread=frozenset({"initialiser"}),  # of convolution kernels
        published=PublishedSize(514_502, "Wang et al. 2017, section II.A, counted", n_timepoints=24),
    ),
    ModelSpec(
        "resnet",
        ResNetConfig,
        "tsfcn.models.resnet:ResNet",
        masks=True,
        published=PublishedSize(504_258, "Wang et al. 2017, section II.C, counted"),
    ),
    ModelSpec(
        "inception",
        InceptionConfig,
        "tsfcn.models.inception:Inception",
        masks=True,
        published=PublishedSize(420_450, f"{LITE_ABSTRACT} is 2.34 % of Inception's: 420,192 and the head"),
    ),
    ModelSpec(
        "lite",
        LITEConfig,
        "tsfcn.models.lite:LITE",
        masks=True,
        published=PublishedSize(9_880, f"{LITE_ABSTRACT}, and the head"),
    ),
    ModelSpec(
        "h_inception",
        HInceptionConfig,
        "tsfcn.models.inception:HInception",
        masks=True,
        published=PublishedSize(421_572, "MSD-IRIMAS/CF-4-TSC classifiers/H_Inception.py, counted"),
    ),
    ModelSpec(
        "encoder",
        EncoderConfig,
        "tsfcn.models.encoder:Encoder",
        published=PublishedSize(3_184_266, "hfawaz/dl-4-tsc classifiers/encoder.py, counted", n_timepoints=24),
    ),
    ModelSpec(
        "mlstm_fcn",
        MLSTMFCNConfig,
        "tsfcn.models.mlstm_fcn:MLSTMFCN",
        masks=True,
        lstm=True,
        published=PublishedSize(288_561, MULTIVARIATE, n_channels=12, n_timepoints=26, n_classes=9, cells=8),
    ),
    ModelSpec(
        "malstm_fcn",
        MALSTMFCNConfig,
        "tsfcn.models.mlstm_fcn:MALSTMFCN",
        masks=True,
        lstm=True,
        published=PublishedSize(289_681, MULTIVARIATE, n_channels=12, n_timepoints=26, n_classes=9, cells=8),
    ),
)
MODELS = tuple(register(each).name for each in PAPER_MODELS)  # `names` also returns models from other packages
for _spec in (*LIBRARIES, *SEGMENTATION_MODELS):
    register(_spec)


def in_every_process(name: str) -> bool:
    """Return whether worker processes can load the model: it is one of ours, or an entry point declares it."""
    return spec(name) in (*PAPER_MODELS, *LIBRARIES, *SEGMENTATION_MODELS) or model_spec.declared(name)


# ---------------------------------------------------------------------------------------------------------------------
# The models of a run


@dataclass
class ModelsConfig:
    """The models of a run: the fields that are not None. `models_schema` adds a field for each registered model."""

    def configs(self) -> dict[str, ModelConfig]:
        """Return the settings of the models of the run by name, in the order of `names`."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


def models_schema() -> type[ModelsConfig]:
    """Return ModelsConfig with a field for each registered model."""
    settings = [(name, Optional[spec(name).settings], None) for name in names()]  # noqa: UP045
    return make_dataclass("ModelsConfig", settings, bases=(ModelsConfig,))
