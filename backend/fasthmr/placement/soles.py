# SPDX-License-Identifier: Apache-2.0
"""Points under the feet: what stands on a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX

# The four points of a motion file's contacts, in its order.
SOLE_POINTS: Final = ("left heel", "left toe", "right heel", "right toe")

# Skin within this height of the lowest point of a foot at rest belongs to its sole, metres.
_SOLE_THICKNESS: Final = 0.012


@dataclass(frozen=True)
class Soles:
    """Four sole points that move rigidly with the feet.

    Attributes:
        joints: (4,) the joint that carries each: an ankle (heel) or a foot (toe).
        offsets: (4, 3) metres from the joint in the rest pose.
    """

    joints: Tensor
    offsets: Tensor

    def place(self, joints: Tensor, rotations: Tensor) -> Tensor:
        """Sole points of a posed body.

        Args:
            joints: (T, 24, 3) metres.
            rotations: (T, 24, 3, 3) of the joints, in the same frame.

        Returns:
            (T, 4, 3) metres, in the order of :data:`SOLE_POINTS`.
        """
        return joints[:, self.joints] + (rotations[:, self.joints] @ self.offsets[:, :, None])[..., 0]


def find_soles(body: BodyModel, betas: Tensor) -> Soles:
    """The sole points of a body of a given shape.

    A heel is the middle of the rear third of the sole's skin, a toe that of the front third.

    Args:
        body: any SMPL-layout body, standing in its rest pose on the soles, y up, facing +z.
        betas: (10,) body shape.
    """
    rest = body.v_template + body.shapedirs @ betas
    rest_joints = body.rest_joints(betas)
    carried_by = body.weights.argmax(1)
    joints, offsets = [], []
    for side in ("left", "right"):
        foot = (carried_by == INDEX[f"{side}_ankle"]) | (carried_by == INDEX[f"{side}_foot"])
        skin = rest[foot]
        sole = skin[skin[:, 1] < skin[:, 1].min() + _SOLE_THICKNESS]
        back, front = sole[:, 2].min(), sole[:, 2].max()
        third = (front - back) / 3
        for joint, part in (
            (INDEX[f"{side}_ankle"], sole[sole[:, 2] <= back + third]),
            (INDEX[f"{side}_foot"], sole[sole[:, 2] >= front - third]),
        ):
            joints.append(joint)
            offsets.append(part.mean(0) - rest_joints[joint])
    return Soles(torch.tensor(joints), torch.stack(offsets))
