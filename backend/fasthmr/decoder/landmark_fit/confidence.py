# SPDX-License-Identifier: Apache-2.0
"""How sure each joint is: whether its landmarks were seen, and whether the body agrees with them."""

from __future__ import annotations

from typing import Final

import numpy as np

from fasthmr.body.skeleton import JOINT_NAMES
from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel
from fasthmr.people.landmarks import LANDMARK_INDEX

# Joint -> the landmarks that speak for it.
_HIPS: Final = ("left_hip", "right_hip")
_SHOULDERS: Final = ("left_shoulder", "right_shoulder")
_FACE: Final = ("nose", "left_ear", "right_ear")
_SIDED: Final = {
    "hip": ("hip",),
    "knee": ("knee",),
    "ankle": ("ankle",),
    "foot": ("foot_index", "heel"),
    "collar": ("shoulder",),
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "wrist": ("wrist",),
    "hand": ("wrist", "index", "pinky"),
}
_MIDDLE: Final = {
    "pelvis": _HIPS,
    "spine1": _HIPS + _SHOULDERS,
    "spine2": _HIPS + _SHOULDERS,
    "spine3": _SHOULDERS,
    "neck": _SHOULDERS,
    "head": _FACE,
}

# Metres in the image at which the body disagrees with a landmark so far that belief is 1/e.
_DISAGREEMENT: Final = 0.10


def joint_confidence(visibility: np.ndarray, errors: np.ndarray, marks: LandmarkModel) -> np.ndarray:
    """Turn the belief in landmarks into belief in joints.

    Args:
        visibility: (T, 33) of the detector, 0 in gaps.
        errors: (T, K) metres between the fitted body's landmarks and the detector's, in the image.
        marks: which landmarks the K are.

    Returns:
        (T, 24) float32 in 0..1.
    """
    belief = visibility.astype(np.float64).copy()
    belief[:, marks.indices.numpy()] *= np.exp(-np.square(errors / _DISAGREEMENT))
    columns = [
        belief[:, [LANDMARK_INDEX[name] for name in _speakers(joint)]].mean(1) for joint in JOINT_NAMES
    ]
    return np.stack(columns, axis=1).clip(0, 1).astype(np.float32)


def _speakers(joint: str) -> tuple[str, ...]:
    if joint in _MIDDLE:
        return _MIDDLE[joint]
    side, part = joint.split("_", 1)
    return tuple(f"{side}_{landmark}" for landmark in _SIDED[part])
