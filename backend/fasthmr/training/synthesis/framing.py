# SPDX-License-Identifier: Apache-2.0
"""Cameras turned and zoomed so that the picture's edge cuts people off, as it does in real footage."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import roma
import torch
from torch import Tensor

from fasthmr.training.evidence.cameras import Cameras

# How often which edge cuts: left, right, top, bottom. Legs are what pictures miss most.
_EDGES: Final = (0.25, 0.25, 0.1, 0.4)
_CLOSEST: Final = 2.0  # times zoomed
_LEAST_BEYOND: Final = 0.08  # of the person's extent
_MOST_BEYOND: Final = 0.55
_LEAST_SEEN: Final = 10  # landmarks inside the picture


def cut_some(cameras: Cameras, marks: Tensor, share: float, generator: torch.Generator) -> Cameras:
    """Turn some cameras aside, and zoom in, so that a part of the person lies beyond an edge.

    Cameras keep their places and the middle of their pictures. One that would lose the person stays as it
    was.

    Args:
        cameras: B, a single frame each.
        marks: (B, 1, 33, 3) landmarks in the world.
        share: of the cameras that are turned.
        generator: of everything drawn.
    """
    count = len(marks)

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    chosen = random(count) < share
    zoom = _CLOSEST ** random(count)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0, 0] *= zoom
    intrinsics[:, 1, 1] *= zoom
    zoomed = replace(cameras, intrinsics=intrinsics)
    pixels = zoomed.project(zoomed.points(marks))[:, 0]
    low, high = pixels.amin(1), pixels.amax(1)
    edge = torch.multinomial(torch.tensor(_EDGES), count, replacement=True, generator=generator)
    beyond = (_LEAST_BEYOND + (_MOST_BEYOND - _LEAST_BEYOND) * random(count))[:, None] * (high - low)
    to_low, to_high = -beyond - low, cameras.image_size + beyond - high
    none = torch.zeros(count)
    shift = torch.stack(
        [
            torch.where(edge == 0, to_low[:, 0], torch.where(edge == 1, to_high[:, 0], none)),
            torch.where(edge == 2, to_low[:, 1], torch.where(edge == 3, to_high[:, 1], none)),
        ],
        dim=-1,
    )
    focal = intrinsics[:, 0, 0, None]
    before = (low + high) / 2 - intrinsics[:, :2, 2]
    angle = torch.atan((before + shift) / focal) - torch.atan(before / focal)
    turn = roma.rotvec_to_rotmat(torch.stack([-angle[:, 1], none, none], dim=-1)) @ roma.rotvec_to_rotmat(
        torch.stack([none, angle[:, 0], none], dim=-1)
    )
    turned = replace(zoomed, camera_from_world=turn[:, None] @ cameras.camera_from_world)
    points = turned.points(marks)
    pixels = turned.project(points)
    inside = ((pixels >= 0) & (pixels < cameras.image_size[:, None, None])).all(-1) & (points[..., 2] > 0.2)
    chosen &= inside[:, 0].sum(-1) >= _LEAST_SEEN
    return replace(
        cameras,
        intrinsics=torch.where(chosen[:, None, None], intrinsics, cameras.intrinsics),
        camera_from_world=torch.where(
            chosen[:, None, None, None], turned.camera_from_world, cameras.camera_from_world
        ),
    )
