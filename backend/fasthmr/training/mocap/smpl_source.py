# SPDX-License-Identifier: Apache-2.0
"""Motion that is on an SMPL body already: only the body and the frame rate change."""

from __future__ import annotations

import numpy as np

from fasthmr.body.skeleton import JOINT_NAMES
from fasthmr.training.mocap.resample import resample
from fasthmr.training.mocap.source_motion import SourceMotion


def from_smpl(source: SourceMotion, start: int, end: int) -> dict[str, np.ndarray]:
    """A span of a clip with rotations of its own, at 30 frames a second on the open body.

    Rotations carry over: both bodies rest in the same T-pose. The shape is the mean one, on which the reader
    placed the joints, as shape coefficients mean something else on every body.

    Args:
        source: with rotations, and SMPL's 24 joints first among its own.
        start: first frame of the span.
        end: one past its last.

    Returns:
        rotations (T, 24, 3, 3), pelvis (T, 3) and betas (10,).

    Raises:
        ValueError: the clip has no rotations.
    """
    if source.rotations is None:
        raise ValueError(f"{source.name} has no rotations of its own")
    # Averaging matrices and taking the nearest rotation is a low-pass that knows no wrap-around.
    matrices = resample(source.rotations[start:end], source.frame_rate)
    u, _, vt = np.linalg.svd(matrices.astype(np.float64))
    sign = np.linalg.det(u @ vt)
    u[..., -1] *= sign[..., None]
    joints = source.positions[start:end, : len(JOINT_NAMES)]
    return {
        "rotations": (u @ vt).astype(np.float32),
        "pelvis": resample(joints[:, 0], source.frame_rate),
        "betas": np.zeros(10, np.float32),
    }
