# SPDX-License-Identifier: GPL-3.0-or-later
"""The body at rest as it stands in Blender, and SMPL's poses as turns of that figure.

This is the one place where the body's axes (y up, z forward) become Blender's (z up, the figure
faces -y, Blender's front view). With A the rotation from body to Blender axes, a rest point p
becomes A p, and a joint's turn R becomes A R A^-1. The root is different: its rotation takes body
axes to the world, whose z is up already, so it becomes R A^-1. In the same way the rest pelvis J0 is
a plain vector in ``pelvis = trans + J0``: it is added as it stands in the body file, never turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .body_file import Body
from .rotations import quat_from_matrix, quat_inverse, quat_multiply

BLENDER_FROM_BODY: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])

FORWARD: Final = np.array([0.0, -1.0, 0.0])
UP: Final = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class RestFigure:
    """A body of one shape in its T-pose in Blender's axes, its soles on the floor.

    Attributes:
        body: the body that it is made from.
        betas: (10,) its shape.
        joints: (24, 3) rest joints.
        vertices: (V, 3) rest vertices of this shape.
        mean_vertices: (V, 3) rest vertices of the mean shape (betas 0), lifted like `vertices`.
        shape_offsets: (10, V, 3) offsets for one unit of each beta.
    """

    body: Body
    betas: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray
    mean_vertices: np.ndarray
    shape_offsets: np.ndarray

    @classmethod
    def of(cls, body: Body, betas: np.ndarray) -> RestFigure:
        """The figure of a body with shape `betas` (10,)."""
        vertices = body.rest_vertices(betas) @ BLENDER_FROM_BODY.T
        lift = -vertices[:, 2].min() * UP
        return cls(
            body,
            betas,
            joints=body.rest_joints(betas) @ BLENDER_FROM_BODY.T + lift,
            vertices=vertices + lift,
            mean_vertices=body.template @ BLENDER_FROM_BODY.T + lift,
            shape_offsets=np.moveaxis(body.shape_directions, 2, 0) @ BLENDER_FROM_BODY.T,
        )

    def pelvis_in_world(self, trans: np.ndarray) -> np.ndarray:
        """Pelvis (T, 3) in the world for AMASS translations (T, 3)."""
        return trans + self.body.rest_joints(self.betas)[0]


def turns_of_figure(quats: np.ndarray) -> np.ndarray:
    """SMPL's joint rotations as turns of the figure in Blender's axes.

    Args:
        quats: (T, 24, 4) unit quaternions; the root's from the body to the world, the others' from
            the joint to its parent.

    Returns:
        (T, 24, 4) unit quaternions about Blender's axes; the root's takes the rest figure to the world.
    """
    axes = quat_from_matrix(BLENDER_FROM_BODY)
    turns = quat_multiply(quats, quat_inverse(axes))
    turns[:, 1:] = quat_multiply(axes, turns[:, 1:])
    return turns
