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
    """FCN and an LSTM branch side by side, their features concatenated. Karim et al. 2018, section III and figure 2.

    With the dimension shuffle the LSTM sees the series transposed: n_channels steps of n_timepoints features, so the
    length is fixed. Without it, it sees n_timepoints steps of n_channels features (what most other libraries train).
    Given lengths, the FCN branch sees each series whole. With the shuffle the LSTM still has its n_timepoints features:
    zeros after the end of a shorter series, and a longer one is cut for it. Without, it stops at each series' own end.
    """

    lstm_layer: ClassVar[type[LSTM]] = LSTM

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: LSTMFCNConfig, cells: int) -> None:
        super().__init__(n_channels, n_timepoints, n_classes, config)
        self.shuffle = config.shuffle
        self.lstm = self.lstm_layer(n_timepoints if config.shuffle else n_channels, cells, config.gates)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(cells + config.filters[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        if lengths is None:
            last_state = self.lstm(x if self.shuffle else x.transpose(1, 2))
        elif self.shuffle:
            n_features = self.lstm.kernel.shape[0]
            last_state = self.lstm(F.pad(x, (0, n_features - x.shape[2])))  # a negative number of zeros cuts
        else:
            last_state = self.lstm(x[:, :, : int(lengths.max())].transpose(1, 2), lengths)
        both = torch.cat([self.dropout(last_state), self.features(x, lengths)], dim=1)
        logits: Tensor = self.head(both)
        return logits


class ALSTMFCN(LSTMFCN):
    """The same with an LSTM that attends to all steps. Karim et al. 2018, section II.D."""

    lstm_layer = AttentionLSTM
