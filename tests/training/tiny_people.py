# SPDX-License-Identifier: Apache-2.0
"""People in pictures that nobody rendered: true bodies and landmarks, and an ellipse for a person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.single_frames import Frames
from fasthmr.training.synthesis.people_set import write_shard

SIZE = (640, 480)
FOCAL = 600.0
_UPRIGHT = torch.diag(torch.tensor([1.0, -1, -1]))  # the body's y is up, the camera's is down


def true_frames(body: BodyModel, count: int, seed: int) -> Frames:
    """People about 4 m away, somewhere in the picture, in random poses."""
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=generator))
    rotations[:, 0] = _UPRIGHT @ rotations[:, 0]
    betas = torch.randn(count, 10, generator=generator)
    pelvis = torch.tensor([0.0, 0, 4]) + torch.tensor([0.6, 0.1, 0.5]) * torch.randn(
        count, 3, generator=generator
    )
    joints, turns = body.joints(rotations, betas)
    joints = joints - joints[:, :1] + pelvis[:, None]
    points = BodyLandmarks(body).place(joints[:, None], turns[:, None], betas)[:, 0]
    intrinsics = torch.tensor([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    pixels = FOCAL * points[..., :2] / points[..., 2:] + intrinsics[:2, 2]
    low, high = pixels.amin(1), pixels.amax(1)
    side = 1.1 * (high - low).amax(1, keepdim=True)
    return Frames(
        points=points,
        visible=torch.rand(count, 33, generator=generator) < 0.9,
        rotations=rotations,
        pelvis=pelvis,
        betas=betas,
        intrinsics=intrinsics.expand(count, 3, 3).clone(),
        image_size=torch.tensor([SIZE], dtype=torch.float32).expand(count, 2).clone(),
        squares=torch.cat([(low + high) / 2, side], dim=1),
    )


def write_tiny_people(body: BodyModel, folder: Path, count: int = 8) -> Path:
    """A set with a shard to train on and one that is held out."""
    for shard in (0, 7):
        frames = true_frames(body, count, seed=shard)
        rng = np.random.default_rng(shard)
        masks = np.zeros((count, 256, 192), np.uint8)
        for mask in masks:
            cv2.ellipse(mask, (96, 128), (int(rng.integers(25, 60)), 110), 0, 0, 360, 255, -1)
        images = rng.integers(0, 80, (count, 256, 192, 3)).astype(np.uint8)
        images[masks > 0] += 120
        arrays = {
            "images": images,
            "masks": masks,
            "squares": frames.squares.numpy(),
            "boxes": torch.cat(
                [
                    frames.squares[:, :2] - frames.squares[:, 2:] / 2,
                    frames.squares[:, :2] + frames.squares[:, 2:] / 2,
                ],
                dim=1,
            ).numpy(),
            "intrinsics": frames.intrinsics.numpy(),
            "image_size": frames.image_size.numpy(),
            "true_landmarks": frames.points.numpy(),
            "visible": frames.visible.numpy(),
            "rotations": frames.rotations.numpy(),
            "pelvis": frames.pelvis.numpy(),
            "betas": frames.betas.numpy(),
        }
        write_shard(folder, shard, arrays)
    return folder
