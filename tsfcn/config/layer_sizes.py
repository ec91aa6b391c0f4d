"""The sizes of a network's layers, measured in a forward pass. Loads torch when it measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsfcn.common import global_random
from tsfcn.config.model_config import Layer

if TYPE_CHECKING:
    from torch import Tensor, nn

N_CASES = 2  # of the forward pass: batch normalisation takes two at least


@dataclass(frozen=True)
class LayerSizes:
    """The layers of a network with weights, and its calls of recurrent cells, whose loop over time is in Python."""

    layers: tuple[Layer, ...]
    n_cell_calls: int


def measure(build: Callable[[], nn.Module], n_channels: int, n_timepoints: int) -> LayerSizes:
    """Return the sizes of the layers that have weights, in the order in which they are called.

    The network is built and called once, on PyTorch's meta device, which computes nothing; or on the CPU, where it
    cannot be or has a recurrent layer, which would be slow there. Convolutions and dense layers are counted exactly,
    norms not at all. Weights of any other layer count once for each step of its output (recurrent layers and attention)
    or once for each timepoint of the series, which is more than most do. Operations without weights are not seen. A
    network that fails has no layers, since its job fails at once too.

    Args:
        build: Returns the network.
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case.
    """
    import torch
    from torch import nn

    for place in ("meta", "cpu"):
        count = Count(n_timepoints)
        try:
            with global_random.seeded(0), torch.no_grad(), torch.device(place):
                network = build().train()  # in evaluation mode transformers skip their layers
                if place == "meta" and any(isinstance(module, nn.RNNBase) for module in network.modules()):
                    continue
                count.watch(network)
                network(torch.zeros(N_CASES, n_channels, n_timepoints))
        except Exception:  # whatever the code of the network raises
            continue
        return LayerSizes(count.layers(), count.n_cell_calls)
    return LayerSizes((), 0)


class Count:
    """Counts the calls of the layers of a network. n_timepoints: of the series."""

    def __init__(self, n_timepoints: int) -> None:
        self.n_timepoints = n_timepoints
        self.counted: dict[tuple[nn.Module, str], Layer] = {}
        self.n_cell_calls = 0

    def watch(self, network: nn.Module) -> None:
        """Count the calls of all layers that have weights of their own."""
        from torch import nn

        norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
        for module in network.modules():
            if not isinstance(module, norms) and next(module.parameters(recurse=False), None) is not None:
                module.register_forward_hook(self.called)

    def called(self, module: nn.Module, arguments: Any, output: Any) -> None:
        """Count one call: a forward hook."""
        from torch import nn

        n_values = max(1, next((each.numel() for each in tensors(output)), 1) // N_CASES)
        n_weights = sum(p.numel() for p in module.parameters(recurse=isinstance(module, nn.MultiheadAttention)))
        if isinstance(module, nn.modules.conv._ConvNd):
            kernel, n_out = math.prod(module.kernel_size), module.out_channels
            self.add(module, Layer(module.weight.numel() // (n_out * kernel), n_out, kernel, n_values // n_out))
        elif isinstance(module, nn.Linear):
            self.add(module, Layer(module.in_features, module.out_features, 1, n_values // module.out_features))
        elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            n_out = next(tensors(output)).shape[-1]
            self.add(module, Layer(math.ceil(n_weights / n_out), n_out, 1, n_values // n_out))
            self.n_cell_calls += isinstance(module, nn.RNNCellBase)
        elif isinstance(module, nn.MultiheadAttention):
            width, heads, steps = module.embed_dim, module.num_heads, n_values // module.embed_dim
            self.add(module, Layer(math.ceil(n_weights / width), width, 1, steps))
            self.add(module, Layer(math.ceil(2 * width / heads), heads * steps, 1, steps), "each step to each")
        else:
            n_out = math.ceil(n_values / self.n_timepoints)
            self.add(module, Layer(math.ceil(n_weights / n_out), n_out, 1, self.n_timepoints))

    def add(self, module: nn.Module, layer: Layer, part: str = "") -> None:
        """Add the call of a part of a module; its weights count once, however often it is called."""
        before = self.counted.get((module, part))
        n_before = 0 if before is None else before.n_timepoints
        self.counted[module, part] = Layer(layer.n_in, layer.n_out, layer.kernel, n_before + layer.n_timepoints)

    def layers(self) -> tuple[Layer, ...]:
        """Return what was counted, in the order of the first calls."""
        return tuple(self.counted.values())


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of what a layer returns."""
    import torch

    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for each in output:
            yield from tensors(each)
    elif isinstance(output, dict):
        yield from tensors(list(output.values()))
