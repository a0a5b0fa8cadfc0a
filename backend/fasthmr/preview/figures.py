# SPDX-License-Identifier: Apache-2.0
"""The meshes of a motion, posed a few frames at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.motion import Motion

_CHUNK: Final = 16  # frames posed together: enough for speed, a few MB of vertices
_JOINTS_CHUNK: Final = 1024


class Figure:
    """One person: a motion on a body.

    Args:
        motion: the motion.
        body: the body that it was recovered with.
    """

    def __init__(self, motion: Motion, body: BodyModel) -> None:
        self.motion = motion
        self.body = body
        self._faces = body.faces.cpu()
        self._chunk = -1
        self._posed = np.empty((0, 0, 6), np.float32)

    @property
    def first(self) -> int:
        """The footage's frame number of the first row."""
        return int(self.motion.frame_indices[0])

    @property
    def last(self) -> int:
        """The footage's frame number of the last row."""
        return int(self.motion.frame_indices[-1])

    def row(self, frame_index: int) -> int | None:
        """The motion's row for a frame of the footage; None where the person is not there."""
        return frame_index - self.first if self.first <= frame_index <= self.last else None

    def mesh(self, row: int) -> np.ndarray:
        """(V, 6) float32: world position in metres and unit normal of every vertex."""
        chunk = row // _CHUNK
        if chunk != self._chunk:
            with torch.inference_mode():
                vertices, _ = self.body.vertices(*self._pose(chunk * _CHUNK, (chunk + 1) * _CHUNK))
                vertices = vertices.cpu().float()
                self._posed = torch.cat([vertices, vertex_normals(vertices, self._faces)], dim=-1).numpy()
            self._chunk = chunk
        return self._posed[row - chunk * _CHUNK]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(T, 3) lowest and (T, 3) highest corner of the box around the joints in the world, metres."""
        lower, upper = [], []
        with torch.inference_mode():
            for begin in range(0, self.motion.frame_count, _JOINTS_CHUNK):
                joints, _ = self.body.joints(*self._pose(begin, begin + _JOINTS_CHUNK))
                lower.append(joints.amin(dim=1).cpu().numpy())
                upper.append(joints.amax(dim=1).cpu().numpy())
        return np.concatenate(lower), np.concatenate(upper)

    def _pose(self, begin: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations (B, 24, 3, 3), shape (10,) and translation (B, 3) of some rows."""
        like = self.body.v_template
        poses = torch.as_tensor(self.motion.poses[begin:end]).to(like).unflatten(-1, (-1, 3))
        return (
            roma.rotvec_to_rotmat(poses),
            torch.as_tensor(self.motion.betas).to(like),
            torch.as_tensor(self.motion.trans[begin:end]).to(like),
        )


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals: the mean of the faces around a vertex, weighted by their area.

    Args:
        vertices: (B, V, 3).
        faces: (F, 3) int64, counter-clockwise from outside.

    Returns:
        (B, V, 3); zero where a vertex has no face.
    """
    corners = vertices[:, faces]
    face_normals = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1
    )
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals.index_add_(1, faces[:, corner], face_normals)
    return torch.nn.functional.normalize(normals, dim=-1)
