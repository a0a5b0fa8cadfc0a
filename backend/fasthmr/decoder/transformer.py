# SPDX-License-Identifier: Apache-2.0
"""A transformer with long skips: the backbone of the motion VAE and of the denoiser.

The first half of the layers is joined to the second half crosswise, as in U-ViT (Bao et al., "All are Worth
Words", CVPR 2023) and MLD (Chen et al., CVPR 2023); layers are normalised before attention and MLP.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layer(nn.Module):
    """Attention among all tokens, then an MLP; both added to what came in.

    Args:
        width: of the tokens.
        heads: of the attention.
        widening: the MLP's inner width over ``width``.
    """

    def __init__(self, width: int, heads: int, widening: float) -> None:
        super().__init__()
        inner = int(width * widening)
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # unbound, not indexed: three indexed parts would each get a gradient of the whole's size
        mixed = _attention(*qkv.unbind(0))
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class SkipTransformer(nn.Module):
    """Layers with long skips from the first half to the second.

    Args:
        width: of the tokens.
        depth: number of layers; of an odd number the middle one has no skip.
        heads: of the attention.
        widening: of the MLPs.

    Attributes:
        products: what the layers multiply with, bfloat16 to train faster; None (at first): as the weights
            are. What is carried from layer to layer keeps its precision.
    """

    def __init__(self, width: int, depth: int, heads: int, widening: float = 2.0) -> None:
        super().__init__()
        self.products: torch.dtype | None = None
        self.layers = nn.ModuleList(Layer(width, heads, widening) for _ in range(depth))
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth // 2))
        self.norm = nn.LayerNorm(width)
        for weight, bias in (tuple(skip.parameters()) for skip in self.skips):
            with torch.no_grad():  # begins as if there were no skip
                weight.copy_(torch.cat([torch.eye(width), torch.zeros(width, width)], dim=1))
                bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width), normalised."""
        depth, half = len(self.layers), len(self.skips)
        kept = []
        for index, layer in enumerate(self.layers):
            if index >= depth - half:
                x = self.skips[index - (depth - half)](torch.cat([x, kept.pop()], dim=-1))
            with torch.autocast(x.device.type, self.products, enabled=self.products is not None):
                x = layer(x)
            if index < half:
                kept.append(x)
        return self.norm(x)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return functional.scaled_dot_product_attention(q, k, v)
    # On CPUs the way back through attention is seven times slower in bfloat16 than in float32.
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
