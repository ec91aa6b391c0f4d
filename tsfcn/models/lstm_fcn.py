"""LSTM-FCN and ALSTM-FCN."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.models import LSTMFCNConfig
from tsfcn.models.fcn import FCN
from tsfcn.models.layers import Dropout
from tsfcn.models.recurrent import LSTM, AttentionLSTM


class LSTMFCN(FCN):
    """FCN and an LSTM branch in parallel, their features concatenated. Karim et al. 2018, section III and figure 2.

    With the dimension shuffle the LSTM gets the transposed series, n_channels steps of n_timepoints features, so the
    length is fixed. Without it the LSTM gets n_timepoints steps of n_channels features, as in most other libraries.
    With `lengths`, the FCN branch uses each series up to its own end. The LSTM with the shuffle still has n_timepoints
    features: a shorter series is followed by zeros, a longer one is cut. Without the shuffle the LSTM stops at the end
    of each series.

    Args:
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case; without effect if `config.shuffle` is false.
        n_classes: The number of logits.
        config: The settings of the FCN and of the LSTM branch.
        cells: The hidden size of the LSTM.
    """

    lstm_layer: ClassVar[type[LSTM]] = LSTM

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: LSTMFCNConfig, cells: int) -> None:
        super().__init__(n_channels, n_timepoints, n_classes, config)
        self.shuffle = config.shuffle
        self.lstm = self.lstm_layer(n_timepoints if config.shuffle else n_channels, cells, config.gates)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(cells + config.filters[-1], n_classes)

    def lstm_steps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the input of the LSTM, (n, n_steps, n_features), and the steps of each case (n,), None: all."""
        if lengths is None:
            return (x if self.shuffle else x.transpose(1, 2)), None
        if self.shuffle:
            n_features = self.lstm.kernel.shape[0]
            return F.pad(x, (0, n_features - x.shape[2])), None  # negative padding cuts
        return x[:, :, : int(lengths.max())].transpose(1, 2), lengths

    def last_state(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the hidden state of the LSTM after its last step. (n, c, t) -> (n, cells)."""
        state: Tensor = self.lstm(*self.lstm_steps(x, lengths))
        return state

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        both = torch.cat([self.dropout(self.last_state(x, lengths)), self.features(x, lengths)], dim=1)
        logits: Tensor = self.head(both)
        return logits


class ALSTMFCN(LSTMFCN):
    """LSTM-FCN whose LSTM attends to all steps. Karim et al. 2018, section II.D."""

    lstm_layer = AttentionLSTM
    lstm: AttentionLSTM

    def attention(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return the attention weights and context vectors over time; None with the dimension shuffle.

        Row i of the weights (n, t, t) is the attention of step i to all timepoints and adds up to 1; the context
        vectors are (n, t, c). With the shuffle the steps are channels, and there is no attention over time.
        """
        return None if self.shuffle else self.lstm.attention(*self.lstm_steps(x, lengths))
