# SPDX-License-Identifier: Apache-2.0
"""What a synthetic sample shows, before it is drawn: a pose, a camera, a detector's box, perhaps company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.encoder.crop_geometry import CROP_SIDE, FIRST_COLUMN, HMR2_CROP, square_of
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.cameras import random_cameras
from fasthmr.training.evidence.motion_windows import MotionWindows
from fasthmr.training.evidence.synthesis import boxes_around, motion_in_camera
from fasthmr.training.synthesis.framing import cut_some

_CUT: Final = 0.08  # of the cameras are turned aside; some more cut people off by themselves
_NEAREST: Final = 0.2  # metres; what is nearer is not seen
# How far the edges of a detector's box are off, over the box's larger side: usually, and one time in ten.
_BOX_ERROR: Final = 0.02
_BOX_BLUNDER: Final = 0.07
_BLUNDERS: Final = 0.1
_COMPANY: Final = 0.16  # of the people have somebody before or behind them
_COMPANY_NEAREST: Final = 0.6  # metres from the camera


@dataclass(frozen=True)
class Scenes:
    """N scenes. Camera frame: OpenCV, metres; pixels of the whole picture.

    Attributes:
        rotations: (N, 24, 3, 3) of joints in their parents, the root's in the camera.
        turns: (N, 24, 3, 3) of the joints in the camera.
        joints: (N, 24, 3).
        pelvis: (N, 3).
        betas: (N, 10).
        landmarks: (N, 33, 3).
        pixels: (N, 33, 2) where the landmarks are in the picture.
        inside: (N, 33) bool, which of them are in it.
        world_from_camera: (N, 4, 4).
        intrinsics: (N, 3, 3).
        image_size: (N, 2) width and height.
        boxes: (N, 4) as a detector has them, x0 y0 x1 y1.
        squares: (N, 3) that crops are cut from.
        company: (N,) bool: somebody else is there,
        company_turns: (N, 24, 3, 3),
        company_joints: (N, 24, 3) and
        company_betas: (N, 10) of that person.
    """

    rotations: np.ndarray
    turns: np.ndarray
    joints: np.ndarray
    pelvis: np.ndarray
    betas: np.ndarray
    landmarks: np.ndarray
    pixels: np.ndarray
    inside: np.ndarray
    world_from_camera: np.ndarray
    intrinsics: np.ndarray
    image_size: np.ndarray
    boxes: np.ndarray
    squares: np.ndarray
    company: np.ndarray
    company_turns: np.ndarray
    company_joints: np.ndarray
    company_betas: np.ndarray

    def crop_camera(self, row: int) -> np.ndarray:
        """Camera matrix of the crop, so that drawing with it gives what cutting the picture would give.

        A picture's pixel (0, 0) covers 0 to 1 for the renderer and lies at index 0 for the crop's rule;
        hence the halves.

        Args:
            row: which scene.

        Returns:
            (3, 3) in pixels of the crop of 256 x 192.
        """
        x, y, size = self.squares[row]
        enlarged = CROP_SIDE / size
        camera = self.intrinsics[row].astype(np.float64)
        camera[:2] *= enlarged
        middle = CROP_SIDE / 2 + 0.5
        camera[0, 2] += middle - FIRST_COLUMN - enlarged * (x + 0.5)
        camera[1, 2] += middle - enlarged * (y + 0.5)
        return camera


def draw_scenes(windows: MotionWindows, body: BodyModel, count: int, generator: torch.Generator) -> Scenes:
    """Draw scenes.

    Args:
        windows: of single frames, where poses and bodies come from.
        body: that wears them.
        count: how many.
        generator: of everything that the windows do not draw.
    """
    motion = windows.draw(count)
    world_marks = BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas)
    cameras = cut_some(random_cameras(motion, generator), world_marks, _CUT, generator)
    truth = motion_in_camera(motion, cameras)
    marks = cameras.points(world_marks)
    pixels = cameras.project(marks)
    size = cameras.image_size[:, None, None]
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (marks[..., 2] > _NEAREST)
    boxes = _misjudged(boxes_around(pixels, inside, cameras.image_size)[:, 0], cameras.image_size, generator)
    world_from_camera = torch.eye(4).repeat(count, 1, 1)
    world_from_camera[:, :3, :3] = cameras.camera_from_world[:, 0].mT
    world_from_camera[:, :3, 3] = cameras.place[:, 0]

    # Company is the next scene's person, moved over the floor.
    aside = 0.45 * torch.randn(count, 2, generator=generator)
    toward = torch.nn.functional.normalize(cameras.place[:, 0, :2], dim=-1)
    near = 0.35 + 1.1 * torch.rand(count, 1, generator=generator)
    near = torch.where(torch.rand(count, 1, generator=generator) < 0.6, near, -near)
    near = near + 0.2 * aside[:, 1:].abs() * near.sign()
    across = torch.stack([-toward[:, 1], toward[:, 0]], dim=-1)
    beside = motion.pelvis[:, 0, :2] + aside[:, :1] * across + near * toward
    moved = torch.cat([beside, torch.zeros(count, 1)], dim=-1)
    moved = moved - motion.pelvis[:, 0].roll(1, 0) * moved.new_tensor([1, 1, 0])
    company_joints = cameras.points(motion.joints.roll(1, 0) + moved[:, None, None])[:, 0]
    company = torch.rand(count, generator=generator) < _COMPANY
    company &= company_joints[..., 2].amin(1) > _COMPANY_NEAREST
    turn = cameras.camera_from_world[:, 0, None]
    return Scenes(
        rotations=truth.rotations[:, 0].numpy(),
        turns=(turn @ motion.turns[:, 0]).numpy(),
        joints=cameras.points(motion.joints)[:, 0].numpy(),
        pelvis=truth.pelvis[:, 0].numpy(),
        betas=motion.betas.numpy(),
        landmarks=marks[:, 0].numpy(),
        pixels=pixels[:, 0].numpy(),
        inside=inside[:, 0].numpy(),
        world_from_camera=world_from_camera.numpy().astype(np.float64),
        intrinsics=cameras.intrinsics.numpy(),
        image_size=cameras.image_size.numpy(),
        boxes=boxes.numpy(),
        squares=np.array(square_of(boxes.numpy(), HMR2_CROP), np.float32),
        company=company.numpy(),
        company_turns=(turn @ motion.turns[:, 0].roll(1, 0)).numpy(),
        company_joints=company_joints.numpy(),
        company_betas=motion.betas.roll(1, 0).numpy(),
    )


def _misjudged(boxes: Tensor, image_size: Tensor, generator: torch.Generator) -> Tensor:
    """Boxes (N, 4) with a detector's errors, inside of the picture."""
    count = len(boxes)
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    size = torch.where(torch.rand(count, 1, generator=generator) < _BLUNDERS, _BOX_BLUNDER, _BOX_ERROR)
    moved = boxes + size * side * torch.randn(count, 4, generator=generator)
    low = moved[:, :2].clamp_min(0).minimum(image_size - 2)
    high = torch.maximum(moved[:, 2:].minimum(image_size), low + 2)
    return torch.cat([low, high], dim=-1)
