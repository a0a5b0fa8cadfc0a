# SPDX-License-Identifier: Apache-2.0
"""From the camera's frame into the world: people of one clip side by side on one floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.motion import Motion
from fasthmr.placement.camera import LEVEL_CAMERA
from fasthmr.placement.floor import contacts, floor_height
from fasthmr.placement.soles import find_soles


def place(
    estimates: Sequence[BodyEstimate],
    evidences: Sequence[Evidence],
    body: BodyModel,
    provenance: Mapping[str, Any],
) -> list[Motion]:
    """Place the people of a clip in a metric world.

    The camera is level and stands still, looking along +y. The floor is z = 0, and the first person's
    first pelvis stands over the origin; the others are where they are beside that person.

    Args:
        estimates: each person's body in the camera frame.
        evidences: the evidence that each estimate was made from, in the same order.
        body: the body model of the estimates.
        provenance: goes into each motion's ``meta``.

    Returns:
        One motion a person, in the same order.
    """
    body = body.to("cpu", torch.float32)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = LEVEL_CAMERA
    soles = [_soles_in_camera(estimate, body) for estimate in estimates]
    belief = [_belief_in_feet(estimate) for estimate in estimates]
    floor = floor_height([points @ LEVEL_CAMERA[2] for points in soles], belief)
    origin = LEVEL_CAMERA @ estimates[0].joints[0, INDEX["pelvis"]].astype(np.float64)
    world_from_camera[:3, 3] = -origin[0], -origin[1], -floor
    return [
        _motion(estimate, evidence, body, world_from_camera, points, sure, provenance)
        for estimate, evidence, points, sure in zip(estimates, evidences, soles, belief, strict=True)
    ]


def _soles_in_camera(estimate: BodyEstimate, body: BodyModel) -> np.ndarray:
    """(T, 4, 3) sole points in the camera frame, metres."""
    betas = torch.from_numpy(estimate.betas)
    joints, rotations = body.joints(torch.from_numpy(estimate.rotations), betas)
    placed = find_soles(body, betas).place(joints, rotations)
    return placed.numpy().astype(np.float64) + estimate.translation[:, None]


def _belief_in_feet(estimate: BodyEstimate) -> np.ndarray:
    """(T, 4) confidence of ankles and feet, in the order of the sole points."""
    names = ("left_ankle", "left_foot", "right_ankle", "right_foot")
    return estimate.confidence[:, [INDEX[name] for name in names]]


def _motion(
    estimate: BodyEstimate,
    evidence: Evidence,
    body: BodyModel,
    world_from_camera: np.ndarray,
    soles: np.ndarray,
    belief: np.ndarray,
    provenance: Mapping[str, Any],
) -> Motion:
    rotation = world_from_camera[:3, :3]
    rotations = estimate.rotations.astype(np.float64)
    rotations[:, 0] = rotation @ rotations[:, 0]
    poses = roma.rotmat_to_rotvec(torch.from_numpy(rotations)).numpy()
    rest_pelvis = body.rest_joints(torch.from_numpy(estimate.betas))[0].numpy().astype(np.float64)
    pelvis = (estimate.translation + rest_pelvis) @ rotation.T + world_from_camera[:3, 3]
    count = evidence.frame_count
    return Motion(
        poses=poses.reshape(count, -1),
        trans=pelvis - rest_pelvis,
        betas=estimate.betas,
        joints_camera=estimate.joints,
        frame_indices=evidence.frame_indices,
        timestamps=evidence.timestamps,
        confidence=estimate.confidence,
        contacts=contacts(soles @ rotation.T + world_from_camera[:3, 3], evidence.timestamps, belief),
        boxes=evidence.boxes,
        camera_intrinsics=evidence.intrinsics,
        world_from_camera=np.broadcast_to(world_from_camera, (count, 4, 4)),
        image_size=np.array(evidence.image_size),
        mocap_framerate=evidence.frame_rate,
        meta=dict(provenance),
    )
