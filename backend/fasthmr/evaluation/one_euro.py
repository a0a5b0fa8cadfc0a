# SPDX-License-Identifier: Apache-2.0
"""The One-Euro filter on a body estimate: the simplest smoothing that a learned decoder must beat.

Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012. It looks back only: what is smooth lags.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel
from fasthmr.evidence import BodyEstimate

_SMALLEST_STEP: Final = 1e-6  # seconds


@dataclass(frozen=True)
class OneEuro:
    """How strongly values are smoothed.

    Attributes:
        least_cutoff: cut-off frequency of a value at rest, Hz; lower is smoother.
        per_speed: how much the cut-off grows with the speed, Hz per unit a second; higher lags less.
        speed_cutoff: cut-off frequency of the speed itself, Hz; the paper's is 1.
    """

    least_cutoff: float = 1.0
    per_speed: float = 0.0
    speed_cutoff: float = 1.0


@dataclass(frozen=True)
class OneEuroBody:
    """The filter for a body.

    By the paper's recipe: the cut-off at rest as low as keeps a still person from trembling, then the growth
    as high as keeps quick limbs in time. An arm that swings at 5 rad/s is smoothed at about 6 Hz, which
    lags by 25 milliseconds; the path of a walk at 1.3 m/s lags by about 45.

    Attributes:
        rotations: for two columns of matrices, whose speed is 1 to 1.4 times that of the turn in rad/s.
        path: for the pelvis in the camera frame; the speed is in m/s.
    """

    rotations: OneEuro = field(default_factory=lambda: OneEuro(least_cutoff=1.5, per_speed=0.8))
    path: OneEuro = field(default_factory=lambda: OneEuro(least_cutoff=1.0, per_speed=2.0))


def one_euro(values: np.ndarray, times: np.ndarray, settings: OneEuro) -> NDArray[np.float64]:
    """Filter values over time.

    Args:
        values: (T, ..., D); the D numbers of one thing move together: they share the speed and the cut-off.
        times: (T,) seconds, increasing.
        settings: how strongly.

    Returns:
        (T, ..., D); the first is as it was.
    """
    values = np.asarray(values, np.float64)
    smooth = values.copy()
    speed = np.zeros_like(values[:1])[0] if len(values) else values
    for frame in range(1, len(values)):
        step = max(float(times[frame] - times[frame - 1]), _SMALLEST_STEP)
        # The paper's listing takes the difference from the last filtered value.
        change = (values[frame] - smooth[frame - 1]) / step
        share = _share(settings.speed_cutoff, step)
        speed = share * change + (1 - share) * speed
        size = np.linalg.norm(speed, axis=-1, keepdims=True)
        share = _share(settings.least_cutoff + settings.per_speed * size, step)
        smooth[frame] = share * values[frame] + (1 - share) * smooth[frame - 1]
    return smooth


def smooth_estimate(
    estimate: BodyEstimate, timestamps: np.ndarray, body: BodyModel, settings: OneEuroBody | None = None
) -> BodyEstimate:
    """Filter a body estimate: rotations as two columns of their matrices, and the pelvis's path.

    Args:
        estimate: T frames.
        timestamps: (T,) seconds.
        body: gives the joints of the smoothed rotations.
        settings: how strongly.

    Returns:
        The estimate with new rotations, translation and joints; the shape stays.
    """
    settings = settings or OneEuroBody()
    columns = estimate.rotations[..., :2].astype(np.float64)
    flat = columns.reshape(*columns.shape[:2], 6)
    smooth = one_euro(flat, timestamps, settings.rotations).reshape(columns.shape)
    rotations = torch.from_numpy(orthonormal(smooth).astype(np.float32))
    pelvis = one_euro(estimate.joints[:, 0].astype(np.float64), timestamps, settings.path)
    betas = torch.from_numpy(np.asarray(estimate.betas, np.float32))
    rest = body.rest_joints(betas)[0].numpy().astype(np.float64)
    translation = (pelvis - rest).astype(np.float32)
    joints, _ = body.joints(rotations, betas, torch.from_numpy(translation))
    return replace(
        estimate,
        rotations=rotations.numpy(),
        translation=translation,
        joints=joints.numpy().astype(np.float32),
    )


def orthonormal(columns: np.ndarray) -> NDArray[np.float64]:
    """(..., 3, 2) two columns, nearly orthonormal -> (..., 3, 3) rotations (Gram-Schmidt)."""
    first = columns[..., 0] / np.linalg.norm(columns[..., 0], axis=-1, keepdims=True)
    second = columns[..., 1] - (first * columns[..., 1]).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _share(cutoff: float | np.ndarray, step: float) -> np.ndarray:
    """Weight of the new value: that of a low-pass filter of first order (equation 3)."""
    tau = 1 / (2 * np.pi * np.asarray(cutoff))
    return 1 / (1 + tau / step)
