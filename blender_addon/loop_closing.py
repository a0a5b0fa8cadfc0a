# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion that starts again where it ends: its last frames are led to the first pose, and to its speed.

What is added over the span is a cubic that begins with nothing, not even speed, and ends with what is
missing; the movement itself goes on under it. Feet that stand in the span slide by what is missing, so choose
the range such that both ends are much alike, and a span in which the feet are busy.
"""

from __future__ import annotations

import math

import numpy as np

from .rotations import (
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
    rotvec_from_quat,
    without_sign_jumps,
)

_FEWEST = 7
"""Frames below which there is no room for a beginning and a span."""


def close_rotations(quats: np.ndarray, span: int) -> np.ndarray:
    """Lead rotations back to the first frame's.

    Args:
        quats: (T, ..., 4) unit quaternions.
        span: how many frames at the end change; at least 2, and at most T - 5 so that the beginning stays.

    Returns:
        (T, ..., 4) unit quaternions. The last frame is the first one's rotation, and the step to it is the
        one that leads to the first steps, see `_step_before`. Unchanged for fewer than 7 frames.
    """
    quats = np.array(quats, np.float64)
    if len(quats) < _FEWEST:
        return quats
    steps = rotvec_from_quat(quat_multiply(quat_inverse(quats[:4]), quats[1:5]))
    before_first = quat_multiply(quats[0], quat_from_rotvec(-_step_before(steps)))
    missing = rotvec_from_quat(quat_multiply(quat_inverse(quats[-1]), quats[0]))
    missing_before = rotvec_from_quat(quat_multiply(quat_inverse(quats[-2]), before_first))
    missing_before = _on_the_same_way(missing_before, missing)
    added = _led(missing_before, missing, span, len(quats))
    return without_sign_jumps(quat_multiply(quats, quat_from_rotvec(added)))


def close_values(values: np.ndarray, span: int, travels: np.ndarray | bool = False) -> np.ndarray:
    """Lead numbers back to the first frame's, or to its speed only.

    Args:
        values: (T, N).
        span: as for `close_rotations`.
        travels: which of the N columns keep the difference between first and last frame, (N,) or one for
            all: a walk goes on from where it has arrived, and only its speed is led to the first frame's.

    Returns:
        (T, N). The step to the last frame is the one that leads to the first steps, and columns that do not
        travel end with the first frame's value. Unchanged when there are fewer than 7 frames.
    """
    values = np.array(values, np.float64)
    if len(values) < _FEWEST:
        return values
    goal = np.where(travels, values[-1], values[0])
    missing_before = goal - _step_before(np.diff(values[:5], axis=0)) - values[-2]
    return values + _led(missing_before, goal - values[-1], span, len(values))


def _step_before(steps: np.ndarray) -> np.ndarray:
    """The step before the first, from the line with the least squares through the first four (4, ...).

    The very first step alone would not do: in a bend, that would put a kink into a motion which is a perfect
    loop already.
    """
    return steps[0] + (steps[1] - steps[3]) / 2


def _led(missing_before: np.ndarray, missing: np.ndarray, span: int, frames: int) -> np.ndarray:
    """What to add at each frame (T, ...), to have added what is missing at the last frame and the one before.

    With u from 0 to 1 over the span it is u^2 (a + b u): the only cubic that begins smoothly and meets both.
    """
    span = min(max(span, 2), frames - 5)
    u = np.clip((np.arange(frames) - (frames - 1 - span)) / span, 0, 1)
    u = u.reshape(-1, *(1,) * missing.ndim)
    before = 1 - 1 / span
    b = (missing - missing_before / before**2) / (1 - before)
    return u**2 * (missing - b + b * u)


def _on_the_same_way(rotvec: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The same rotations, the long way round where that is closer to `like`: half a turn has two ways."""
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    small = angle < 1e-9
    around = rotvec * (1 - 2 * math.pi / np.where(small, 1, angle))
    closer = np.linalg.norm(around - like, axis=-1, keepdims=True) < np.linalg.norm(
        rotvec - like, axis=-1, keepdims=True
    )
    return np.where(closer & ~small, around, rotvec)
