"""The networks of the papers, as their authors trained them.

FCN, ResNet and MLP; LSTM-FCN and ALSTM-FCN; MLSTM-FCN and MALSTM-FCN; Inception, H-Inception and LITE; the encoder.

Every network maps float (n_cases, n_channels, n_timepoints) to logits (n_cases, n_classes). Where Keras and PyTorch
differ, the layers follow Keras: 'same' padding, initialisers, the gates of the LSTM and its single bias. Initial
weights and dropout masks come from generators that the caller passes, never from PyTorch's global state.

With `lengths`, int64 (n_cases,), a network uses the first `lengths[i]` timepoints of case i only (length=mask). Before
every convolution there are zeros outside a series, as around a series that is not padded, and batch statistics, running
statistics and pooling count real timepoints only. So a padded series has the logits of the same series without padding.
The series are concatenated for this, so that absent timepoints cost no time. Lengths are always on the CPU, because
shapes depend on them.

A model of your own, a class or a ModelSpec, is registered with the names below, which do not load torch
(CONTRIBUTING.md, "Add a model").
"""

from tsfcn.config.model_config import Layer, LSTMShape, ModelConfig
from tsfcn.config.model_spec import ModelSpec, PublishedSize, register

__all__ = ["LSTMShape", "Layer", "ModelConfig", "ModelSpec", "PublishedSize", "register"]
