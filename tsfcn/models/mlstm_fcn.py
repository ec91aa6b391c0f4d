"""MLSTM-FCN and MALSTM-FCN: LSTM-FCN and ALSTM-FCN for several channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.models import MLSTMFCNConfig
from tsfcn.models.initialisers import he_normal
from tsfcn.models.layers import concatenate_cases, global_average_pool
from tsfcn.models.lstm_fcn import LSTMFCN
from tsfcn.models.recurrent import AttentionLSTM


class GateLayer(nn.Linear):
    """Dense layer without bias, whose initial weights are those of He et al. 2015. (n, n_in) -> (n, n_out)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def initialise(self, initialiser: str, generator: torch.Generator) -> None:
        """Draw the weights by `he_normal`."""
        he_normal(self.weight, self.in_features, generator)


class SqueezeExcite(nn.Module):
    """Scale each channel by what two dense layers make of the means of all channels over time. Hu et al. 2018.

    Karim, Majumdar, Darabi, Harford 2019, as in titu1994/MLSTM-FCN: ReLU after the first, sigmoid after the second.

    Args:
        width: The channels.
        reduction: How many times fewer units the first layer has.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.squeeze = GateLayer(width, hidden)
        self.excite = GateLayer(hidden, width)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return x (n, c, t) with its channels scaled, in each series by itself; sizes: as for `same_conv`."""
        scale = torch.sigmoid(self.excite(F.relu(self.squeeze(global_average_pool(x, sizes)))))
        if sizes is None:
            return x * scale[:, :, None]
        series = zip(x[0].split(sizes, dim=1), scale, strict=True)
        return torch.cat([each * factor[:, None] for each, factor in series], dim=1).unsqueeze(0)


class MLSTMFCN(LSTMFCN):
    """LSTM-FCN with squeeze-and-excitation after the first two convolutions. Karim, Majumdar, Darabi, Harford 2019.

    With the dimension shuffle each channel is a step of the LSTM. As in titu1994/MLSTM-FCN (a Masking layer), a step
    without any value but zero leaves the state of the LSTM as it is.

    Args:
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case; without effect if `config.shuffle` is false.
        n_classes: The number of logits.
        config: The settings of the FCN, of the LSTM branch and of the gates.
        cells: The hidden size of the LSTM.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: MLSTMFCNConfig, cells: int) -> None:
        super().__init__(n_channels, n_timepoints, n_classes, config, cells)
        self.gates = nn.ModuleList(SqueezeExcite(width, config.reduction) for width in config.filters[:-1])

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations of the last block, (n, filters[-1], t), and sizes, both as in `concatenate_cases`."""
        x, sizes = concatenate_cases(x, lengths)
        for block, gate in zip(self.blocks, self.gates, strict=False):
            x = gate(F.relu(block(x, sizes)), sizes)
        return F.relu(self.blocks[-1](x, sizes)), sizes

    def last_state(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the hidden state of the LSTM after its last step. (n, c, t) -> (n, cells)."""
        steps, n_steps = self.lstm_steps(x, lengths)
        state: Tensor = self.lstm(steps, n_steps, empty(steps))
        return state


class MALSTMFCN(MLSTMFCN):
    """MLSTM-FCN whose LSTM attends to all steps. Karim, Majumdar, Darabi, Harford 2019. Parameters: of MLSTMFCN."""

    lstm_layer = AttentionLSTM
    lstm: AttentionLSTM

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: MLSTMFCNConfig, cells: int) -> None:
        super().__init__(n_channels, n_timepoints, n_classes, config, cells)
        self.lstm.forget_bias = 0.0  # the authors' layer prepares 1, but passes zeros

    def attention(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return the attention weights and context vectors over time, as ALSTMFCN does; None with the shuffle."""
        if self.shuffle:
            return None
        steps, n_steps = self.lstm_steps(x, lengths)
        return self.lstm.attention(steps, n_steps, empty(steps))


def empty(steps: Tensor) -> Tensor:
    """Return which steps (n, n_steps, n_features) have no value but zero, bool (n, n_steps)."""
    return (steps == 0).all(dim=2)
