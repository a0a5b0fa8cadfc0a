# SPDX-License-Identifier: Apache-2.0
"""A small network some of whose layers do nothing, so that it is known which ones can go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fasthmr.encoder.checkpoint import save_checkpoint
from fasthmr.encoder.random_weights import random_state
from fasthmr.training.calibration import CalibrationSet
from tests.encoder.small_sizes import TINY_HMR2

EIGHT = dataclasses.replace(TINY_HMR2, depth=8)
IDLE = (1, 4, 5)  # not the last one: of two layers the later one is kept


def state_with_idle_layers() -> dict[str, Tensor]:
    """Random weights; what layers 1, 4 and 5 add is zero, and these three are equal.

    They are equal so that the formula for three layers is exact as well: the later layer plus one idle layer
    less another.
    """
    state = random_state(EIGHT)
    for layer in IDLE:
        for part in ("attn.proj", "mlp.fc2"):
            for kind in ("weight", "bias"):
                state[f"backbone.blocks.{layer}.{part}.{kind}"].zero_()
        start = f"backbone.blocks.{layer}."
        for name in [name for name in state if name.startswith(start)]:
            state[name] = state[name.replace(start, f"backbone.blocks.{IDLE[0]}.")].clone()
    for layer in set(range(8)) - set(IDLE):  # the others matter
        state[f"backbone.blocks.{layer}.mlp.fc2.weight"] *= 4
    return state


def write_network(path: Path, **metadata: Any) -> Path:
    """The network as a file."""
    save_checkpoint(path, state_with_idle_layers(), EIGHT, metadata)
    return path


def random_crops(count: int = 6, seed: int = 0) -> CalibrationSet:
    """Crops of noise, with one person's patches in the middle."""
    generator = np.random.default_rng(seed)
    crops = generator.integers(0, 256, (count, 3, *EIGHT.image_size), dtype=np.uint8)
    protection = np.zeros((count, EIGHT.tokens), np.uint8)
    protection[:, 4:8] = 1
    return CalibrationSet(crops, protection=protection, description={"of": "noise"})
