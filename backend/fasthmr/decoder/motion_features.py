# SPDX-License-Identifier: Apache-2.0
"""Motion as the numbers that the decoder's networks make: F = 154 a frame, all in the view frame.

    0-143    orientations of the 24 segments, two columns each
    144-146  speed of the pelvis, m/s (to the next frame)
    147-149  up: the direction against gravity
    150-153  contacts of the soles, -1 (in the air) to 1 (on the floor)

The pelvis's place is not among them: it follows from the image, the body's size and this speed
(:mod:`fasthmr.decoder.root_path`). Body shape is one for a person and told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.segments import matrix_from_rot6d, rot6d_from_matrix, segments_from_local
from fasthmr.decoder.view_frame import box_rays, camera_from_view

ROTATIONS: Final = slice(0, 6 * JOINT_COUNT)
SPEED: Final = slice(144, 147)
UP: Final = slice(147, 150)
CONTACTS: Final = slice(150, 154)
FEATURE_COUNT: Final = 154

# Binomial weights; a standard deviation of one frame.
_BLUR: Final = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


@dataclass(frozen=True)
class ViewMotion:
    """Motion in the view frame, read from the numbers.

    Attributes:
        segments: (..., 24, 3, 3) orientations of the segments.
        speed: (..., 3) of the pelvis, m/s.
        up: (..., 3) unit, against gravity.
        contacts: (..., 4) in 0..1.
    """

    segments: Tensor
    speed: Tensor
    up: Tensor
    contacts: Tensor


def motion_features(motion: MotionBatch, evidence: EvidenceBatch) -> Tensor:
    """A motion as numbers, seen through the boxes of its evidence.

    Args:
        motion: B windows of T frames.
        evidence: of the same windows; only boxes, intrinsics and time are read.

    Returns:
        (B, T, :data:`FEATURE_COUNT`).
    """
    middle, _ = box_rays(evidence.boxes, evidence.intrinsics)
    view = camera_from_view(middle).mT
    root = (view @ motion.rotations[..., 0, :, :])[..., None, :, :]
    segments = segments_from_local(torch.cat([root, motion.rotations[..., 1:, :, :]], dim=2))
    steps = motion.pelvis.diff(dim=1) / evidence.step[:, None, None]
    speed = torch.cat([steps, steps[:, -1:]], dim=1) if steps.shape[1] else torch.zeros_like(motion.pelvis)
    return torch.cat(
        [
            rot6d_from_matrix(segments).flatten(2),
            (view @ speed[..., None])[..., 0],
            (view @ motion.up[..., None])[..., 0],
            2 * motion.contacts - 1,
        ],
        dim=-1,
    )


def blurred(features: Tensor) -> Tensor:
    """Motion features (B, T, F) blurred over neighbouring frames, the last step of whatever makes them.

    Networks make some frames from one token, the next from the next; where two tokens meet, and between the
    numbers of one, they leave a tremble that no loss takes away. The blur does, at no cost: networks that are
    trained through it make fast motion larger beforehand.
    """
    reach = len(_BLUR) // 2
    padded = torch.nn.functional.pad(features.mT, (reach, reach), mode="replicate").mT
    count = features.shape[1]
    parts = [weight * padded[:, shift : shift + count] for shift, weight in enumerate(_BLUR)]
    return torch.stack(parts).sum(0)


def read_features(features: Tensor) -> ViewMotion:
    """The motion that numbers (..., 154) say."""
    return ViewMotion(
        segments=matrix_from_rot6d(features[..., ROTATIONS].unflatten(-1, (JOINT_COUNT, 6))),
        speed=features[..., SPEED],
        up=torch.nn.functional.normalize(features[..., UP], dim=-1, eps=1e-6),
        contacts=(0.5 + 0.5 * features[..., CONTACTS]).clamp(0, 1),
    )
