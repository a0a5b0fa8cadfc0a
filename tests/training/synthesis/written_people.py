# SPDX-License-Identifier: Apache-2.0
"""Shards of random numbers, for the tests of the set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fasthmr.training.synthesis.people_set import write_shard

SAMPLES = 6


def random_shard(seed: int, count: int = SAMPLES) -> dict[str, np.ndarray]:
    """Arrays as a shard has them; landmarks lie before the camera."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=(count, *shape)).astype(np.float32)

    intrinsics = np.tile(np.array([[300, 0, 160], [0, 300, 120], [0, 0, 1]], np.float32), (count, 1, 1))
    masks = np.zeros((count, 256, 192), np.uint8)
    masks[:, 50:200, 60:130] = 255
    return {
        "images": random.integers(0, 256, (count, 256, 192, 3)).astype(np.uint8),
        "masks": masks,
        "squares": np.tile(np.array([160, 120, 256], np.float32), (count, 1)),
        "boxes": np.tile(np.array([100, 20, 220, 220], np.float32), (count, 1)),
        "intrinsics": intrinsics,
        "image_size": np.tile(np.array([320, 240], np.float32), (count, 1)),
        "true_landmarks": 0.4 * normal(33, 3) + np.array([0, 0, 4], np.float32),
        "visible": random.random((count, 33)) < 0.5,
        "rotations": normal(24, 3, 3),
        "pelvis": normal(3),
        "betas": normal(10),
    }


def write_people(folder: Path, *shards: int) -> Path:
    """A set with shards of these numbers; the number is the seed."""
    for shard in shards:
        write_shard(folder, shard, random_shard(shard))
    return folder
