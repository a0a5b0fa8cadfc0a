# SPDX-License-Identifier: Apache-2.0
"""Motion that nobody performed: limbs of one window on another, joints bent more or less, bodies that lean.

An hour of captured motion is soon known by heart; what a detector is wrong about depends on the pose, so that
a network must see many. Everything here keeps motion smooth in time and feet where they stand. The pictures
that come of it need not be likely: the network learns what they look like, not how often they happen.
"""

from __future__ import annotations

from typing import Final

import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX

# Shares of the windows.
_OTHER_ARMS: Final = 0.25
_OTHER_TRUNK: Final = 0.15
_BENT: Final = 0.6
_LEANING: Final = 0.25
_LYING: Final = 0.03

_ARM_PARTS: Final = ("collar", "shoulder", "elbow", "wrist", "hand")
_ARMS: Final = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in _ARM_PARTS]
_TRUNK: Final = [*(INDEX[name] for name in ("spine1", "spine2", "spine3", "neck", "head")), *_ARMS]
# Hinges bend the wrong way if they are turned at will; they keep their axis and bend more or less.
_HINGES: Final = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "elbow")]
_HINGE_SPREAD: Final = 0.15

# How far a joint is turned, degrees (standard deviation of each axis).
_TURNS: Final = {
    "spine1": 4.0, "spine2": 4.0, "spine3": 4.0, "neck": 6.0, "head": 6.0, "collar": 3.0, "shoulder": 8.0,
    "wrist": 7.0, "hip": 3.5, "ankle": 4.0,
}  # fmt: skip
_LEAN: Final = 8.0
# Half of a turn lasts the whole window, half comes and goes this many times in it.
_SWINGS: Final = (0.5, 2.0)

