# SPDX-License-Identifier: Apache-2.0
"""Frames of a track in which the detector drew something else than the person.

How many pixels a metre of the person takes follows from image and world landmarks together, whatever the
pose, and changes slowly: people do not grow. A stretch of frames in which it jumps up or down and back was
misread (the glare of the sun taken for legs, half of a person for a whole one).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fasthmr.people.plausibility import LIMB_LANDMARKS

# Natural logarithm of how far the scale may be off. Measured in good tracks: 0.05 in 90 % of the frames.
_MAX_DEVIATION: Final = 0.18
_WINDOW_SECONDS: Final = 0.8
_MIN_NEIGHBOURS: Final = 7


def pixels_per_metre(landmarks_image: np.ndarray, landmarks_world: np.ndarray) -> np.ndarray:
    """The scale of a weak-perspective camera between world and image landmarks.

    Args:
        landmarks_image: (T, 33, 2 or more) pixels.
        landmarks_world: (T, 33, 3) metres.

    Returns:
        (T,) pixels a metre, from the spread of the limbs across the view.
    """
    pixels = landmarks_image[:, LIMB_LANDMARKS, :2].astype(np.float64)
    metres = landmarks_world[:, LIMB_LANDMARKS, :2].astype(np.float64)
    pixels = pixels - pixels.mean(1, keepdims=True)
    metres = metres - metres.mean(1, keepdims=True)
    return np.sqrt((pixels**2).sum((1, 2)) / np.maximum((metres**2).sum((1, 2)), 1e-9))


def misread_frames(
    landmarks_image: np.ndarray, landmarks_world: np.ndarray, timestamps: np.ndarray
) -> np.ndarray:
    """Frames whose scale does not fit the frames around them.

    Args:
        landmarks_image: (T, 33, 2 or more) pixels.
        landmarks_world: (T, 33, 3) metres.
        timestamps: (T,) seconds.

    Returns:
        (T,) bool. Frames with fewer than 7 others within 0.8 s are never among them, and neither are
        those at the ends, where nothing tells a jump from somebody coming near.
    """
    scale = np.log(np.maximum(pixels_per_metre(landmarks_image, landmarks_world), 1e-9))
    count = len(scale)
    misread = np.zeros(count, bool)
    starts = np.searchsorted(timestamps, timestamps - _WINDOW_SECONDS)
    stops = np.searchsorted(timestamps, timestamps + _WINDOW_SECONDS, side="right")
    for frame in range(count):
        around = scale[starts[frame] : stops[frame]]
        if len(around) > _MIN_NEIGHBOURS:
            misread[frame] = abs(scale[frame] - np.median(around)) > _MAX_DEVIATION
    good = np.flatnonzero(~misread)
    if good.size:
        misread[: good[0]] = False
        misread[good[-1] + 1 :] = False
    return misread
