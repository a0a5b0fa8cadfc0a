# SPDX-License-Identifier: Apache-2.0
"""What the motion decoder reads of each frame: evidence as numbers of about unit size.

Channels can be left out (in training at random, in ablations on purpose): a channel that is missing is zero,
and a flag says so. So one decoder serves landmarks alone, landmarks with an encoder, and gaps.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import torch
from torch import Tensor

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.decoder.batches import EvidenceBatch
from fasthmr.decoder.segments import rot6d_from_matrix, segments_from_local
from fasthmr.decoder.view_frame import box_rays, camera_from_view, pixels_in_box
from fasthmr.people.landmarks import LANDMARK_INDEX

#: Landmarks that are read; the others of the face and the thumbs say nothing more of a body.
READ: Final = tuple(
    LANDMARK_INDEX[name]
    for name in (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_pinky", "right_pinky", "left_index", "right_index",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
        "left_heel", "right_heel", "left_foot_index", "right_foot_index",
    )
)  # fmt: skip

#: Channels of evidence that can be left out.
CHANNELS: Final = ("image", "world", "visibility", "box", "encoder")

_USUAL_ANGLE: Final = 0.2  # half the size of a figure 4.5 m away, at depth 1
_WORLD_SCALE: Final = 2.0  # landmarks are about half a metre from the hips
_USUAL_STEP: Final = 1 / 30  # seconds

_COUNT: Final = len(READ)
#: Numbers a frame: flags of the frame and its encoder, time step, box (3), landmarks, rotations with belief.
FEATURE_COUNT: Final = 2 + 1 + 3 + 6 * _COUNT + 7 * JOINT_COUNT


def evidence_features(evidence: EvidenceBatch, without: Collection[str] = ()) -> Tensor:
    """Evidence as the decoder's networks read it.

    Args:
        evidence: B windows of T frames.
        without: channels of :data:`CHANNELS` to leave out. Without "visibility" every landmark of a seen
            frame counts as seen.

    Returns:
        (B, T, :data:`FEATURE_COUNT`) float32; frames in which nothing was seen hold flags and time alone.

    Raises:
        ValueError: there is no such channel.
    """
    if unknown := set(without) - set(CHANNELS):
        raise ValueError(f"no channels of evidence: {', '.join(sorted(unknown))}")
    visibility = evidence.visibility[..., list(READ)]
    seen = (evidence.visibility.amax(-1, keepdim=True) > 0).to(visibility)
    middle, angle = box_rays(evidence.boxes, evidence.intrinsics)
    step = (evidence.step / _USUAL_STEP).log()[:, None, None].expand_as(seen)
    box = torch.cat([middle, (angle / _USUAL_ANGLE).log()[..., None]], dim=-1)
    image = pixels_in_box(evidence.landmarks_image[..., list(READ), :2], evidence.boxes).clamp(-3, 3)
    world = _WORLD_SCALE * evidence.landmarks_world[..., list(READ), :]
    if "visibility" in without:
        visibility = seen.expand_as(visibility)
    if "image" in without:
        image = torch.zeros_like(image)
    if "world" in without:
        world = torch.zeros_like(world)
    if "box" in without:
        box = torch.zeros_like(box)
    landmarks = torch.cat([image.flatten(2), world.flatten(2), 2 * visibility - seen], dim=-1)
    flag, encoder = _encoder_features(evidence, middle, "encoder" in without)
    return torch.cat([seen, step, flag, seen * box, seen * landmarks, encoder], dim=-1)


def _encoder_features(evidence: EvidenceBatch, middle: Tensor, left_out: bool) -> tuple[Tensor, Tensor]:
    """Whether an encoder spoke (B, T, 1), and its segments in the view frame with the belief in each."""
    rotations, belief = evidence.rotations, evidence.joint_confidence
    if left_out or rotations is None or belief is None:
        empty = middle.new_zeros(*middle.shape[:2], 7 * JOINT_COUNT)
        return empty[..., :1], empty
    view = camera_from_view(middle)
    turned = torch.cat(
        [(view.mT @ rotations[..., 0, :, :])[..., None, :, :], rotations[..., 1:, :, :]], dim=2
    )
    segments = rot6d_from_matrix(segments_from_local(turned))
    flag = (belief.amax(-1, keepdim=True) > 0).to(belief)
    return flag, flag * torch.cat([segments.flatten(2), belief], dim=-1)
