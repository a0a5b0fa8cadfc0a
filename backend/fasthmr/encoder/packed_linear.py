# SPDX-License-Identifier: Apache-2.0
"""Linear layers whose weights are laid out for the processor once, for small batches on a CPU.

A matrix product reorders ("packs") its operands before it multiplies. With many rows that is little; with
one crop of 96 tokens, packing the 20 million weights of a layer again at every call costs a good tenth of
the time. oneDNN, which PyTorch carries, takes weights that were packed before. From a few hundred rows on its
products are slower than those of the library that PyTorch uses otherwise, hence :data:`MOST_ROWS`.

The sums are taken in another order, so that results differ in the last bits from those of plain layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

MOST_ROWS: Final = 256
"""Up to how many rows (crops times tokens) packed layers are the faster ones."""


class PackedLinear(nn.Module):
    """A linear layer with packed weights; it runs in float32 on the CPU, without gradients.

    Args:
        weight: packed by oneDNN.
        bias: (out,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self._weight = weight  # no parameter: its layout is oneDNN's own, which cannot be saved or moved
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")


def packing_helps(rows: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether packed layers are worth having.

    Args:
        rows: crops times tokens of one call.
        dtype: precision of the weights.
        device: where the network runs.
    """
    return rows <= MOST_ROWS and dtype == torch.float32 and device.type == "cpu" and _can_pack()


def _can_pack() -> bool:
    """Whether this PyTorch has what packing takes (builds without oneDNN lack it)."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    operators = torch.ops.mkldnn
    return hasattr(operators, "_linear_pointwise") and hasattr(operators, "_reorder_linear_weight")


@torch.no_grad()
def pack_linears_(networks: Sequence[nn.Module], rows: int) -> int:
    """Replace the linear layers of networks by packed ones. They can then only run: not save, move or train.

    Networks that share weights share the packed ones as well. Only while a network still holds its own
    weights are both in memory.

    Args:
        networks: float32, on the CPU; for example the blocks of a vision transformer.
        rows: crops times tokens of a usual call; other numbers work too.

    Returns:
        How many layers were replaced.
    """
    packed: dict[int, Tensor] = {}  # by the address of the plain weights
    replaced = 0
    for network in networks:
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear) and layer.bias is not None:
                    key = layer.weight.data_ptr()
                    if key not in packed:
                        packed[key] = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
                    setattr(parent, name, PackedLinear(packed[key], layer.bias.detach()))
                    replaced += 1
    return replaced
