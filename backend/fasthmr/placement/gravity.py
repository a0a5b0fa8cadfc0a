# SPDX-License-Identifier: Apache-2.0
"""Which way is up for the camera of a clip: one direction for all people in it.

Decoders may say for each frame where up is. Single frames err by several degrees and people err apart; a
camera that stands still has one direction, so the robust mean of all frames of all people is taken. Where
people then step on the floor in several places, those places lie on one level: that corrects what is left,
which else makes a person sink or rise on the way through a deep picture.

A camera that tilts or rolls while it films is given one direction all the same: it leans in part of the
clip. Turning about the vertical does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fasthmr.evidence import BodyEstimate

# Frames that point further than this away from the mean lose their weight, radians.
_OUTLIER: Final = 0.15
_ROUNDS: Final = 20

# How wrong the mean of all frames may be, radians, and heights of planted soles, metres: single steps also
# go up kerbs and carry the depth's errors.
_UP_DEVIATION: Final = 0.05
_HEIGHT_DEVIATION: Final = 0.06
# A planted foot says the same thing over and over; it counts as one measurement in so many seconds.
_STEP_SECONDS: Final = 0.5
_MOST_TILT: Final = 0.15  # radians; more is a slope, and not an error


def mean_up(estimates: Sequence[BodyEstimate]) -> np.ndarray | None:
    """The robust mean of where up is, over all frames of all people.

    Args:
        estimates: the people of one clip; a frame counts by its mean confidence.

    Returns:
        (3,) unit vector in the camera frame, or None where no estimate says.
    """
    known = [estimate for estimate in estimates if estimate.up is not None]
    if not known:
        return None
    ups = np.concatenate([np.asarray(estimate.up, np.float64) for estimate in known])
    weights = np.concatenate([estimate.confidence.mean(axis=1) for estimate in known]).astype(np.float64)
    weights = weights + 1e-6  # people of whom nothing was seen still have the decoder's guess
    mean = _unit(weights @ ups)
    for _ in range(_ROUNDS):
        away = np.linalg.norm(ups - mean, axis=1)
        mean = _unit((weights / (1 + np.square(away / _OUTLIER))) @ ups)
    return mean


def world_axes(up: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of the world seen from the camera: z up, and the camera looks along +y.

    Args:
        up: (3,) unit vector against gravity in the camera frame (OpenCV).

    Returns:
        ``world_from_camera``'s rotation. A camera that looks straight down or up has the picture's upper
        edge toward +y.
    """
    forward = np.array([0.0, 0.0, 1.0])
    if np.linalg.norm(np.cross(forward, up)) < 1e-3:
        forward = np.array([0.0, -1.0, 0.0])
    right = _unit(np.cross(forward, up))
    return np.stack([right, np.cross(up, right), up])


def level_out(
    up: np.ndarray,
    soles: Sequence[np.ndarray],
    planted: Sequence[np.ndarray],
    timestamps: Sequence[np.ndarray],
) -> np.ndarray:
    """Turn "up" a little, so that the places where people stand lie level.

    A plane through each person's planted soles, one slope for all and a height for each person, by least
    squares with outliers losing their weight; the slope is held near zero as far as a mean of many frames
    can be believed.

    Args:
        up: (3,) unit vector in the camera frame.
        soles: a person each, (T, 4, 3) sole points in the camera frame, metres.
        planted: a person each, (T, 4) in 0..1.
        timestamps: a person each, (T,) seconds.

    Returns:
        (3,) unit vector in the camera frame.
    """
    axes = world_axes(up)
    people = []
    for points, weight, times in zip(soles, planted, timestamps, strict=True):
        if weight.sum() <= 0 or len(times) < 2:
            continue
        step = float(np.median(np.diff(times)))
        worth = weight.reshape(-1) * min(1.0, step / _STEP_SECONDS) / _HEIGHT_DEVIATION**2
        people.append(((points @ axes.T).reshape(-1, 3), worth, worth))
    if not people:
        return up
    slope = np.zeros(2)
    for _ in range(_ROUNDS):
        matrix, right, trusted = np.eye(2) / _UP_DEVIATION**2, np.zeros(2), []
        for points, _, trust in people:
            centred = points - trust @ points / trust.sum()
            matrix += centred[:, :2].T @ (trust[:, None] * centred[:, :2])
            right += centred[:, :2].T @ (trust * centred[:, 2])
            trusted.append(centred)
        slope = np.linalg.solve(matrix, right)
        people = [
            (points, worth, worth * _trust(centred[:, 2] - centred[:, :2] @ slope))
            for (points, worth, _), centred in zip(people, trusted, strict=True)
        ]
    slope *= min(1.0, _MOST_TILT / max(float(np.linalg.norm(slope)), 1e-12))
    return axes.T @ _unit(np.array([-slope[0], -slope[1], 1.0]))


def _trust(error: np.ndarray) -> np.ndarray:
    """Weight of planted soles that lie this far off the plane, metres; measured from the middle one."""
    return 1 / np.square(1 + np.square((error - np.median(error)) / (2 * _HEIGHT_DEVIATION)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
