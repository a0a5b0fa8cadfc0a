# SPDX-License-Identifier: Apache-2.0
"""A tiny network of the kind that comes along, and what it reads."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state

TINY = EncoderConfig(
    image_size=(80, 64),
    in_channels=2,
    dim=24,
    depth=3,
    heads=3,
    mlp_ratio=2,
    head_dim=16,
    head_depth=2,
    head_heads=2,
    head_head_dim=8,
    head_mlp=16,
    landmarks=6,
    guess=14,
    kind="open",
)
#: For crops of footage.
TINY_CROPS = dataclasses.replace(TINY, image_size=(256, 192), landmarks=25)


def network(config: EncoderConfig = TINY, dtype: torch.dtype = torch.float64) -> HMRModel:
    return HMRModel.from_state(config, random_state(config, dtype))


def crops(batch: int, config: EncoderConfig = TINY, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, config.in_channels, *config.image_size, generator=generator).double()


def landmarks(batch: int, config: EncoderConfig = TINY, seed: int = 1) -> Tensor:
    """Landmarks in and around the crop, about a fifth of them not seen at all."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(batch, config.landmarks, 6, generator=generator).double()
    numbers[..., 2] = (torch.rand(batch, config.landmarks, generator=generator) * 1.25 - 0.25).clamp_min(0)
    return numbers
