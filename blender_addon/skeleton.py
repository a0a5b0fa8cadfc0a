# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL's 24 joints: order, names, parents, and the child that each bone of the rig points at."""

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

PARENTS: Final = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip

JOINT_COUNT: Final = len(JOINT_NAMES)
INDEX: Final = {name: index for index, name in enumerate(JOINT_NAMES)}

# Where a joint has several children, its bone points at the one that goes on up the spine.
_SPINE: Final = {"pelvis": "spine1", "spine3": "neck"}


def _aims_at(joint: int) -> int | None:
    if JOINT_NAMES[joint] in _SPINE:
        return INDEX[_SPINE[JOINT_NAMES[joint]]]
    return PARENTS.index(joint) if joint in PARENTS else None


# The joint at the tail of each bone; None for the leaves (head, feet, hands).
AIMS_AT: Final = tuple(_aims_at(joint) for joint in range(JOINT_COUNT))
