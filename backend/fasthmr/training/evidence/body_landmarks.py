# SPDX-License-Identifier: Apache-2.0
"""BlazePose's 33 landmarks on many bodies at once, each carried rigidly by a joint.

They are where the body has them; how far from there a detector sees them is a part of its errors.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.people.landmarks import LANDMARK_COUNT, LANDMARK_INDEX

# Landmarks that no point of the body is known for, and the one whose place they take.
_INSTEAD: Final = {
    "left_eye_inner": "left_eye",
    "left_eye_outer": "left_eye",
    "right_eye_inner": "right_eye",
    "right_eye_outer": "right_eye",
    "mouth_left": "nose",
    "mouth_right": "nose",
    "left_thumb": "left_index",
    "right_thumb": "right_index",
}


class BodyLandmarks:
    """Places of landmarks for given joints.

    Args:
        body: any SMPL-layout body.
    """

    def __init__(self, body: BodyModel) -> None:
        marks = landmark_model(body, as_detected=False)
        row_of = {int(index): row for row, index in enumerate(marks.indices)}
        names = {index: name for name, index in LANDMARK_INDEX.items()}
        rows = []
        for landmark in range(LANDMARK_COUNT):
            source = landmark if landmark in row_of else LANDMARK_INDEX[_INSTEAD[names[landmark]]]
            rows.append(row_of[source])
        self._joints = marks.joints[rows]
        self._offsets, self._grows = marks.offsets[rows], marks.shape_offsets[rows]

    def place(self, joints: Tensor, turns: Tensor, betas: Tensor) -> Tensor:
        """Landmarks of posed bodies.

        Args:
            joints: (B, T, 24, 3) metres.
            turns: (B, T, 24, 3, 3) rotations of the joints in the same frame.
            betas: (B, 10) body shapes.

        Returns:
            (B, T, 33, 3) metres, in the frame of the joints.
        """
        offsets = self._offsets + torch.einsum("kcs,bs->bkc", self._grows, betas)
        turned = (turns[:, :, self._joints] * offsets[:, None, :, None, :]).sum(-1)
        return joints[:, :, self._joints] + turned
