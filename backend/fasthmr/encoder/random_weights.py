# SPDX-License-Identifier: Apache-2.0
"""Random weights in the published layout, the same on every machine: for benchmarks and for tests.

Each tensor is drawn with a seed that comes from its name, so that it does not depend on the others; the
scales keep activations near one, so that half precision neither overflows nor loses everything.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.layout import Shape, tensor_shapes


def random_state(config: EncoderConfig, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A random checkpoint: every tensor of :func:`fasthmr.encoder.layout.tensor_shapes`.

    The numbers are drawn as float32 and then rounded to ``dtype``, so that the same network is meant in every
    precision. ViT-H takes 2.7 GB and a few seconds.
    """
    depth = config.depth
    return {name: _draw(name, shape, depth).to(dtype) for name, shape in tensor_shapes(config).items()}


def random_tensor(name: str, shape: Shape) -> Tensor:
    """Standard normal numbers, float32, that depend on the name and the shape only."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))


def _draw(name: str, shape: Shape, depth: int) -> Tensor:
    values = random_tensor(name, shape)
    last = name.rsplit(".", 1)[-1]
    if "norm" in name.rsplit(".", 2)[-2]:
        return values.mul_(0.1).add_(1.0 if last == "weight" else 0.0)
    if last == "bias" or "pos_embed" in last:
        return values.mul_(0.02 if last == "bias" else 0.2)
    if last == "init_body_pose":  # no turn: the first two columns of the unit matrix, one after the other
        return values.mul_(0.1).add_(torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(shape[-1] // 6))
    if last == "init_cam":
        return values.mul_(0.05).add_(torch.tensor([0.9, 0.0, 0.0]))
    if last == "init_betas":
        return values.mul_(0.3)
    scale = 1 / math.sqrt(math.prod(shape[1:]))
    if name.startswith("backbone.") and name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
        scale /= math.sqrt(2 * depth)  # what the layers add must not pile up
    elif ".dec" in name:
        scale *= 0.3
    return values.mul_(scale)
