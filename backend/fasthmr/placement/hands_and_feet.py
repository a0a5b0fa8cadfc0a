# SPDX-License-Identifier: Apache-2.0
"""Hands at rest and toes on the floor: what no landmark shows and what looks wrong when it is missing."""

from __future__ import annotations

from typing import Final

import numpy as np
import roma
import torch

from fasthmr.body.skeleton import INDEX

# Relaxed fingers are half bent. The fingers move as one, about the axis across the palm: at rest the palms
# face down and the left hand points along +x.
_RELAXED: Final = {"left_hand": (0.0, 0.0, -0.35), "right_hand": (0.0, 0.0, 0.35)}
# A hand that some estimator turned further than this has something to say.
_UNTOUCHED: Final = 0.1  # radians

# How far toes bend up (the heel is lifted) and down, radians.
_TOES_UP: Final = 1.0
_TOES_DOWN: Final = 0.25


def relax_hands(rotations: np.ndarray) -> np.ndarray:
    """Bend the fingers of hands that nobody has estimated.

    Args:
        rotations: (T, 24, 3, 3) local joint rotations.

    Returns:
        The same with the rotations of "left_hand" and "right_hand" set where they were at rest throughout.
        No joint moves.
    """
    result = rotations.copy()
    for name, relaxed in _RELAXED.items():
        hand = rotations[:, INDEX[name]]
        cosine = (np.trace(hand, axis1=1, axis2=2) - 1) / 2
        if np.median(np.arccos(cosine.clip(-1, 1))) < _UNTOUCHED:
            result[:, INDEX[name]] = roma.rotvec_to_rotmat(torch.tensor(relaxed, dtype=torch.float64)).numpy()
    return result


def flatten_toes(rotations: np.ndarray, turns: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Bend the toes of planted soles so that they lie on a level floor.

    Args:
        rotations: (T, 24, 3, 3) local joint rotations.
        turns: (T, 24, 3, 3) the joints' rotations in the world, z up.
        planted: (T, 2) in 0..1: how far the left and the right toes stand.

    Returns:
        Local rotations; only those of "left_foot" and "right_foot" differ, and no joint moves.
    """
    result = rotations.copy()
    for side, stands in (("left", planted[:, 0]), ("right", planted[:, 1])):
        toes = INDEX[f"{side}_foot"]
        ankle = turns[:, INDEX[f"{side}_ankle"]]
        upright, forward = ankle[:, 2, 1], ankle[:, 2, 2]  # heights of the foot's own y and z
        # About the foot's x: z ends level where -sin(angle) * upright + cos(angle) * forward = 0.
        angle = np.arctan2(forward, np.maximum(upright, 0.2)).clip(-_TOES_UP, _TOES_DOWN)
        flat = np.zeros((len(angle), 3))
        flat[:, 0] = angle
        share = stands * ((upright - 0.3) / 0.3).clip(0, 1)  # a foot on its side has no flat toes
        before = torch.from_numpy(np.ascontiguousarray(rotations[:, toes]))
        target = roma.rotvec_to_rotmat(torch.from_numpy(flat))
        way = roma.rotmat_to_rotvec(before.mT @ target) * torch.from_numpy(share)[:, None]
        result[:, toes] = (before @ roma.rotvec_to_rotmat(way)).numpy()
    return result
