# SPDX-License-Identifier: Apache-2.0
"""The detector's landmarks as our own network reads them: six numbers each.

Where a landmark lies in the crop, how well it was seen, and where the detector puts it in metres about the
hips. The detector saw a crop as well, so that these are in the axes of a camera that looks straight at the
person: those that the network answers in.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fasthmr.people.landmarks import LANDMARK_INDEX

#: Which of the 33 are read; the others of the face and the thumbs say nothing more of a body.
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

# Farther outside of the crop than this, in halves of its side, a landmark is a guess.
_FARTHEST: Final = 2.0
_LARGEST: Final = 3.0  # metres from the hips
_WORLD_SCALE: Final = 2.0  # landmarks are about half a metre from the hips


def landmark_numbers(image: Tensor, world: Tensor, visibility: Tensor, squares: Tensor) -> Tensor:
    """What the network reads of landmarks.

    Args:
        image: (B, 33, 2) pixels of the footage.
        world: (B, 33, 3) metres about the hips, as the detector gives them.
        visibility: (B, 33), 0..1.
        squares: (B, 3) centre x, y and side of the squares that the crops were cut from, pixels.

    Returns:
        (B, 25, 6) float32: x and y (0 in the middle of the crop, 1 at half its side), visibility, and x, y, z
        in half metres. All zeros where a landmark's visibility is 0.
    """
    read = list(READ)
    image, world, visibility = image[:, read], world[:, read], visibility[:, read, None]
    places = (image - squares[:, None, :2]) * (2 / squares[:, None, 2:])
    numbers = torch.cat(
        (
            places.clamp(-_FARTHEST, _FARTHEST),
            visibility,
            _WORLD_SCALE * world.clamp(-_LARGEST, _LARGEST),
        ),
        dim=-1,
    )
    return (numbers * (visibility > 0)).float()
