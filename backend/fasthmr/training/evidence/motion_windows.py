# SPDX-License-Identifier: Apache-2.0
"""Windows of motion drawn from a mocap set: balanced, mirrored, faster and slower, on other bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import MIRROR
from fasthmr.errors import BadInput
from fasthmr.training.evidence.varied_motion import vary
from fasthmr.training.mocap.packed import MocapSet, Split, sampling_weights

# How much faster or slower motion is shown.
_SLOWEST: Final = 0.8
_FASTEST: Final = 1.25
_LARGEST_BETA: Final = 2.5
# Bodies differ from the captured person's by this much.
_SHAPE_SPREAD: Final = 1.0


@dataclass(frozen=True)
class WorldMotion:
    """Windows in the world: z up, metres, floor at z = 0, over the origin in their middle.

    Attributes:
        rotations: (B, T, 24, 3, 3) of joints in their parents, the root's in the world.
        pelvis: (B, T, 3) metres.
        joints: (B, T, 24, 3) metres.
        turns: (B, T, 24, 3, 3) of the joints in the world.
        betas: (B, 10).
        contacts: (B, T, 4) 0..1.
        valid: (B, T) bool.
        step: (B,) seconds between frames.
    """

    rotations: Tensor
    pelvis: Tensor
    joints: Tensor
    turns: Tensor
    betas: Tensor
    contacts: Tensor
    valid: Tensor
    step: Tensor


class MotionWindows:
    """Draws windows; the same seed gives the same ones.

    Args:
        mocap: the set.
        body: wears the motion.
        generator: of everything drawn.
        window: frames.
        split: which clips.
        augmented: mirrored, warped in time and on random bodies; False gives the clips as they are.
        varied: as :mod:`~fasthmr.training.evidence.varied_motion` says, besides.

    Raises:
        BadInput: the split has no clips.
    """

    def __init__(
        self,
        mocap: MocapSet,
        body: BodyModel,
        generator: torch.Generator,
        window: int = 64,
        split: Split = "train",
        augmented: bool = True,
        varied: bool = False,
    ) -> None:
        clips = [clip for clip in mocap.clips if clip.split == split]
        if not clips:
            raise BadInput(f"{mocap.folder} has no clips for '{split}'.")
        self._body, self._generator, self._window, self._augmented = body, generator, window, augmented
        self._varied = varied
        self._weights = torch.from_numpy(sampling_weights(clips)).float()
        self._starts = torch.tensor([clip.start for clip in clips])
        self._counts = torch.tensor([clip.count for clip in clips])
        self._betas = torch.tensor([clip.betas for clip in clips])
        frames = sum(clip.count for clip in mocap.clips)
        self._quaternions = torch.from_numpy(mocap.quaternions(0, frames))
        self._pelvis = torch.from_numpy(mocap.pelvis(0, frames))
        self._contacts = torch.from_numpy(mocap.contacts(0, frames))

    def draw(self, count: int) -> WorldMotion:
        """Draw B = ``count`` windows."""
        quaternions, pelvis, contacts, valid, betas, step = self._windows(count)
        shapes = betas
        if self._augmented:
            mirrored = self._random(count) < 0.5
            quaternions = torch.where(
                mirrored[:, None, None, None], _mirror_quaternions(quaternions), quaternions
            )
            pelvis = torch.where(mirrored[:, None, None], pelvis * pelvis.new_tensor([-1, 1, 1]), pelvis)
            contacts = torch.where(mirrored[:, None, None], contacts[..., [2, 3, 0, 1]], contacts)
            shapes = 0.5 * betas + _SHAPE_SPREAD * torch.randn(count, 10, generator=self._generator)
            shapes = shapes.clamp(-_LARGEST_BETA, _LARGEST_BETA)
        rotations = _matrices(quaternions)
        yaw = 2 * torch.pi * self._random(count)
        turn = _about_z(yaw)
        rotations = torch.cat([(turn[:, None] @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], dim=2)
        # A larger body takes longer steps: the path grows with the legs, so that feet still stand.
        legs = self._leg_length(shapes) / self._leg_length(betas)
        pelvis = legs[:, None, None] * (turn[:, None] @ pelvis[..., None])[..., 0]
        middle = pelvis[:, self._window // 2, :2]
        pelvis = torch.cat([pelvis[..., :2] - middle[:, None], pelvis[..., 2:]], dim=-1)
        if self._varied:
            rotations, pelvis, contacts = vary(
                rotations, pelvis, contacts, valid, shapes, self._body, self._generator
            )
        flat = rotations.flatten(0, 1)
        joints, turns = self._body.joints(flat, shapes.repeat_interleave(self._window, 0))
        joints = (joints - joints[:, :1]).unflatten(0, (count, self._window)) + pelvis[:, :, None]
        return WorldMotion(
            rotations=rotations,
            pelvis=pelvis,
            joints=joints,
            turns=turns.unflatten(0, (count, self._window)),
            betas=shapes,
            contacts=contacts.round(),
            valid=valid,
            step=step,
        )

    def _windows(self, count: int) -> tuple[Tensor, ...]:
        """Raw windows at their own speed, and seconds between frames."""
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=self._generator)
        speed = torch.ones(count)
        if self._augmented:
            speed = _SLOWEST * (_FASTEST / _SLOWEST) ** self._random(count)
        length = self._counts[chosen]
        latest = (length - 1 - speed * (self._window - 1)).clamp_min(0)
        first = latest * self._random(count)
        at = first[:, None] + speed[:, None] * torch.arange(self._window)
        last = (length - 1).float()[:, None]
        valid = at <= last + 1e-3
        at = at.minimum(last)
        low = at.floor()
        share = (at - low)[..., None]
        low = low.long()
        high = (low + 1).minimum(length[:, None] - 1)
        low, high = low + self._starts[chosen, None], high + self._starts[chosen, None]
        before, after = self._quaternions[low], self._quaternions[high]
        after = torch.where((before * after).sum(-1, keepdim=True) < 0, -after, after)
        quaternions = torch.nn.functional.normalize(torch.lerp(before, after, share[..., None]), dim=-1)
        pelvis = torch.lerp(self._pelvis[low], self._pelvis[high], share)
        contacts = torch.lerp(self._contacts[low], self._contacts[high], share)
        # Half of what a changed speed does is told as another frame rate, half is another way to move.
        told = torch.where(self._random(count) < 0.5, speed, torch.ones(count))
        return quaternions, pelvis, contacts, valid, self._betas[chosen], told / 30

    def _leg_length(self, betas: Tensor) -> Tensor:
        rest = self._body.rest_joints(betas)
        return rest[:, 0, 1] - rest[:, 7, 1]

    def _random(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self._generator)


def _mirror_quaternions(quaternions: Tensor) -> Tensor:
    """(B, T, 24, 4) -> the same motion with left and right exchanged (x becomes -x)."""
    return quaternions[:, :, list(MIRROR)] * quaternions.new_tensor([1, 1, -1, -1])


def _matrices(quaternions: Tensor) -> Tensor:
    """(..., 4) unit quaternions, w x y z -> (..., 3, 3)."""
    w, x, y, z = quaternions.unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def _about_z(angles: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about the world's z."""
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))
