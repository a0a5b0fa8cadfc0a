# SPDX-License-Identifier: Apache-2.0
"""What our encoder is trained towards: rotations, joints in space and in the crop, shape, and scale."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

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
#: Of the error of landmarks that their tokens correct.
CORRECTION: Final = 4.0
PLACE_NUMBERS: Final = 5
_FARTHEST: Final = 1.0
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


class LandmarkCorrection(nn.Module):
    """Reads from landmarks' tokens where the landmarks really are; for training only.

    One query that answers for the whole body teaches the tokens slowly. What a landmark's token knows can be
    asked of each: the transformer learns sooner to look at the image where the detector may be wrong.

    Args:
        dim: width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.read = nn.Linear(dim, PLACE_NUMBERS)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, tokens: Tensor, batch: EncoderBatch) -> Tensor:
        """The loss, a scalar.

        Args:
            tokens: (B, L, dim) of the landmarks, after the last layer.
            batch: the truth.
        """
        told = batch.landmarks[..., [0, 1, 3, 4, 5]]
        return (told + self.read(tokens) - batch.marks).abs().clamp_max(_FARTHEST).mean()


def _about_pelvis(body: BodyModel, rotations: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    joints, turns = body.joints(rotations, betas)
    return joints - joints[:, :1], turns


def _projected(joints: Tensor, place: Tensor, scale: Tensor) -> Tensor:
    """Joints about the pelvis at a place, in halves of the crop's side from its middle: (B, 24, 2)."""
    points = joints + place[:, None]
    return points[..., :2] * (scale[:, None] / points[..., 2].clamp_min(_NEAREST))[..., None]
