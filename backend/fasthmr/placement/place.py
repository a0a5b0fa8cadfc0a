# SPDX-License-Identifier: Apache-2.0
"""From the camera's frame into the world: people of one clip side by side on one floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.motion import Motion
from fasthmr.placement.camera import LEVEL_CAMERA
from fasthmr.placement.figure import Figure
from fasthmr.placement.floor import contacts, floor_height
from fasthmr.placement.gravity import level_out, mean_up, world_axes
from fasthmr.placement.hands_and_feet import relax_hands
from fasthmr.placement.planted import contacts_at_rest, planted_soles
from fasthmr.placement.standing import stand


def place(
    estimates: Sequence[BodyEstimate],
    evidences: Sequence[Evidence],
    body: BodyModel,
    provenance: Mapping[str, Any],
) -> list[Motion]:
    """Place the people of a clip in a metric world.

    The camera stands still and looks toward +y; it is level, unless the estimates know where up is
    (:mod:`.gravity`). The floor is z = 0, and the first person's first pelvis stands over the origin; the
    others are where they are beside that person. Where estimates know which soles stand, these stay where
    they are (:mod:`.standing`).

    Args:
        estimates: each person's body in the camera frame.
        evidences: the evidence that each estimate was made from, in the same order.
        body: the body model of the estimates.
        provenance: goes into each motion's ``meta``.

    Returns:
        One motion a person, in the same order.
    """
    body = body.to("cpu", torch.float32)
    figures = [_in_camera(estimate) for estimate in estimates]
    times = [evidence.timestamps for evidence in evidences]
    soles = [figure.soles(body) for figure in figures]
    estimates = [
        _at_rest(estimate, points, moments)
        for estimate, points, moments in zip(estimates, soles, times, strict=True)
    ]
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = _axes(estimates, soles, times)
    belief = [_belief_in_feet(estimate) for estimate in estimates]
    heights = [points @ world_from_camera[2, :3] for points in soles]
    floor = floor_height(heights, belief, [estimate.contacts is not None for estimate in estimates])
    origin = world_from_camera[:3, :3] @ estimates[0].joints[0, INDEX["pelvis"]].astype(np.float64)
    world_from_camera[:3, 3] = -origin[0], -origin[1], -floor
    return [
        _motion(figure, estimate, evidence, body, world_from_camera, provenance)
        for figure, estimate, evidence in zip(figures, estimates, evidences, strict=True)
    ]


def _in_camera(estimate: BodyEstimate) -> Figure:
    rotations = relax_hands(estimate.rotations.astype(np.float64))
    return Figure(rotations, estimate.translation.astype(np.float64), estimate.betas)


def _at_rest(estimate: BodyEstimate, soles: np.ndarray, timestamps: np.ndarray) -> BodyEstimate:
    """The estimate without contacts of soles that the picture shows in motion."""
    if estimate.contacts is None:
        return estimate
    likely = contacts_at_rest(estimate.contacts.clip(0, 1), soles, timestamps)
    return replace(estimate, contacts=likely.astype(np.float32))


def _axes(
    estimates: Sequence[BodyEstimate], soles: Sequence[np.ndarray], times: Sequence[np.ndarray]
) -> np.ndarray:
    """Rotation (3, 3) from the camera into the world."""
    up = mean_up(estimates)
    if up is None:
        return LEVEL_CAMERA
    known = [index for index, estimate in enumerate(estimates) if estimate.contacts is not None]
    planted = [planted_soles(np.asarray(estimates[index].contacts)) for index in known]
    return world_axes(level_out(up, [soles[i] for i in known], planted, [times[i] for i in known]))


def _belief_in_feet(estimate: BodyEstimate) -> np.ndarray:
    """(T, 4) confidence of ankles and feet, in the order of the sole points.

    Soles that are known to stand say where the floor is, and no others, wherever there are any.
    """
    names = ("left_ankle", "left_foot", "right_ankle", "right_foot")
    belief = estimate.confidence[:, [INDEX[name] for name in names]]
    if estimate.contacts is None:
        return belief
    standing = np.where(planted_soles(estimate.contacts), belief, 0)
    return standing if standing.max() > 0 else belief


def _motion(
    figure: Figure,
    estimate: BodyEstimate,
    evidence: Evidence,
    body: BodyModel,
    world_from_camera: np.ndarray,
    provenance: Mapping[str, Any],
) -> Motion:
    rotation, shift = world_from_camera[:3, :3], world_from_camera[:3, 3]
    rest_pelvis = body.rest_joints(torch.from_numpy(estimate.betas))[0].numpy().astype(np.float64)
    figure = figure.moved(rotation, shift, rest_pelvis)
    joints_camera = estimate.joints
    if estimate.contacts is None:
        belief = _belief_in_feet(estimate)
        standing = contacts(figure.soles(body), evidence.timestamps, belief)
    else:
        standing = estimate.contacts
        figure = stand(figure, body, standing, evidence.timestamps, shift, estimate.confidence)
        joints_camera = (figure.joints(body)[0] - shift) @ rotation
    poses = roma.rotmat_to_rotvec(torch.from_numpy(figure.rotations)).numpy()
    count = evidence.frame_count
    return Motion(
        poses=poses.reshape(count, -1),
        trans=figure.translation,
        betas=estimate.betas,
        joints_camera=joints_camera,
        frame_indices=evidence.frame_indices,
        timestamps=evidence.timestamps,
        confidence=estimate.confidence,
        contacts=standing,
        boxes=evidence.boxes,
        camera_intrinsics=evidence.intrinsics,
        world_from_camera=np.broadcast_to(world_from_camera, (count, 4, 4)),
        image_size=np.array(evidence.image_size),
        mocap_framerate=evidence.frame_rate,
        meta=dict(provenance),
    )
