# SPDX-License-Identifier: Apache-2.0
"""BlazePose's 33 landmarks: their order, names, mirror pairs and limbs.

Left and right are the figure's own. Source: Bazarevsky et al., "BlazePose: On-device Real-time Body
Pose Tracking" (2020), and the pose landmarker's model card.
"""

from __future__ import annotations

from typing import Final

LANDMARK_NAMES: Final = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)

LANDMARK_COUNT: Final = len(LANDMARK_NAMES)
LANDMARK_INDEX: Final = {name: index for index, name in enumerate(LANDMARK_NAMES)}


def _mirrored(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


LANDMARK_MIRROR: Final = tuple(LANDMARK_INDEX[_mirrored(name)] for name in LANDMARK_NAMES)

# Pairs of landmarks that a bone joins: for drawings and for limb lengths.
LANDMARK_LIMBS: Final = tuple(
    (LANDMARK_INDEX[a], LANDMARK_INDEX[b])
    for a, b in (
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
        *(
            (f"{side}_{a}", f"{side}_{b}")
            for side in ("left", "right")
            for a, b in (
                ("shoulder", "hip"),
                ("shoulder", "elbow"),
                ("elbow", "wrist"),
                ("wrist", "index"),
                ("hip", "knee"),
                ("knee", "ankle"),
                ("ankle", "heel"),
                ("heel", "foot_index"),
            )
        ),
    )
)
