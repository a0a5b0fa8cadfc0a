# SPDX-License-Identifier: Apache-2.0
"""Who is in the footage: detection, tracking, landmarks, masks."""

from fasthmr.people.blazepose import BlazePoseDetector
from fasthmr.people.detection import Detection, PersonDetector
from fasthmr.people.find import find_people
from fasthmr.people.landmarks import (
    LANDMARK_COUNT,
    LANDMARK_INDEX,
    LANDMARK_LIMBS,
    LANDMARK_MIRROR,
    LANDMARK_NAMES,
)
from fasthmr.people.masks import PackedMask
from fasthmr.people.values import People, Track

__all__ = [
    "LANDMARK_COUNT",
    "LANDMARK_INDEX",
    "LANDMARK_LIMBS",
    "LANDMARK_MIRROR",
    "LANDMARK_NAMES",
    "BlazePoseDetector",
    "Detection",
    "PackedMask",
    "People",
    "PersonDetector",
    "Track",
    "find_people",
]
