# SPDX-License-Identifier: Apache-2.0
"""What our encoder is trained towards: rotations, joints in space and in the crop, shape, and scale."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.encoder.model import HMROutput
from fasthmr.training.single_frames import EncoderBatch

#: Weight of each part of the loss.
WEIGHTS: Final = {
    "rotations": 1.0,
    "turns": 0.5,
    "joints": 10.0,
    "places": 2.0,
    "scale": 0.5,
    "betas": 0.05,
}
# Nearer than this nobody stands, metres; where the network says so, the loss stays finite.
_NEAREST: Final = 0.3


def encoder_loss(output: HMROutput, batch: EncoderBatch, body: BodyModel) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch and its parts.

    The camera is the crop's: its scale s is the focal length over depth, twice a side of the crop, as HMR2.0
    has it (:mod:`fasthmr.encoder.crop_camera`); the body's origin is the pelvis. Joints are projected with
    the true focal length, so that perspective is no error.

    Args:
        output: of the network.
        batch: the truth.
        body: the open body.
    """
    made, made_turns = _about_pelvis(body, output.rotmat, output.betas)
    true, true_turns = _about_pelvis(body, batch.rotations, batch.betas)
    scale = output.camera[:, 0].clamp_min(1e-3)
    depth = (batch.scale / scale).clamp(_NEAREST, 200)
    place = torch.cat([output.camera[:, 1:], depth[:, None]], dim=1)
    seen = _projected(made, place, batch.scale)
    truly = _projected(true, batch.pelvis, batch.scale)
    true_scale = batch.scale / batch.pelvis[:, 2].clamp_min(_NEAREST)
    parts = {
        "rotations": (output.rotmat - batch.rotations).square().sum((-1, -2)).mean(),
        "turns": (made_turns - true_turns).square().sum((-1, -2)).mean(),
        "joints": (made - true).norm(dim=-1).mean(),
        "places": (seen - truly).abs().clamp_max(2).mean(),
        "scale": (scale.log() - true_scale.log()).abs().mean(),
        "betas": (output.betas - batch.betas).square().mean(),
    }
    return sum((WEIGHTS[name] * part for name, part in parts.items()), output.betas.new_zeros(())), parts


def _about_pelvis(body: BodyModel, rotations: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    joints, turns = body.joints(rotations, betas)
    return joints - joints[:, :1], turns


def _projected(joints: Tensor, place: Tensor, scale: Tensor) -> Tensor:
    """Joints about the pelvis at a place, in halves of the crop's side from its middle: (B, 24, 2)."""
    points = joints + place[:, None]
    return points[..., :2] * (scale[:, None] / points[..., 2].clamp_min(_NEAREST))[..., None]
