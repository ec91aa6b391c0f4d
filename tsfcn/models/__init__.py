"""The networks of the papers: FCN, LSTM-FCN and ALSTM-FCN, MLP and ResNet, in the shape that their authors trained.

Every network maps float (n_cases, n_channels, n_timepoints) to logits (n_cases, n_classes). Layers follow Keras where
PyTorch differs: 'same' padding, initialisers, the LSTM's gates and its single bias. Initial weights and dropout masks
come from generators that the caller passes, never from torch's global state.

Given `lengths` as well, int64 (n_cases,), a network looks at the first `lengths[i]` timepoints of case i and at nothing
behind them (length=mask): before every convolution there are zeros outside a series, as around one that is not padded,
and batch statistics, running statistics and pooling count real timepoints alone. So the logits of a padded series are
those of the bare one. The series are laid end to end for that, so that absent timepoints cost nothing either. Lengths
are on the CPU whatever the device of the network, since shapes follow from them.

A model from outside is registered with the names below, which load no torch (CONTRIBUTING.md, "Add a model").
"""

from tsfcn.config.model_spec import Layer, LSTMShape, ModelConfig, ModelSpec, PublishedSize, register

__all__ = ["LSTMShape", "Layer", "ModelConfig", "ModelSpec", "PublishedSize", "register"]
