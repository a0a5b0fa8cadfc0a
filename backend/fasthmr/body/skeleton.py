# SPDX-License-Identifier: Apache-2.0
"""SMPL's 24 joints: their order, names, parents and mirror pairs.

Body frame: metres, y up, z forward (the way the figure faces), x to the figure's left.
"""

from __future__ import annotations

from typing import Final

JOINT_NAMES: Final = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)

# A joint's parent comes before it, so one pass in order does forward kinematics.
PARENTS: Final = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip

JOINT_COUNT: Final = len(JOINT_NAMES)
INDEX: Final = {name: index for index, name in enumerate(JOINT_NAMES)}


def mirrored(name: str) -> str:
    """The joint on the other side; a joint of the middle is its own mirror image."""
    if name.startswith("left_"):
        return "right_" + name[5:]
    if name.startswith("right_"):
        return "left_" + name[6:]
    return name


MIRROR: Final = tuple(INDEX[mirrored(name)] for name in JOINT_NAMES)
