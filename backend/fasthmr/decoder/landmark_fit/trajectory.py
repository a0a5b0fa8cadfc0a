# SPDX-License-Identifier: Apache-2.0
"""The likeliest smooth trajectory through noisy points, in one linear solve.

Points are measured with a known deviation and accelerations have one too; the most likely trajectory
(maximum a posteriori) is a Whittaker smoother: a banded linear system, whatever the spacing of the
frames, gaps included. Outliers lose their weight over a few rounds (iteratively reweighted).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.linalg import solveh_banded

_ROUNDS: Final = 4
# Beyond this many deviations a point counts as an outlier and pulls ever less.
_OUTLIER: Final = 2.0


def smooth_trajectory(
    points: np.ndarray,
    times: np.ndarray,
    weights: np.ndarray,
    deviation: float | np.ndarray,
    acceleration_deviation: float,
) -> np.ndarray:
    """Smooth a trajectory.

    Args:
        points: (T, C) measured coordinates.
        times: (T,) seconds, increasing.
        weights: (T,) belief in each point, 0 where nothing was measured.
        deviation: of a point with weight 1, in the unit of the points; a number or (T,).
        acceleration_deviation: of the trajectory's second derivative, unit of the points per s².

    Returns:
        (T, C) float64. Where no point has weight, the points as they are.
    """
    points = np.asarray(points, np.float64)
    precision = np.asarray(weights, np.float64) / np.square(deviation)
    count = len(points)
    if count < 3 or not (precision > 0).any():
        return points
    # A trace of the points everywhere keeps the system solvable when few of them have weight.
    precision = precision + 1e-6 * precision.max()
    penalty = _acceleration_penalty(np.asarray(times, np.float64)) / acceleration_deviation**2
    smooth = _solve(penalty, precision, points)
    for _ in range(_ROUNDS - 1):
        error = np.linalg.norm(smooth - points, axis=1) / deviation
        belief = 1 / np.sqrt(1 + np.square(error / _OUTLIER))
        smooth = _solve(penalty, belief * precision, points)
    return smooth


def _solve(penalty: np.ndarray, precision: np.ndarray, points: np.ndarray) -> np.ndarray:
    banded = penalty.copy()
    banded[0] += precision
    return solveh_banded(banded, precision[:, None] * points, lower=True)


def _acceleration_penalty(times: np.ndarray) -> np.ndarray:
    """Sum of squared accelerations as a symmetric matrix, its lower bands (3, T)."""
    step = np.diff(times)
    mean = 0.5 * (step[1:] + step[:-1])
    before, after = 1 / (step[:-1] * mean), 1 / (step[1:] * mean)
    here = -(before + after)
    bands = np.zeros((3, len(times)))
    bands[0, :-2] += before**2
    bands[0, 1:-1] += here**2
    bands[0, 2:] += after**2
    bands[1, :-2] += before * here
    bands[1, 1:-1] += here * after
    bands[2, :-2] += before * after
    return bands