# Feet: heels at the ankles, toes at SMPL's feet, in the order of the contacts.
_FEET: Final = [INDEX[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]
_CONTACT_FRAMES: Final = 3.0  # how gently the pelvis makes up for moved feet
_LEAST_HEIGHT: Final = 0.06  # of the lowest joint of somebody who was laid down, metres


def vary(
    rotations: Tensor,
    pelvis: Tensor,
    contacts: Tensor,
    valid: Tensor,
    betas: Tensor,
    body: BodyModel,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of motion, varied.

    Args:
        rotations: (B, T, 24, 3, 3) of joints in their parents, the root's in the world, z up.
        pelvis: (B, T, 3) metres.
        contacts: (B, T, 4) 0..1.
        valid: (B, T) which frames are there; windows that are not whole lend no limbs and borrow none.
        betas: (B, 10) shapes.
        body: wears the motion.
        generator: of everything drawn.

    Returns:
        Rotations, pelvis and contacts of the same shapes.
    """
    count = len(rotations)
    before = _joints(rotations, betas, body)
    made = _with_limbs_of_others(rotations, valid.all(1), generator)
    bent = torch.rand(count, generator=generator) < _BENT
    made = torch.where(bent[:, None, None, None, None], _bent(made, generator), made)
    leaning = torch.rand(count, generator=generator) < _LEANING
    lying = torch.rand(count, generator=generator) < _LYING
    degrees = torch.where(lying, 60.0, _LEAN) * (leaning | lying)
    tilt = _tilts(degrees.deg2rad(), generator)
    made = torch.cat([(tilt[:, None] @ made[:, :, 0])[:, :, None], made[:, :, 1:]], dim=2)
    after = _joints(made, betas, body)
    shift = planted_shift(before[:, :, _FEET], after[:, :, _FEET], contacts)
    standing = pelvis + shift
    # Who is laid down rests on the lowest joint, and on no foot.
    path = (tilt[:, None] @ pelvis[..., None])[..., 0]
    lowest = (after[..., 2].amin(2) + path[..., 2]).amin(1)
    path = path + torch.stack([0 * lowest, 0 * lowest, _LEAST_HEIGHT - lowest], dim=-1)[:, None]
    pelvis = torch.where(lying[:, None, None], path, standing)
    contacts = torch.where(lying[:, None, None], torch.zeros_like(contacts), contacts)
    return made, pelvis, contacts


def planted_shift(before: Tensor, after: Tensor, contacts: Tensor) -> Tensor:
    """How to move the pelvis so that standing feet stay where they stood.

    Args:
        before: (B, T, 4, 3) the points of the contacts relative to the pelvis, metres.
        after: the same points of the changed motion.
        contacts: (B, T, 4) 0..1.

    Returns:
        (B, T, 3) metres: the mean of what the standing points ask for, gently over time; between two
        stands it goes from one to the other.
    """
    asked = (contacts[..., None] * (before - after)).sum(2)  # (B, T, 3)
    weight = contacts.sum(2)[..., None]
    near = _gaussian(before.shape[1], _CONTACT_FRAMES).to(before)
    far = 1e-3 * _gaussian(before.shape[1], 10 * _CONTACT_FRAMES).to(before)
    kernel = near + far  # the far part says what to do where nothing stands nearby
    total = kernel @ weight
    return torch.where(total > 1e-9, (kernel @ asked) / total.clamp_min(1e-9), torch.zeros_like(asked))


def _with_limbs_of_others(rotations: Tensor, whole: Tensor, generator: torch.Generator) -> Tensor:
    """Arms, or everything above the pelvis, of another window of the batch on some of them."""
    count = len(rotations)
    made = rotations.clone()
    for joints, share in ((_TRUNK, _OTHER_TRUNK), (_ARMS, _OTHER_ARMS)):
        other = torch.randperm(count, generator=generator)
        lent = (torch.rand(count, generator=generator) < share) & whole & whole[other]
        borrowed = rotations[other][:, :, joints]
        made[:, :, joints] = torch.where(lent[:, None, None, None, None], borrowed, made[:, :, joints])
    return made


def _bent(rotations: Tensor, generator: torch.Generator) -> Tensor:
    """Joints turned a little, for the whole window and swinging slowly; hinges bent more or less."""
    count, frames = rotations.shape[:2]
    spread = torch.zeros(rotations.shape[2])
    for name, index in INDEX.items():
        part = name.removeprefix("left_").removeprefix("right_")
        spread[index] = torch.tensor(_TURNS.get(part, 0.0)).deg2rad()
    size = (count, 1, rotations.shape[2], 3)
    lasting = torch.randn(size, generator=generator)
    swinging = torch.randn(size, generator=generator)
    low, high = _SWINGS
    swings = low + (high - low) * torch.rand(count, 1, generator=generator)
    phase = 2 * torch.pi * (torch.rand(count, 1, generator=generator) + swings * torch.linspace(0, 1, frames))
    turn = (lasting + phase.sin()[..., None, None] * swinging) * spread[:, None] * 0.5**0.5
    made = rotations @ roma.rotvec_to_rotmat(turn)
    more = (_HINGE_SPREAD * torch.randn(count, 1, len(_HINGES), 1, generator=generator)).exp()
    vectors = roma.rotmat_to_rotvec(rotations[:, :, _HINGES])
    made[:, :, _HINGES] = roma.rotvec_to_rotmat(vectors * more)
    return made


def _tilts(angles: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, 3) turns about level axes, of normal angles with the given deviations (B,) radians."""
    count = len(angles)
    heading = 2 * torch.pi * torch.rand(count, generator=generator)
    angle = angles * torch.randn(count, generator=generator)
    axis = torch.stack([heading.cos(), heading.sin(), torch.zeros(count)], dim=-1)
    return roma.rotvec_to_rotmat(axis * angle[:, None])


def _joints(rotations: Tensor, betas: Tensor, body: BodyModel) -> Tensor:
    """(B, T, 24, 3) joints about the pelvis."""
    count, frames = rotations.shape[:2]
    joints, _ = body.joints(rotations.flatten(0, 1), betas.repeat_interleave(frames, 0))
    return (joints - joints[:, :1]).unflatten(0, (count, frames))


def _gaussian(frames: int, deviation: float) -> Tensor:
    """(T, T) weights of frames for each other."""
    apart = torch.arange(frames)[:, None] - torch.arange(frames)
    return torch.exp(-0.5 * (apart / deviation) ** 2)
