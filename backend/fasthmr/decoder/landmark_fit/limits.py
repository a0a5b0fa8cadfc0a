# SPDX-License-Identifier: Apache-2.0
"""How far joints turn, and how likely they are to.

Each joint's rotation from the rest pose (T-pose) is an axis-angle vector in its parent's axes: x to the
figure's left, y up, z forward. In these axes knees are hinges about x, elbows about y, and turning a
thigh or an upper arm about its own bone is a turn about y or x. Ranges are those of anatomy texts
(active range of motion, rounded outwards); the deviations are loose and only decide what the
evidence leaves open, above all twist about straight limbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.body.skeleton import INDEX, JOINT_COUNT

# joint: (low, high) in degrees about x, y, z; then the standard deviation about x, y, z.
# The left side stands for both: mirrored, turns about y and z change their sign.
_Range = tuple[float, float]
_TABLE: Final[dict[str, tuple[_Range, _Range, _Range, tuple[float, float, float]]]] = {
    "left_hip": ((-135, 40), (-50, 50), (-35, 70), (60, 18, 25)),
    "left_knee": ((-2, 155), (-8, 8), (-4, 4), (70, 4, 2)),
    "left_ankle": ((-35, 60), (-20, 20), (-25, 25), (25, 8, 10)),
    "left_foot": ((-50, 25), (-3, 3), (-3, 3), (12, 1, 1)),
    "spine1": ((-20, 40), (-20, 20), (-20, 20), (12, 8, 8)),
    "spine2": ((-15, 30), (-20, 20), (-15, 15), (8, 8, 6)),
    "spine3": ((-15, 30), (-20, 20), (-15, 15), (8, 8, 6)),
    "neck": ((-30, 35), (-45, 45), (-25, 25), (12, 20, 10)),
    "head": ((-30, 30), (-40, 40), (-20, 20), (12, 20, 10)),
    "left_collar": ((-10, 10), (-20, 15), (-12, 30), (4, 8, 8)),
    "left_shoulder": ((-100, 100), (-130, 70), (-110, 90), (35, 60, 60)),
    "left_elbow": ((-85, 85), (-155, 2), (-6, 6), (35, 70, 3)),
    "left_wrist": ((-10, 10), (-30, 35), (-75, 70), (4, 12, 20)),
    "left_hand": ((0, 0), (0, 0), (0, 0), (1, 1, 1)),
}


@dataclass(frozen=True)
class JointLimits:
    """Ranges and spreads of the 23 joints below the root, radians.

    Attributes:
        low: (23, 3) least axis-angle component.
        high: (23, 3) greatest.
        deviation: (23, 3) standard deviation around the rest pose.
    """

    low: Tensor
    high: Tensor
    deviation: Tensor

    def excess(self, rotvec: Tensor) -> Tensor:
        """How far (..., 23, 3) axis-angles lie beyond the range; 0 inside, same shape."""
        return (rotvec - self.high).clamp_min(0) + (self.low - rotvec).clamp_min(0)


def joint_limits() -> JointLimits:
    """The limits of all joints but the root, in SMPL's order."""
    low = torch.zeros(JOINT_COUNT, 3)
    high = torch.zeros(JOINT_COUNT, 3)
    deviation = torch.ones(JOINT_COUNT, 3)
    for name, (*ranges, spread) in _TABLE.items():
        bounds = torch.tensor(ranges)
        low[INDEX[name]], high[INDEX[name]] = bounds.T
        deviation[INDEX[name]] = torch.tensor(spread)
        if name.startswith("left_"):
            other = INDEX[name.replace("left_", "right_")]
            mirrored = bounds.clone()
            mirrored[1:] = -bounds[1:].flip(1)
            low[other], high[other] = mirrored.T
            deviation[other] = torch.tensor(spread)
    return JointLimits(*(torch.deg2rad(table[1:]) for table in (low, high, deviation)))
