# SPDX-License-Identifier: Apache-2.0
"""Virtual cameras around somebody who moves: from phones held near to long lenses far away.

Camera frame: OpenCV (x right, y down, z forward). World: z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.training.evidence.motion_windows import WorldMotion

_SIZES: Final = ((1920, 1080), (1280, 720), (854, 480), (1080, 1920), (720, 1280), (640, 480), (1080, 1080))
_NEAREST: Final = 1.2
_FARTHEST: Final = 15.0


@dataclass(frozen=True)
class Cameras:
    """A camera a window.

    Attributes:
        camera_from_world: (B, T, 3, 3) rotations.
        place: (B, T, 3) metres in the world.
        intrinsics: (B, 3, 3) pixels.
        image_size: (B, 2) width and height.
    """

    camera_from_world: Tensor
    place: Tensor
    intrinsics: Tensor
    image_size: Tensor

    def points(self, world: Tensor) -> Tensor:
        """Points (B, T, K, 3) of the world in the cameras' frames."""
        return (world - self.place[:, :, None]) @ self.camera_from_world.mT

    def directions(self, world: Tensor) -> Tensor:
        """Directions (B, T, 3) of the world in the cameras' frames."""
        return (self.camera_from_world @ world[..., None])[..., 0]

    def project(self, points: Tensor) -> Tensor:
        """Pixels (B, T, K, 2) of points in the cameras' frames."""
        focal = torch.stack([self.intrinsics[:, 0, 0], self.intrinsics[:, 1, 1]], dim=-1)[:, None, None]
        return (
            points[..., :2] / points[..., 2:].clamp_min(0.1) * focal + self.intrinsics[:, None, None, :2, 2]
        )


def random_cameras(motion: WorldMotion, generator: torch.Generator) -> Cameras:
    """Draw a camera for each window.

    A third stands still, a third follows the person slowly, a third is held in a hand. It looks at the person
    from any side (motion has a random heading already), from -20 to 45 degrees above the level, and has the
    person somewhere in the picture, as large as the picture or as small as a sixth of it.

    Args:
        motion: B windows around the origin.
        generator: of everything drawn.
    """
    count, frames = motion.pelvis.shape[:2]

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    size = torch.tensor(_SIZES)[torch.randint(len(_SIZES), (count,), generator=generator)].float()
    focal = size.amax(1) * (0.65 * (2.2 / 0.65) ** random(count))
    share = 0.17 * (1.0 / 0.17) ** random(count).sqrt()
    distance = (1.75 * focal / (share * size[:, 1])).clamp(_NEAREST, _FARTHEST)
    pitch = torch.deg2rad(
        (6 + 10 * normal(count) + 12 * (random(count) < 0.2) * normal(count).abs()).clamp(-20, 45)
    )
    roll = torch.deg2rad(2.0 * normal(count))
    middle = torch.cat([torch.zeros(count, 2), motion.pelvis[:, :, 2].mean(1, keepdim=True)], dim=1)
    back = torch.stack([torch.zeros(count), -pitch.cos(), pitch.sin()], dim=-1)
    place = (middle + distance[:, None] * back)[:, None].expand(-1, frames, -1)

    # Where in the picture the person is: far from the middle only for those who look small.
    half_view = 0.5 * size / focal[:, None]
    room = (half_view - 0.5 * share[:, None] * size[:, 1:] / focal[:, None]).clamp_min(0.03)
    aside = (2 * random(count, 2) - 1) * room
    kind = torch.randint(3, (count,), generator=generator)
    path = motion.pelvis - motion.pelvis[:, frames // 2 : frames // 2 + 1]
    follow = torch.where(kind == 1, 0.5 + 0.5 * random(count), torch.zeros(count))
    follow = torch.where((kind == 2) & (random(count) < 0.5), 0.5 + 0.5 * random(count), follow)
    target = middle[:, None] + follow[:, None, None] * _calm(path) * path.new_tensor([1, 1, 0.3])
    held = (kind == 2).float()[:, None, None]
    place = place + held * 0.03 * _wander(count, frames, 3, generator)
    place = place + 0.3 * follow[:, None, None] * (random(count) < 0.3)[:, None, None] * _calm(path)
    look = _looking(target - place, roll)
    turn = torch.cat(
        [
            torch.atan(aside[:, None, 1:]) + held * 0.01 * _wander(count, frames, 1, generator),
            -torch.atan(aside[:, None, :1]) + held * 0.01 * _wander(count, frames, 1, generator),
            torch.zeros(count, frames, 1),
        ],
        dim=-1,
    )
    look = _small_turn(turn) @ look
    intrinsics = torch.zeros(count, 3, 3)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = 0.5 * size
    intrinsics[:, 2, 2] = 1
    return Cameras(look, place, intrinsics, size)


def _looking(forward: Tensor, roll: Tensor) -> Tensor:
    """camera_from_world (B, T, 3, 3) of cameras that look along directions, tilted by ``roll`` (B,)."""
    forward = torch.nn.functional.normalize(forward, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    cos, sin = roll.cos()[:, None, None], roll.sin()[:, None, None]
    return torch.stack([cos * right + sin * down, cos * down - sin * right, forward], dim=-2)


def _small_turn(angles: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about x, then y."""
    x, y = angles[..., 0], angles[..., 1]
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    about_x = torch.stack([one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos()], dim=-1)
    about_y = torch.stack([y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos()], dim=-1)
    return about_y.unflatten(-1, (3, 3)) @ about_x.unflatten(-1, (3, 3))


def _calm(path: Tensor) -> Tensor:
    """A path (B, T, 3) as somebody follows it who reacts within half a second."""
    frames = path.shape[1]
    offsets = torch.arange(frames)[:, None] - torch.arange(frames)
    kernel = torch.exp(-0.5 * (offsets / 12.0) ** 2)
    return (kernel / kernel.sum(1, keepdim=True)) @ path


def _wander(count: int, frames: int, size: int, generator: torch.Generator) -> Tensor:
    """Smooth random curves (B, T, size) of about unit size: a few slow sines."""
    time = torch.arange(frames)[None, :, None, None] / 30
    rate = 2 * torch.pi * (0.2 + 1.8 * torch.rand(count, 1, size, 4, generator=generator))
    phase = 2 * torch.pi * torch.rand(count, 1, size, 4, generator=generator)
    height = torch.randn(count, 1, size, 4, generator=generator) / 2
    return (height * torch.sin(rate * time + phase)).sum(-1)
