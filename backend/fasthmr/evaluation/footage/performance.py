# SPDX-License-Identifier: Apache-2.0
"""A captured motion on another body: who moves, with feet on the floor, and the skin of every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import INDEX, BodyModel
from fasthmr.preview.figures import vertex_normals
from fasthmr.training.synthesis.look import Look

_FEET: Final = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "foot")]
# Clothes of the wardrobe lie close; these stand off, so that the outline is not the body's.
_LOOSER: Final = (1.2, 2.2)
_FARTHEST: Final = 0.04


@dataclass(frozen=True)
class Performance:
    """A motion on a body. World: z up, metres, the floor at z = 0.

    Attributes:
        betas: (10,) shape of the open body.
        rotations: (T, 24, 3, 3) float32 of the joints in their parents, the root in the world.
        pelvis: (T, 3) pelvis joint.
        contacts: (T, 4) 0 or 1: left heel, left toe, right heel, right toe.
        joints: (T, 24, 3).
        stature: height of the standing body.
    """

    betas: NDArray[np.float32]
    rotations: NDArray[np.float32]
    pelvis: NDArray[np.float64]
    contacts: NDArray[np.float32]
    joints: NDArray[np.float64]
    stature: float


def perform(
    body: BodyModel,
    rotations: np.ndarray,
    pelvis: np.ndarray,
    contacts: np.ndarray,
    captured_betas: np.ndarray,
    betas: np.ndarray,
) -> Performance:
    """Give a captured motion to a body of another shape.

    The way of the pelvis grows with the length of the legs, which keeps a standing foot where it
    stands; then everything is lifted or lowered until the soles are on the floor when they touch it.

    Args:
        body: the open body.
        rotations: (T, 24, 3, 3) of the joints in their parents, the root in the world.
        pelvis: (T, 3) of the captured body.
        contacts: (T, 4) 0..1.
        captured_betas: (10,) that the motion was captured on.
        betas: (10,) that it is given to.
    """
    betas = np.asarray(betas, np.float32)
    rotations = np.asarray(rotations, np.float32)
    scale = _pelvis_height(body, betas) / _pelvis_height(body, np.asarray(captured_betas, np.float32))
    moved = np.asarray(pelvis, np.float64) * scale
    touching = np.asarray(contacts) > 0.5
    rest = body.rest_vertices(torch.from_numpy(betas)).numpy()
    soles = np.flatnonzero(np.isin(body.weights.argmax(1).numpy(), _FEET))
    lowest = pose_points(body, betas, rest, rotations, moved, soles)[..., 2].min(1)
    grounded = touching.any(1)
    moved[:, 2] -= np.median(lowest[grounded]) if grounded.any() else np.percentile(lowest, 5)
    return Performance(
        betas,
        rotations,
        moved,
        touching.astype(np.float32),
        joints_of(body, betas, rotations, moved),
        float(np.ptp(rest[:, 1])),
    )


def joints_of(body: BodyModel, betas: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """(T, 24, 3) joints in the frame of the root's rotation and of the pelvis (T, 3)."""
    joints, _ = _skeleton(body, betas, rotations, pelvis)
    return joints.astype(np.float64)


def dressed_vertices(
    body: BodyModel, performance: Performance, look: Look, random: np.random.Generator
) -> NDArray[np.float32]:
    """(T, V, 3) the performer's skin and clothes in the world.

    Clothes stand off by more than the look says, by a factor that is drawn; soles stay where they are,
    so that nobody sinks into the floor or hovers over it.
    """
    rest = body.rest_vertices(torch.from_numpy(performance.betas))
    normals = vertex_normals(rest[None], body.faces)[0].numpy()
    carrier = body.weights.argmax(1).numpy()
    hair = np.isin(carrier, [INDEX["head"], INDEX["neck"]])
    sole = np.isin(carrier, _FEET) & (normals[:, 1] < -0.3)
    wider = np.minimum(look.offsets * random.uniform(*_LOOSER), _FARTHEST)
    offsets = np.where(hair, look.offsets, np.where(sole, 0.0, wider))
    points = rest.numpy() + offsets[:, None] * normals
    return pose_points(body, performance.betas, points, performance.rotations, performance.pelvis)


def pose_points(
    body: BodyModel,
    betas: np.ndarray,
    points: np.ndarray,
    rotations: np.ndarray,
    pelvis: np.ndarray,
    chosen: np.ndarray | None = None,
) -> NDArray[np.float32]:
    """Carry points that lie at the body's vertices along with its bones.

    Args:
        body: whose skinning weights count.
        betas: (10,) of the skeleton.
        points: (V, 3) in the rest pose.
        rotations: (T, 24, 3, 3).
        pelvis: (T, 3).
        chosen: vertices to carry; all when left out.

    Returns:
        (T, V or len(chosen), 3).
    """
    joints, turns = _skeleton(body, betas, rotations, pelvis)
    rest_joints = body.rest_joints(torch.from_numpy(np.asarray(betas, np.float32))).numpy()
    places = joints - np.einsum("tjab,jb->tja", turns, rest_joints)
    bones = np.concatenate([turns, places[..., None]], axis=-1).reshape(len(turns), 24, 12)
    weights = body.weights.numpy() if chosen is None else body.weights.numpy()[chosen]
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1).astype(np.float32)
    homogeneous = homogeneous if chosen is None else homogeneous[chosen]
    posed = np.empty((len(turns), len(weights), 3), np.float32)
    for frame, bone in enumerate(bones.astype(np.float32)):
        posed[frame] = np.einsum("vab,vb->va", (weights @ bone).reshape(-1, 3, 4), homogeneous)
    return posed


def _skeleton(
    body: BodyModel, betas: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    shape = torch.from_numpy(np.asarray(betas, np.float32))
    there = torch.from_numpy(np.asarray(pelvis, np.float32)) - body.rest_joints(shape)[0]
    joints, turns = body.joints(torch.from_numpy(np.asarray(rotations, np.float32)), shape, there)
    return joints.numpy(), turns.numpy()


def _pelvis_height(body: BodyModel, betas: np.ndarray) -> float:
    """Of the standing body, over its soles."""
    shape = torch.from_numpy(betas)
    return float(body.rest_joints(shape)[0, 1] - body.rest_vertices(shape)[:, 1].min())
