"""The settings of each network, without torch: published values and their ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from tsfcn.common.errors import UserError
from tsfcn.config.checks import one_of, within

MODELS = ("fcn", "lstm_fcn", "alstm_fcn", "mlp", "resnet")


# the two equal), so that `--cfg job` shows every number.


@dataclass
class FCNConfig:
    """The three-block temporal FCN of Wang et al. 2017, section II.B."""

    filters: list[int] = field(default_factory=lambda: [128, 256, 128])
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # timepoints
    bn_momentum: float = 0.99  # Keras' convention: the share of the running value that is kept at each step
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.filters or len(self.filters) != len(self.kernels):
            raise UserError(
                f"filters={self.filters} and kernels={self.kernels} are of different length (or empty): "
                "give one kernel size a block"
            )
        for name in ("filters", "kernels"):
            for value in getattr(self, name):
                within(name, value, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)


@dataclass
class LSTMFCNConfig(FCNConfig):
    """The FCN beside an LSTM branch, Karim et al. 2018, section III; also ALSTM-FCN, whose LSTM attends."""

    cells: Optional[int] = None  # noqa: UP045 (OmegaConf 2.3 knows Optional); None: the protocol's list of sizes is searched
    dropout: float = 0.8  # probability of dropping an output of the LSTM
    shuffle: bool = True  # dimension shuffle: a univariate series is one step of n_timepoints features
    gates: str = "hard_sigmoid"

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.cells is not None:
            within("cells", self.cells, 1)
        within("dropout", self.dropout, 0, 1, open_high=True)
        one_of("gates", self.gates, ("hard_sigmoid", "sigmoid"))


@dataclass
class MLPConfig:
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


@dataclass
class ResNetConfig:
    """The residual network of Wang et al. 2017, section II.C."""

    filters: list[int] = field(default_factory=lambda: [64, 128, 128])  # of each residual block
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # of the three convolutions inside a block
    input_norm: bool = False  # Wang's code (not the paper) normalises the input of the first block
    bn_momentum: float = 0.99
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("filters", "kernels"):
            if not getattr(self, name):
                raise UserError(f"{name}=[] is empty: give at least one number")
            for value in getattr(self, name):
                within(name, value, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)


ModelConfig = FCNConfig | LSTMFCNConfig | MLPConfig | ResNetConfig


@dataclass
class ModelsConfig:
    """The models asked for: those that are not None."""

    fcn: Optional[FCNConfig] = None  # noqa: UP045
    lstm_fcn: Optional[LSTMFCNConfig] = None  # noqa: UP045
    alstm_fcn: Optional[LSTMFCNConfig] = None  # noqa: UP045
    mlp: Optional[MLPConfig] = None  # noqa: UP045
    resnet: Optional[ResNetConfig] = None  # noqa: UP045

    def chosen(self) -> dict[str, ModelConfig]:
        """Return the chosen models by name, in the order of MODELS."""
        return {name: getattr(self, name) for name in MODELS if getattr(self, name) is not None}
