# SPDX-License-Identifier: Apache-2.0
"""Where the pelvis is in front of the camera, frame by frame.

Each frame's landmarks say on which rays the body's points lie: two linear equations a landmark in the
pelvis's place (as in :func:`fasthmr.body.projection.translation_from_rays`). They are sure across the line
of sight and vague along it. What the motion decoder knows of the pelvis's speed ties the frames together.
Both are least squares, solved for the whole clip at once; landmarks that do not fit count less the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.linalg

_NEAREST: Final = 0.3  # metres
_ROUNDS: Final = 6
_USUAL_DISTANCE: Final = 4.0


@dataclass(frozen=True)
class PathDeviations:
    """How far measurements are usually off.

    Attributes:
        landmark: a landmark from the body's point, metres at its distance.
        across: the speed across the line of sight, as metres that a frame's step is off.
        along: the same along it.
    """

    landmark: float = 0.04
    across: float = 0.010
    along: float = 0.006


def root_path(
    points: np.ndarray,
    rays: np.ndarray,
    weights: np.ndarray,
    speed: np.ndarray,
    toward: np.ndarray,
    times: np.ndarray,
    deviations: PathDeviations | None = None,
) -> np.ndarray:
    """Find the pelvis's path.

    Args:
        points: (T, K, 3) the posed body's landmarks about its pelvis, camera axes, metres.
        rays: (T, K, 2) where they are seen: x/z and y/z.
        weights: (T, K) belief in each, 0 in gaps.
        speed: (T, 3) of the pelvis to the next frame, camera axes, m/s.
        toward: (T, 3) unit vectors from the camera to the person.
        times: (T,) seconds, increasing.
        deviations: of the measurements.

    Returns:
        (T, 3) metres in the camera frame. Where nothing was ever seen, at a usual distance.
    """
    deviations = deviations or PathDeviations()
    count = len(points)
    weights = weights.astype(np.float64)
    if not (weights.sum(1) > 0).any():
        return toward * _USUAL_DISTANCE
    u, v = rays[..., 0].astype(np.float64), rays[..., 1].astype(np.float64)
    wanted = np.stack([u * points[..., 2] - points[..., 0], v * points[..., 2] - points[..., 1]], axis=-1)
    rows = np.zeros((*u.shape, 2, 3))  # each landmark's two equations in the pelvis's place
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 0, 2], rows[..., 1, 2] = -u, -v
    belief = weights
    path = np.zeros((count, 3))
    for _ in range(_ROUNDS):
        scaled = belief / deviations.landmark**2
        own = np.einsum("tk,tkab,tkac->tbc", scaled, rows, rows)
        right = np.einsum("tk,tkab,tka->tb", scaled, rows, wanted)
        path = _solve(own, right, speed, toward, times, deviations)
        error = np.linalg.norm(np.einsum("tkab,tb->tka", rows, path) - wanted, axis=-1)
        belief = weights / (1 + np.square(error / (2 * deviations.landmark)))
    return _in_front(path, toward)


def _solve(
    own: np.ndarray,
    right: np.ndarray,
    speed: np.ndarray,
    toward: np.ndarray,
    times: np.ndarray,
    deviations: PathDeviations,
) -> np.ndarray:
    """Normal equations of frames (T, 3, 3) and of steps between them, by a banded Cholesky."""
    count = len(own)
    diagonal = own + 1e-9 * np.eye(3)
    right = right.copy()
    between = np.zeros((max(0, count - 1), 3, 3))
    if count > 1:
        step = np.diff(times)[:, None]
        axis = toward[:-1, :, None] * toward[:-1, None, :]
        # a longer step is less sure, as a random walk is
        share = (1 / 30) / step[..., None]
        between = share * ((np.eye(3) - axis) / deviations.across**2 + axis / deviations.along**2)
        moved = np.einsum("tab,tb->ta", between, speed[:-1] * step)
        diagonal[:-1] += between
        diagonal[1:] += between
        right[:-1] -= moved
        right[1:] += moved
    band = np.zeros((6, 3 * count))  # lower form: band[d, j] = matrix[j + d, j]
    for column in range(3):
        for row in range(3):
            if row >= column:
                band[row - column, column::3] = diagonal[:, row, column]
            if count > 1:
                band[3 + row - column, column : 3 * (count - 1) : 3] = -between[:, row, column]
    return scipy.linalg.solveh_banded(band, right.reshape(-1), lower=True).reshape(count, 3)


def _in_front(path: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """Nobody is behind the camera or in it: such places go onto the line of sight at the least distance."""
    wrong = path[:, 2] < _NEAREST
    return np.where(wrong[:, None], toward / toward[:, 2:] * _NEAREST, path)
