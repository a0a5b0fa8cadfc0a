# SPDX-License-Identifier: GPL-3.0-or-later
"""Euler angles in Blender's six orders, continuous over time.

An order such as "XYZ" turns about X first: the matrix is Rz @ Ry @ Rx.
"""

from __future__ import annotations

from typing import Final

import numpy as np

ORDERS: Final = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")

_LOCKED = 1e-6
"""Cosine of the middle angle below which the first and the last turn about the same axis."""


def matrix_from_euler(angles: np.ndarray, order: str) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of angles (..., 3) about x, y and z, radians."""
    angles = np.asarray(angles, np.float64)
    matrix = np.eye(3)
    for axis in (ord(letter) - ord("X") for letter in order):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        sine, cosine = np.sin(angles[..., axis]), np.cos(angles[..., axis])
        turn = np.zeros((*angles.shape[:-1], 3, 3))
        turn[..., axis, axis] = 1
        turn[..., one, one] = turn[..., other, other] = cosine
        turn[..., other, one], turn[..., one, other] = sine, -sine
        matrix = turn @ matrix
    return matrix


def euler_from_matrix(matrix: np.ndarray, order: str, near: np.ndarray | None = None) -> np.ndarray:
    """Angles (T, 3) about x, y and z of rotation matrices (T, 3, 3), each as close as can be to the last.

    A rotation has two sets of angles, each up to whole turns; curves are interpolated angle by angle, so the
    set must not change from frame to frame. Where the middle angle is a right one, only the sum of the other
    two is known: the last one stays as it was.

    Args:
        matrix: (T, 3, 3).
        order: one of `ORDERS`.
        near: (3,) angles that the first frame should be close to; zero by default.
    """
    first, middle, last = (ord(letter) - ord("X") for letter in order)
    sign = 1.0 if (middle - first) % 3 == 1 else -1.0
    # For the order XYZ: m[2, 0] = -sin y, m[2, 1] = cos y sin x, m[1, 0] = cos y sin z
    sine = np.clip(-sign * matrix[:, last, first], -1, 1)
    cosine = np.hypot(matrix[:, first, first], matrix[:, middle, first])
    locked = cosine < _LOCKED
    one = np.empty((len(matrix), 3))
    one[:, first] = np.arctan2(sign * matrix[:, last, middle], matrix[:, last, last])
    one[:, middle] = np.arctan2(sine, cosine)
    one[:, last] = np.arctan2(sign * matrix[:, middle, first], matrix[:, first, first])
    other = one + np.pi
    other[:, middle] = np.pi - one[:, middle]

    # with the last angle zero, what is left of a locked rotation is all in the first one
    alone = np.arctan2(-sign * matrix[:, middle, last], matrix[:, middle, middle])
    angles = np.empty_like(one)
    before = np.zeros(3) if near is None else np.asarray(near, np.float64)
    whole = 2 * np.pi
    for frame in range(len(matrix)):
        if locked[frame]:
            # first and last turn about one axis there, the same way or against each other
            pick = one[frame].copy()
            pick[last] = before[last]
            pick[first] = alone[frame] + np.sign(sine[frame]) * sign * before[last]
            choices = pick[None]
        else:
            choices = np.stack([one[frame], other[frame]])
        choices = choices + whole * np.round((before - choices) / whole)
        before = angles[frame] = choices[np.abs(choices - before).sum(axis=1).argmin()]
    return angles
