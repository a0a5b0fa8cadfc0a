# SPDX-License-Identifier: Apache-2.0
"""Planted soles stay where they are: the small, smooth correction of a path that achieves it.

The correction c(t) of a trajectory is the minimum of a sum of squares:

- a planted sole does not move: its velocity plus dc/dt is zero;
- a sole that stands on the floor is at its height, and no sole is below it;
- c is small, with a deviation of its own in each direction: a person's distance from the camera is the
  least certain of all, and what changes it does not show in the picture;
- c is smooth: its second derivative is small, so that nothing jumps where a foot is set down or lifted.

That is one banded linear system for the whole clip. Soles that would slide too fast, or stand far from the
floor (on a box, on a stair), lose their weight over a few rounds. The cost is an integral over time, so that
the frame rate does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse
from scipy.linalg import solveh_banded

_ROUNDS: Final = 5


@dataclass(frozen=True)
class Deviations:
    """What is taken for likely; metres and seconds.

    Attributes:
        velocity: of a planted sole.
        height: of a planted sole over the floor, and how deep one may sink.
        acceleration: of the correction.
        sliding: a sole that slides faster than this is not believed to be planted.
        off_floor: a planted sole further than this from the floor stands on something else.
    """

    velocity: float = 0.01
    height: float = 0.01
    acceleration: float = 1.5
    sliding: float = 0.5
    off_floor: float = 0.1


def hold_soles(
    soles: np.ndarray,
    planted: np.ndarray,
    timestamps: np.ndarray,
    information: np.ndarray,
    deviations: Deviations | None = None,
    *,
    with_floor: bool = True,
) -> np.ndarray:
    """The correction of a path that holds planted soles.

    Args:
        soles: (T, K, 3) sole points in the world, metres, z up, the floor at 0.
        planted: (T, K) in 0..1: how far each stands.
        timestamps: (T,) seconds, increasing.
        information: (T, 3, 3) inverse covariance of the correction, 1/m².
        deviations: what is likely.
        with_floor: whether soles are also drawn to the floor, and out of it.

    Returns:
        (T, 3) float64, metres: add it to the path.
    """
    count = len(soles)
    if count < 3:
        return np.zeros((count, 3))
    likely = deviations or Deviations()
    step = np.diff(timestamps)
    span = np.gradient(timestamps)
    velocity = np.diff(soles, axis=0) / step[:, None, None]
    both = np.minimum(planted[1:], planted[:-1])
    fixed = _smoothness(timestamps, likely.acceleration) + sparse.block_diag(
        span[:, None, None] * information, format="csr"
    )
    derivative = _bands([-1 / step, 1 / step], count)

    correction = np.zeros((count, 3))
    for _ in range(_ROUNDS):
        sliding = np.linalg.norm(velocity + (derivative @ correction)[:, None], axis=2)
        hold = both * _belief(sliding, likely.sliding) * step[:, None] / likely.velocity**2
        matrix = fixed + _in_space(derivative.T @ sparse.diags_array(hold.sum(1)) @ derivative)
        pull = -(derivative.T @ (hold[..., None] * velocity).sum(1))
        if with_floor:
            over = soles[..., 2] + correction[:, 2:]
            sunk = (over < 0).astype(np.float64)
            stand = np.maximum(planted * _belief(over, likely.off_floor), sunk)
            stand *= span[:, None] / likely.height**2
            matrix = matrix + sparse.diags_array(np.stack([0 * span, 0 * span, stand.sum(1)], 1).reshape(-1))
            pull[:, 2] -= (stand * soles[..., 2]).sum(1)
        correction = _solve(matrix, pull)
    return correction


def bounded(correction: np.ndarray, most: np.ndarray | float) -> np.ndarray:
    """A correction (T, 3) that never exceeds a length, a number or (T,); where it is small it stays."""
    length = np.linalg.norm(correction, axis=1) / most
    share = np.where(length > 1e-6, np.tanh(length) / np.maximum(length, 1e-6), 1.0)
    return correction * share[:, None]


def _belief(error: np.ndarray, scale: float) -> np.ndarray:
    """Weight of a measurement that is off by so much (Welsch's function)."""
    return np.exp(-np.square(error / scale))


def _smoothness(times: np.ndarray, deviation: float) -> sparse.csr_array:
    """Integral of the squared second derivative as a matrix (3T, 3T)."""
    step = np.diff(times)
    mean = 0.5 * (step[1:] + step[:-1])
    before, after = 1 / (step[:-1] * mean), 1 / (step[1:] * mean)
    second = _bands([before, -(before + after), after], len(times))
    return _in_space(second.T @ sparse.diags_array(mean / deviation**2) @ second)


def _bands(diagonals: list[np.ndarray], width: int) -> sparse.csr_array:
    """The matrix with these diagonals, the main one first, and so many columns."""
    rows, offsets = len(diagonals[0]), list(range(len(diagonals)))
    return sparse.csr_array(sparse.diags_array(diagonals, offsets=offsets, shape=(rows, width)))  # type: ignore[arg-type]


def _in_space(over_time: sparse.sparray) -> sparse.csr_array:
    """A matrix (T, T) over time for each of the three coordinates: (3T, 3T), frame by frame."""
    return sparse.csr_array(sparse.kron(over_time, sparse.eye_array(3)))


def _solve(matrix: sparse.sparray, right: np.ndarray) -> np.ndarray:
    """Solve for three coordinates of each frame; the frames couple with two neighbours on each side."""
    size = right.size
    bands = np.zeros((9, size))
    for band in range(9):
        bands[band, : size - band] = sparse.csr_array(matrix).diagonal(-band)
    return solveh_banded(bands, right.reshape(-1), lower=True).reshape(right.shape)
