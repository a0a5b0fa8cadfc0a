# SPDX-License-Identifier: Apache-2.0
"""What is around a synthetic person: a floor, and what stands on it or hangs over it, as textures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

_SIDE: Final = 512


@dataclass(frozen=True)
class Surroundings:
    """Textures of a place.

    Attributes:
        floor: (S, S, 3) uint8, repeated every ``floor_size`` metres.
        around: (S, 2S, 3) uint8: left to right all directions, bottom to top from the horizon to the zenith.
        floor_size: metres.
    """

    floor: np.ndarray
    around: np.ndarray
    floor_size: float


def random_surroundings(random: np.random.Generator, images: list[Path] | None = None) -> Surroundings:
    """Draw a place.

    Args:
        random: of everything drawn.
        images: pictures to put around the person now and then, or None.
    """
    around = _walls(random)
    if images and random.random() < 0.7:
        picture = cv2.imread(str(images[random.integers(len(images))]))
        if picture is not None:
            around = cv2.cvtColor(cv2.resize(picture, (2 * _SIDE, _SIDE)), cv2.COLOR_BGR2RGB)
    return Surroundings(_floor(random), around, float(random.uniform(0.8, 5.0)))


def _floor(random: np.random.Generator) -> np.ndarray:
    base, other = random.uniform(30, 220, 3), random.uniform(30, 220, 3)
    grain = _fractal(random, _SIDE, _SIDE)[..., None]
    picture = base + (30 + 40 * random.random()) * (grain - 0.5)
    kind = random.integers(4)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    if kind == 0:  # tiles
        cells = (rows * 8 // _SIDE + columns * 8 // _SIDE) % 2 == 0
        picture[cells] += 0.5 * (other - base)
    elif kind == 1:  # boards
        boards = rows * int(random.integers(6, 20)) // _SIDE
        picture += random.normal(scale=14, size=(boards.max() + 1, 1))[boards]
    elif kind == 2:  # patches, as of grass
        picture += 0.6 * (other - base) * (_fractal(random, _SIDE, _SIDE)[..., None] > 0.5)
    return picture.clip(0, 255).astype(np.uint8)


def _walls(random: np.random.Generator) -> np.ndarray:
    """A horizon with blocks and lines in front of a wall or a sky."""
    height, width = _SIDE, 2 * _SIDE
    low, high = random.uniform(40, 230, 3), random.uniform(40, 255, 3)
    share = np.linspace(0, 1, height)[:, None, None] ** random.uniform(0.3, 2)
    picture = low + (high - low) * share + np.zeros((height, width, 3))
    picture += random.uniform(10, 60) * (_fractal(random, height, width)[..., None] - 0.5)
    for _ in range(random.integers(5, 60)):
        colour = random.uniform(0, 255, 3)
        x, wide = int(random.integers(width)), int(random.integers(4, 160))
        tall = int(height * random.uniform(0.02, 0.6) ** random.uniform(1, 2))
        bottom = 0 if random.random() < 0.6 else int(random.integers(int(0.5 * height)))
        kind = random.integers(3)
        if kind < 2:
            cv2.rectangle(picture, (x, bottom), (x + wide, bottom + tall), colour.tolist(), -1 if kind else 3)
        else:
            cv2.line(
                picture, (x, bottom), (x + int(random.normal(scale=40)), bottom + tall), colour.tolist(), 4
            )
    grain = 1 + 0.15 * (_fractal(random, height, width)[..., None] - 0.5)
    return cv2.GaussianBlur(picture * grain, (0, 0), random.uniform(0.3, 2.5)).clip(0, 255).astype(np.uint8)


def _fractal(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width) noise in 0..1 at all scales."""
    total = np.zeros((height, width))
    for octave in range(2, 9):
        size = (min(width, 2**octave), min(height, 2**octave))
        layer = random.random(size[::-1])
        total += cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) / 1.6**octave
    total -= total.min()
    return total / total.max()
