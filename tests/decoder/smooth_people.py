# SPDX-License-Identifier: Apache-2.0
"""Smooth motion with evidence that is exactly true: what the tests of the motion decoder begin with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.decoder.view_frame import box_rays, camera_from_view
from fasthmr.evidence import Evidence

WIDTH, HEIGHT, FOCAL = 1280, 720, 900.0


def people(
    body: BodyModel, count: int, frames: int, seed: int = 0, frame_rate: float = 30.0
) -> tuple[EvidenceBatch, MotionBatch]:
    """Windows of somebody who bends from one pose to another on a straight path, and what is seen of it."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    time = torch.linspace(0, 1, frames)[None, :, None, None]
    ends = 0.3 * random(count, 2, 24, 3)
    ends[:, :, 0] += torch.tensor([np.pi, 0.0, 0.0])  # upright in a camera whose y points down
    rotations = roma.rotvec_to_rotmat(ends[:, :1] * (1 - time) + ends[:, 1:] * time)
    pelvis = (
        torch.tensor([0.0, 0.2, 4.5]) + 0.3 * random(count, 1, 3) + time[..., 0] * 0.5 * random(count, 1, 3)
    )
    betas = random(count, 10)
    flat = rotations.flatten(0, 1)
    marks = landmark_model(body)
    intrinsics = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]).expand(count, 3, 3)
    points = torch.zeros(count, frames, 33, 3)
    joints, turns = body.joints(flat, betas.repeat_interleave(frames, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (count, frames)) + pelvis[:, :, None]
    for row in range(count):
        points[row] = joints[row].mean(1, keepdim=True)
        here = turns.unflatten(0, (count, frames))[row]
        points[row][:, marks.indices] = marks.place(joints[row], here, betas[row])
    image = FOCAL * points[..., :2] / points[..., 2:] + intrinsics[:, None, None, :2, 2]
    boxes = torch.cat([image.amin(2) - 20, image.amax(2) + 20], dim=-1)
    hips = points[:, :, [23, 24]].mean(2, keepdim=True)
    view = camera_from_view(box_rays(boxes, intrinsics)[0])
    world = (view.mT[:, :, None] @ (points - hips)[..., None])[..., 0]
    evidence = EvidenceBatch(
        landmarks_image=image,
        landmarks_world=world,
        visibility=torch.full((count, frames, 33), 0.9),
        boxes=boxes,
        intrinsics=intrinsics,
        step=torch.full((count,), 1 / frame_rate),
    )
    motion = MotionBatch(
        rotations=rotations,
        pelvis=pelvis,
        betas=betas,
        up=torch.tensor([0.0, -0.8, -0.6]).expand(count, frames, 3),
        contacts=(random(count, frames, 4) > 0).float(),
        valid=torch.ones(count, frames, dtype=torch.bool),
    )
    return evidence, motion


def with_encoder(evidence: EvidenceBatch, motion: MotionBatch) -> EvidenceBatch:
    """The same with an encoder that sees the truth and believes in it by half."""
    belief = torch.full(motion.rotations.shape[:3], 0.5)
    return replace(evidence, rotations=motion.rotations, joint_confidence=belief)


def as_clip(batch: EvidenceBatch, frame_rate: float = 30.0) -> Evidence:
    """The first window as the evidence of a clip."""
    frames = batch.boxes.shape[1]
    image = batch.landmarks_image[0].numpy()
    return Evidence(
        frame_indices=np.arange(frames),
        timestamps=np.arange(frames) / frame_rate,
        boxes=batch.boxes[0].numpy(),
        image_size=(WIDTH, HEIGHT),
        frame_rate=frame_rate,
        intrinsics=batch.intrinsics[0].double().numpy(),
        landmarks_image=np.concatenate([image, np.zeros((frames, 33, 1), np.float32)], axis=-1),
        landmarks_world=batch.landmarks_world[0].numpy(),
        visibility=batch.visibility[0].numpy(),
        rotations=None if batch.rotations is None else batch.rotations[0].numpy(),
        joint_confidence=None if batch.joint_confidence is None else batch.joint_confidence[0].numpy(),
    )
