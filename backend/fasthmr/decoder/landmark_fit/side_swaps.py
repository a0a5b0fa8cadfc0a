# SPDX-License-Identifier: Apache-2.0
"""Undo stretches in which a detector took the left limbs for the right ones.

Seen from behind or from the side, landmark detectors exchange left and right for a while. Where that
starts and ends, every limb of a pair jumps across the body within one frame. Choosing for each frame
"as given" or "exchanged" such that limbs move as little as possible is a shortest path through two
states a frame (Viterbi). Arms and legs are exchanged independently, since detectors do so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fasthmr.evidence import Evidence
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR

_LIMBS: Final = {
    "arms": ("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
    "legs": ("hip", "knee", "ankle", "heel", "foot_index"),
}

# What an exchange must save, in metres of mean limb motion: changing over, and each exchanged frame.
# Without the second, a clip that starts exchanged and one that ends so would look alike.
_CHANGE_COST: Final = 0.10
_EXCHANGED_COST: Final = 0.002


def without_side_swaps(evidence: Evidence) -> Evidence:
    """Give every limb its own side again.

    Args:
        evidence: landmarks of one person.

    Returns:
        The evidence with left and right exchanged in the frames where that makes limbs move less.
    """
    seen = np.flatnonzero(evidence.seen)
    if len(seen) < 2:
        return evidence
    image = evidence.landmarks_image.copy()
    world = evidence.landmarks_world.copy()
    visibility = evidence.visibility.copy()
    for parts in _LIMBS.values():
        left = np.array([LANDMARK_INDEX[f"left_{part}"] for part in parts])
        right = np.array([LANDMARK_MIRROR[index] for index in left])
        exchanged = np.zeros(evidence.frame_count, bool)
        exchanged[seen] = exchanged_frames(world[seen][:, left], world[seen][:, right])
        for array in (image, world, visibility):
            rows = np.flatnonzero(exchanged)[:, None]
            array[rows, left], array[rows, right] = array[rows, right], array[rows, left]
    return replace(evidence, landmarks_image=image, landmarks_world=world, visibility=visibility)


def exchanged_frames(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Find the frames whose left and right are exchanged.

    Args:
        left: (T, P, 3) metres, landmarks named left.
        right: (T, P, 3) their counterparts.

    Returns:
        (T,) bool. The state in which most frames are as given wins a tie.
    """
    count = len(left)
    pair = np.stack([np.stack([left, right], 1), np.stack([right, left], 1)])  # state, T, side, P, 3
    # motion[t, a, b]: mean motion from frame t in state a to frame t+1 in state b
    motion = np.stack(
        [
            np.stack([_mean_motion(pair[a][:-1], pair[b][1:]) + _CHANGE_COST * (a != b) for b in (0, 1)], -1)
            for a in (0, 1)
        ],
        axis=-2,
    )
    own = np.array([0.0, _EXCHANGED_COST])
    best = own.copy()
    came_from = np.zeros((count, 2), int)
    for frame in range(1, count):
        through = best[:, None] + motion[frame - 1]
        came_from[frame] = through.argmin(0)
        best = through.min(0) + own
    states = np.zeros(count, int)
    states[-1] = best.argmin()
    for frame in range(count - 1, 0, -1):
        states[frame - 1] = came_from[frame, states[frame]]
    return states.astype(bool)


def _mean_motion(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean distance (T-1,) that the landmarks (T-1, 2, P, 3) move."""
    return np.linalg.norm(after - before, axis=-1).mean(axis=(1, 2))
