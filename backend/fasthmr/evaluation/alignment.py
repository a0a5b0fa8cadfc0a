# SPDX-License-Identifier: Apache-2.0
"""Laying one set of points onto another: by similarity or rigidly, a frame, a stretch or a sequence at once.

The transformation of least squares is Umeyama's ("Least-squares estimation of transformation parameters
between two point patterns", PAMI 1991, equations 34-43).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Points that lie within a thousandth of a millimetre of one another have no size, metres.
_NO_SIZE: Final = 1e-6


@dataclass(frozen=True)
class Similarity:
    """target ≈ scale · rotation · source + shift.

    Attributes:
        scale: (...,).
        rotation: (..., 3, 3), proper.
        shift: (..., 3) metres.
    """

    scale: NDArray[np.float64]
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]

    def apply(self, points: np.ndarray) -> NDArray[np.float64]:
        """Carry points (..., P, 3) over."""
        turned = points @ self.rotation.swapaxes(-1, -2)
        return self.scale[..., None, None] * turned + self.shift[..., None, :]


def fit_similarity(source: np.ndarray, target: np.ndarray, *, rigid: bool = False) -> Similarity:
    """The similarity that lays ``source`` onto ``target`` with the least sum of squares.

    Args:
        source: (..., P, 3) points; every leading index is a fit of its own.
        target: (..., P, 3) where they should come to lie.
        rigid: keep the size.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    middle, goal = source.mean(-2), target.mean(-2)
    centred, wanted = source - middle[..., None, :], target - goal[..., None, :]
    left, values, right = np.linalg.svd(wanted.swapaxes(-1, -2) @ centred)
    # A mirror image is no motion: the weakest axis is turned back.
    signs = np.ones_like(values)
    signs[..., 2] = np.where(np.linalg.det(left) * np.linalg.det(right) < 0, -1.0, 1.0)
    rotation = (left * signs[..., None, :]) @ right
    scale = np.ones(values.shape[:-1])
    if not rigid:
        spread = (centred**2).sum((-2, -1))
        has_size = spread > _NO_SIZE**2
        scale = np.where(has_size, (values * signs).sum(-1) / np.where(has_size, spread, 1.0), 1.0)
    shift = goal - scale[..., None] * (rotation @ middle[..., None])[..., 0]
    return Similarity(scale, rotation, shift)


def align_each_frame(joints: np.ndarray, truth: np.ndarray) -> NDArray[np.float64]:
    """Lay every frame (T, J, 3) onto the truth by a similarity of its own: the alignment of PA-MPJPE."""
    return fit_similarity(joints, truth).apply(joints)


def align_by_start(joints: np.ndarray, truth: np.ndarray, frames: int = 2) -> NDArray[np.float64]:
    """Lay a stretch (T, J, 3) onto the truth by the similarity of its first frames: that of W-MPJPE."""
    return fit_similarity(_flat(joints[:frames]), _flat(truth[:frames])).apply(joints)


def align_whole(joints: np.ndarray, truth: np.ndarray) -> NDArray[np.float64]:
    """Lay a stretch (T, J, 3) onto the truth by the similarity of all its frames: that of WA-MPJPE."""
    return fit_similarity(_flat(joints), _flat(truth)).apply(joints)


def align_path(path: np.ndarray, truth: np.ndarray) -> NDArray[np.float64]:
    """Lay a path (T, 3) onto the true one, its size kept: the alignment of RTE."""
    return fit_similarity(path, truth, rigid=True).apply(path)


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(-1, 3)
