# SPDX-License-Identifier: Apache-2.0
"""How much a detection looks like a person: for telling people from table legs and tree trunks.

A landmark network draws a figure into whatever it is shown, and is often sure of it. What it draws into
things gives itself away: bones of unlike length left and right, no shoulders, limbs outside of the mask.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fasthmr.people.landmarks import LANDMARK_INDEX

# The landmarks of the limbs: those of face, hands and feet lie too close together to tell much.
LIMB_LANDMARKS: Final = np.array(
    [
        LANDMARK_INDEX[f"{side}_{name}"]
        for side in ("left", "right")
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    ]
)

# Bones between two landmarks: their length in metres and how far it may be off, from 366 detections of
# adults in real footage (5 % to 95 %), widened by half for children and odd views.
_BONES: Final = (
    ("left_shoulder", "right_shoulder", 0.32, 0.07),
    ("left_hip", "right_hip", 0.20, 0.07),
    ("left_hip", "left_knee", 0.37, 0.09),
    ("right_hip", "right_knee", 0.37, 0.09),
    ("left_knee", "left_ankle", 0.36, 0.09),
    ("right_knee", "right_ankle", 0.36, 0.09),
    ("left_shoulder", "left_hip", 0.48, 0.10),
    ("right_shoulder", "right_hip", 0.48, 0.10),
)
_FROM: Final = np.array([LANDMARK_INDEX[bone[0]] for bone in _BONES])
_TO: Final = np.array([LANDMARK_INDEX[bone[1]] for bone in _BONES])
_LENGTH: Final = np.array([bone[2] for bone in _BONES])
_TOLERANCE: Final = np.array([bone[3] for bone in _BONES])
_TWINS: Final = ((2, 3), (4, 5), (6, 7))
_TWIN_TOLERANCE: Final = 0.09


def plausible_proportions(landmarks_world: np.ndarray) -> np.ndarray:
    """0..1, whether the bones have the lengths of a person's.

    Args:
        landmarks_world: (..., 33, 3) metres.

    Returns:
        (...), the mean over bones and over left-right pairs of exp(-error² / 2 tolerance²).
    """
    length = np.linalg.norm(landmarks_world[..., _FROM, :] - landmarks_world[..., _TO, :], axis=-1)
    errors = [(length[..., i] - _LENGTH[i]) / _TOLERANCE[i] for i in range(len(_BONES))]
    errors += [(length[..., a] - length[..., b]) / _TWIN_TOLERANCE for a, b in _TWINS]
    return np.exp(-0.5 * np.stack(errors, -1) ** 2).mean(-1)


def plausibility(score: float, visibility: np.ndarray, landmarks_world: np.ndarray) -> float:
    """0..1, how much a detection looks like a person.

    Args:
        score: 0..1, the detector's own.
        visibility: (33,) 0..1.
        landmarks_world: (33, 3) metres.
    """
    seen = float(np.sqrt(visibility[LIMB_LANDMARKS].mean()))
    return score * seen * float(plausible_proportions(landmarks_world))
