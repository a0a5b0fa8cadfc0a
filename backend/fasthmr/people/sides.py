# SPDX-License-Identifier: Apache-2.0
"""Undo short swaps of left and right along a track.

A detector sometimes takes a figure that faces the camera for one that faces away, for a few frames: all
left landmarks jump to the right side and back. Over the frames of a track the cheapest sequence of "as it
is" and "swapped" is found (Viterbi): jumps cost what the landmarks move, and each swapped second costs a
little. So only stretches are turned back whose ends show a jump, and no long stretch ever is: a figure
seen from behind that is labelled wrongly throughout stays as the detector said. Lower legs and lower arms
that are exchanged by themselves, in the picture only, are found in the same way.
"""

from __future__ import annotations

import numpy as np

from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.people.plausibility import LIMB_LANDMARKS

# What a second of swapping costs, in body heights that a landmark must jump on average.
_COST_PER_SECOND = 0.4
# Across longer gaps a body can turn: jumps prove nothing.
_LONGEST_STEP = 0.25

# The left lower limbs. Feet pass each other closely in every step: exchanging has a price of its own, in
# body heights, so that noise does not decide where both ways are as short.
_LOWER_LIMBS = tuple(
    tuple(LANDMARK_INDEX[f"left_{part}"] for part in parts)
    for parts in (("knee", "ankle", "heel", "foot_index"), ("elbow", "wrist", "pinky", "index", "thumb"))
)
_COST_OF_EXCHANGE = 0.05


def swapped_frames(
    landmarks_image: np.ndarray, landmarks_world: np.ndarray, heights: np.ndarray, timestamps: np.ndarray
) -> np.ndarray:
    """Frames in which left and right are probably swapped.

    Args:
        landmarks_image: (T, 33, 2 or more) pixels.
        landmarks_world: (T, 33, 3) metres.
        heights: (T,) the person's height in pixels, to make pixels comparable.
        timestamps: (T,) seconds.

    Returns:
        (T,) bool.
    """
    mirror = np.array(LANDMARK_MIRROR)
    pixels = landmarks_image[..., :2] / _size(heights)
    metres = landmarks_world / 1.7  # in body heights

    def step(turn: bool) -> np.ndarray:
        """(T-1,) how far the limbs move from frame to frame if just one of the two is swapped."""
        order = mirror[LIMB_LANDMARKS] if turn else LIMB_LANDMARKS
        return sum(
            np.linalg.norm(points[1:, LIMB_LANDMARKS] - points[:-1, order], axis=-1).mean(-1)
            for points in (pixels, metres)
        )  # pyright: ignore[reportReturnType]

    return _cheapest(step(False), step(True), timestamps)


def exchanged_limbs(
    landmarks_image: np.ndarray, heights: np.ndarray, timestamps: np.ndarray
) -> dict[tuple[int, ...], np.ndarray]:
    """Frames in which lower legs or lower arms are probably exchanged in the picture.

    Of a figure seen from its side, a detector sometimes puts the left shin where the right one is, while
    the hips and all depths stay right. So only the picture is asked, and only it is to be put right.

    Args:
        landmarks_image: (T, 33, 2 or more) pixels.
        heights: (T,) the person's height in pixels.
        timestamps: (T,) seconds.

    Returns:
        Landmarks of the left limb -> (T,) bool, for legs and for arms.
    """
    pixels = landmarks_image[..., :2] / _size(heights)
    found = {}
    for left in _LOWER_LIMBS:
        limb = [*left, *(LANDMARK_MIRROR[index] for index in left)]
        other = [LANDMARK_MIRROR[index] for index in limb]
        keep, turn = (
            np.linalg.norm(pixels[1:, limb] - pixels[:-1, order], axis=-1).mean(-1) for order in (limb, other)
        )
        found[left] = _cheapest(keep, turn + _COST_OF_EXCHANGE, timestamps)
    return found


def _size(heights: np.ndarray) -> float:
    """Pixels that make a body height."""
    return max(1e-6, float(np.median(heights)))


def _cheapest(keep: np.ndarray, turn: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """The cheapest sequence of "as it is" and "swapped".

    Args:
        keep: (T-1,) cost of a step between frames in the same state.
        turn: (T-1,) cost of a step between frames in different states.
        timestamps: (T,) seconds.

    Returns:
        (T,) bool, True where swapped.
    """
    count = len(timestamps)
    if count < 3:
        return np.zeros(count, bool)
    durations = np.diff(timestamps)
    unsure = durations > _LONGEST_STEP
    keep, turn = np.where(unsure, 0.0, keep), np.where(unsure, 0.0, turn)

    # best[s]: cost of the cheapest sequence so far that ends in state s (0 as it is, 1 swapped).
    best = np.array([0.0, 0.0])
    came_from = np.zeros((count, 2), int)
    for frame in range(1, count):
        costs = np.array([[keep[frame - 1], turn[frame - 1]], [turn[frame - 1], keep[frame - 1]]])
        total = best[:, None] + costs
        came_from[frame] = total.argmin(0)
        best = total.min(0)
        best[1] += _COST_PER_SECOND * min(float(durations[frame - 1]), _LONGEST_STEP)
    states = np.zeros(count, int)
    states[-1] = int(best.argmin())
    for frame in range(count - 1, 0, -1):
        states[frame - 1] = came_from[frame, states[frame]]
    return states.astype(bool)
