# SPDX-License-Identifier: Apache-2.0
"""Bodies as the orientations of their segments, all in one frame.

A joint's rotation in its parent is what files hold; what a camera sees is where each segment points.
Networks here speak of the latter: an error of the thigh does not carry the shin and the foot along, bone
directions are linear in the matrices, and forward kinematics is a sum. Rotations are written as their first
two columns (Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body.skeleton import JOINT_COUNT, PARENTS

_PARENT_ROWS: Final = list(PARENTS[1:])


def _paths() -> np.ndarray:
    """(24, 23): which bones lie between the pelvis and each joint; bone j - 1 ends in joint j."""
    paths = np.zeros((JOINT_COUNT, JOINT_COUNT - 1), np.float32)
    for joint in range(1, JOINT_COUNT):
        paths[joint] = paths[PARENTS[joint]]
        paths[joint, joint - 1] = 1
    return paths


_PATHS: Final = torch.from_numpy(_paths())


def segments_from_local(rotations: Tensor) -> Tensor:
    """Rotations (..., 24, 3, 3) of joints in their parents -> orientations of segments in one frame."""
    turned = [rotations[..., 0, :, :]]
    for joint in range(1, JOINT_COUNT):
        turned.append(turned[PARENTS[joint]] @ rotations[..., joint, :, :])
    return torch.stack(turned, dim=-3)


def local_from_segments(segments: Tensor) -> Tensor:
    """The way back from :func:`segments_from_local`."""
    inner = segments[..., _PARENT_ROWS, :, :].mT @ segments[..., 1:, :, :]
    return torch.cat([segments[..., :1, :, :], inner], dim=-3)


def joints_of_segments(segments: Tensor, rest: Tensor) -> Tensor:
    """Joints about the pelvis.

    Args:
        segments: (..., 24, 3, 3) orientations in one frame.
        rest: (..., 24, 3) joints of the rest pose, metres; broadcast over the leading sizes.

    Returns:
        (..., 24, 3) metres, pelvis at the origin, in the frame of the segments.
    """
    bones = rest[..., 1:, :] - rest[..., _PARENT_ROWS, :]
    turned = (segments[..., _PARENT_ROWS, :, :] * bones[..., None, :]).sum(-1)
    return _PATHS.to(turned) @ turned


def rot6d_from_matrix(matrices: Tensor) -> Tensor:
    """The first two columns (..., 6) of rotations (..., 3, 3): the first column, then the second."""
    return torch.cat([matrices[..., 0], matrices[..., 1]], dim=-1)


def matrix_from_rot6d(values: Tensor) -> Tensor:
    """Rotations (..., 3, 3) from two columns (..., 6) that need not be unit or at right angles."""
    first = torch.nn.functional.normalize(values[..., :3], dim=-1, eps=1e-6)
    second = values[..., 3:] - (first * values[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1, eps=1e-6)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
