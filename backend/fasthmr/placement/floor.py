# SPDX-License-Identifier: Apache-2.0
"""How far below the camera the floor lies, and which feet stand on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

# Feet stand on the floor in most frames: a low share of the lowest soles is noise, below it.
_LOW_SHARE: Final = 5.0  # percent
# Soles that are known to stand err up and down; only a box or a stair lifts them.
_LOW_SHARE_STANDING: Final = 25.0

# Frames whose feet are believed less say nothing about the floor.
_BELIEVED: Final = 0.3

# A sole point is in contact when it is lower than this over where it stood, and slower than this.
_CONTACT_HEIGHT: Final = 0.06  # metres
_CONTACT_SPEED: Final = 0.5  # metres per second
_CONTACT_SPAN: Final = 0.5  # seconds around a frame in which "where it stood" is looked for


def floor_height(
    soles: Sequence[np.ndarray], belief: Sequence[np.ndarray], standing: Sequence[bool] | None = None
) -> float:
    """Height of the floor that all people of a clip share.

    Each person's own floor is the height that few of the believed frames' lowest soles fall short of;
    the clip's is the lowest of them: somebody may stand on a box, nobody stands in the ground.

    Args:
        soles: a person each, (T, 4) heights of the sole points, metres, up positive.
        belief: a person each, (T, 4) in 0..1.
        standing: a person each, whether only soles that are known to stand are believed; False if left out.

    Returns:
        Height in metres, in the frame of the heights.
    """
    floors = []
    for heights, sure, known in zip(soles, belief, standing or [False] * len(soles), strict=True):
        believed = heights[sure >= min(_BELIEVED, float(sure.max()))]
        floors.append(float(np.percentile(believed, _LOW_SHARE_STANDING if known else _LOW_SHARE)))
    return min(floors)


def contacts(soles: np.ndarray, timestamps: np.ndarray, belief: np.ndarray) -> np.ndarray:
    """How likely each sole point stands still on something.

    Args:
        soles: (T, 4, 3) sole points in the world, metres, z up.
        timestamps: (T,) seconds.
        belief: (T, 4) in 0..1, how far each foot is to be believed.

    Returns:
        (T, 4) float32 in 0..1: the product of being low, being slow and being seen.
    """
    count = len(soles)
    if count < 2:
        return np.zeros((count, 4), np.float32)
    speed = np.linalg.norm(np.gradient(soles, timestamps, axis=0), axis=-1)
    low = np.empty((count, 4))
    for frame, time in enumerate(timestamps):
        start = np.searchsorted(timestamps, time - _CONTACT_SPAN)
        stop = np.searchsorted(timestamps, time + _CONTACT_SPAN, side="right")
        low[frame] = soles[frame, :, 2] - soles[start:stop, :, 2].min()
    likely = np.exp(-np.square(speed / _CONTACT_SPEED) - np.square(low / _CONTACT_HEIGHT))
    return (likely * belief).clip(0, 1).astype(np.float32)
