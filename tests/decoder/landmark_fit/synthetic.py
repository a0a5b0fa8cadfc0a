# SPDX-License-Identifier: Apache-2.0
"""Bodies in known motion, and the evidence that a perfect or a noisy detector would give of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import roma
import torch

from fasthmr.body import load_body
from fasthmr.body.projection import project
from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel, landmark_model
from fasthmr.evidence import Evidence
from fasthmr.people.landmarks import LANDMARK_INDEX

BODY = load_body("open")
MARKS = landmark_model(BODY)
INTRINSICS = np.array([[1400.0, 0, 640], [0, 1400.0, 360], [0, 0, 1]])

# The body's y up and z forward, seen by a camera in front of it: y down, z away.
FACING_CAMERA = roma.rotvec_to_rotmat(torch.tensor([math.pi, 0.0, 0.0]))


def bent_poses(count: int, seed: int) -> torch.Tensor:
    """(count, 24, 3, 3): limbs well bent, so that every rotation can be seen; facing all ways."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.deg2rad(low + (high - low) * torch.rand(count, generator=generator))

    turns = torch.zeros(count, 24, 3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        turns[:, INDEX[f"{side}_hip"]] = torch.stack(
            [uniform(-80, 10), sign * uniform(-10, 10), sign * uniform(-5, 30)], -1
        )
        turns[:, INDEX[f"{side}_knee"], 0] = uniform(40, 100)
        turns[:, INDEX[f"{side}_shoulder"]] = torch.stack(
            [uniform(-20, 20), sign * uniform(-50, 20), sign * uniform(-70, 20)], -1
        )
        turns[:, INDEX[f"{side}_elbow"], 1] = -sign * uniform(40, 110)
    turns[:, INDEX["spine1"], 0] = uniform(-10, 20)
    turns[:, INDEX["spine3"], 1] = uniform(-15, 15)
    rotations = roma.rotvec_to_rotmat(turns)
    yaw = torch.stack([torch.zeros(count), uniform(-180, 180), torch.zeros(count)], -1)
    rotations[:, 0] = FACING_CAMERA @ roma.rotvec_to_rotmat(yaw)
    return rotations


def perfect_landmarks(
    rotations: torch.Tensor, betas: torch.Tensor | None = None, marks: LandmarkModel = MARKS
) -> tuple[torch.Tensor, torch.Tensor]:
    """World landmarks (T, 33, 3) about the mid-hips, unused ones at 0; and the joints (T, 24, 3)."""
    used, joints = placed_landmarks(rotations, torch.zeros(10) if betas is None else betas, marks)
    world = torch.zeros(len(rotations), 33, 3)
    world[:, MARKS.indices] = used - _between_hips(used)[:, None]
    return world, joints


def placed_landmarks(
    rotations: torch.Tensor, betas: torch.Tensor, marks: LandmarkModel = MARKS
) -> tuple[torch.Tensor, torch.Tensor]:
    """The used landmarks (T, K, 3) of a body that stands at the origin, and its joints (T, 24, 3)."""
    joints, frames = BODY.joints(rotations, betas)
    return marks.place(joints, frames, betas), joints


def _between_hips(used: torch.Tensor) -> torch.Tensor:
    return 0.5 * (used[:, MARKS.position("left_hip")] + used[:, MARKS.position("right_hip")])


def evidence_of(
    rotations: torch.Tensor,
    pelvis: torch.Tensor,
    betas: torch.Tensor,
    *,
    frame_rate: float = 30.0,
    pixel_noise: float = 0.0,
    world_noise: float = 0.0,
    seed: int = 0,
) -> tuple[Evidence, np.ndarray]:
    """What a detector would see of a moving body, and the true joints (T, 24, 3) in the camera.

    The world landmarks are turned as a detector turns them: as if the camera looked straight at the person.
    """
    generator = torch.Generator().manual_seed(seed)
    world, joints = perfect_landmarks(rotations, betas)
    shift = pelvis - joints[:, 0]
    hips = _between_hips(placed_landmarks(rotations, betas)[0]) + shift
    image = torch.zeros(len(rotations), 33, 3)
    image[..., :2] = project(world + hips[:, None], torch.tensor(INTRINSICS, dtype=torch.float32))
    boxes = torch.cat([image[:, MARKS.indices, :2].amin(1), image[:, MARKS.indices, :2].amax(1)], dim=1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    toward = torch.cat([(centre - torch.tensor([640.0, 360.0])) / 1400, torch.ones(len(centre), 1)], 1)
    toward = toward / toward.norm(dim=1, keepdim=True)
    axis = torch.linalg.cross(toward, torch.tensor([0.0, 0, 1]).expand_as(toward))
    angle = torch.asin(axis.norm(dim=1, keepdim=True))
    back = roma.rotvec_to_rotmat(torch.nn.functional.normalize(axis, dim=1) * angle)
    world = (back[:, None] @ world[..., None])[..., 0]
    image[..., :2] += pixel_noise * torch.randn(len(rotations), 33, 2, generator=generator)
    world = world + world_noise * torch.randn(len(rotations), 33, 3, generator=generator)
    visibility = np.zeros((len(rotations), 33), np.float32)
    visibility[:, MARKS.indices.numpy()] = 1.0
    evidence = Evidence(
        frame_indices=np.arange(len(rotations)),
        timestamps=np.arange(len(rotations)) / frame_rate,
        boxes=boxes.numpy(),
        image_size=(1280, 720),
        frame_rate=frame_rate,
        intrinsics=INTRINSICS,
        landmarks_image=image.numpy(),
        landmarks_world=world.numpy(),
        visibility=visibility,
    )
    return evidence, (joints + shift[:, None]).numpy()


def walk(frames: int, frame_rate: float = 30.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A walk across the picture from left to right: rotations (T, 24, 3, 3) and pelvis (T, 3)."""
    times = torch.arange(frames) / frame_rate
    phase = 2 * math.pi * times
    turns = torch.zeros(frames, 24, 3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = sign * torch.sin(phase)
        turns[:, INDEX[f"{side}_hip"], 0] = -0.1 - 0.45 * swing
        turns[:, INDEX[f"{side}_knee"], 0] = 0.45 + 0.35 * torch.cos(phase + (0 if sign > 0 else math.pi))
        turns[:, INDEX[f"{side}_shoulder"], 2] = -sign * 1.2
        turns[:, INDEX[f"{side}_shoulder"], 1] = 0.4 * swing
        turns[:, INDEX[f"{side}_elbow"], 1] = -sign * (0.5 + 0.1 * swing)
    rotations = roma.rotvec_to_rotmat(turns)
    rotations[:, 0] = FACING_CAMERA @ roma.rotvec_to_rotmat(torch.tensor([0.0, math.pi / 2, 0.0]))
    pelvis = torch.stack(
        [-1.2 + 1.1 * times, 0.02 * torch.cos(2 * phase), torch.full_like(times, 4.5)], dim=1
    )
    return rotations, pelvis


def acting(frames: int, frame_rate: float = 30.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The walk, with turns that landmarks hardly show: head, forearms, hands, thighs."""
    rotations, pelvis = walk(frames, frame_rate)
    turns = roma.rotmat_to_rotvec(rotations)
    look = torch.sin(math.pi * torch.arange(frames) / frame_rate)
    turns[:, INDEX["neck"], 1], turns[:, INDEX["head"], 1] = 0.3 * look, 0.5 * look
    turns[:, INDEX["spine2"], 1] = 0.2 * look
    for side, sign in (("left", 1.0), ("right", -1.0)):
        turns[:, INDEX[f"{side}_hip"], 1] = 0.25 * sign
        turns[:, INDEX[f"{side}_elbow"], 0] = 0.5 * sign
        turns[:, INDEX[f"{side}_wrist"], 2] = 0.4 * sign
    return roma.rotvec_to_rotmat(turns), pelvis


def turned_by_chance(rotations: torch.Tensor, degrees: float, seed: int) -> torch.Tensor:
    """Rotations as an encoder errs: by so many degrees on average, much the same from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    error = torch.randn(*rotations.shape[:2], 3, generator=generator)
    for frame in range(1, len(error)):
        error[frame] = 0.9 * error[frame - 1] + math.sqrt(1 - 0.9**2) * error[frame]
    return rotations @ roma.rotvec_to_rotmat(math.radians(degrees) * error / 1.6)


def hide(evidence: Evidence, landmarks: tuple[str, ...], seed: int = 3) -> Evidence:
    """Hide landmarks: they are hardly believed, and lie a hand's breadth away from where they are."""
    rng = np.random.default_rng(seed)
    visibility, image, world = (
        array.copy() for array in (evidence.visibility, evidence.landmarks_image, evidence.landmarks_world)
    )
    for name in landmarks:
        index = LANDMARK_INDEX[name]
        visibility[:, index] = 0.1
        image[:, index, :2] += rng.normal(0, 30, 2)
        world[:, index] += rng.normal(0, 0.15, 3)
    return replace(evidence, visibility=visibility, landmarks_image=image, landmarks_world=world)
