# SPDX-License-Identifier: Apache-2.0
"""Legs that reach for a place: two bones, in closed form.

The ankle is moved, the knee bends as far as that needs in the plane it bends in already, the foot keeps its
orientation. What holds two planted feet at once, which no translation of the whole body can.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fasthmr.body.skeleton import INDEX

# A leg that lacks less than this of its full length, as a share, hardly gets longer or shorter any more: a
# straight knee would have to bend far for the last millimetres, and jump.
_STRAIGHT: Final = 0.004


def move_ankles(
    rotations: np.ndarray, joints: np.ndarray, turns: np.ndarray, moves: np.ndarray
) -> np.ndarray:
    """Turn hips, knees and ankles so that the ankles move.

    Args:
        rotations: (T, 24, 3, 3) local joint rotations, the root's in the world.
        joints: (T, 24, 3) metres in the world.
        turns: (T, 24, 3, 3) the joints' rotations in the world.
        moves: (T, 2, 3) metres, where the left and the right ankle go from where they are; a place that
            the leg does not reach is met in its direction.

    Returns:
        (T, 24, 3, 3) local rotations; those of other joints are as they were.
    """
    result = rotations.copy()
    for side, move in (("left", moves[:, 0]), ("right", moves[:, 1])):
        hip, knee, ankle = (INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        thigh, shin = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        new_thigh, new_shin = _two_bones(thigh, shin, move, turns[:, hip, :, 2])
        hip_turn = _shortest_turn(thigh, new_thigh) @ turns[:, hip]
        knee_turn = _shortest_turn(shin, new_shin) @ turns[:, knee]
        result[:, hip] = turns[:, 0].swapaxes(1, 2) @ hip_turn
        result[:, knee] = hip_turn.swapaxes(1, 2) @ knee_turn
        result[:, ankle] = knee_turn.swapaxes(1, 2) @ turns[:, ankle]
    return result


def _two_bones(
    thigh: np.ndarray, shin: np.ndarray, move: np.ndarray, forward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """New thigh and shin (T, 3) of the same lengths whose sum is the old one plus ``move``.

    Args:
        thigh: (T, 3) from hip to knee.
        shin: (T, 3) from knee to ankle.
        move: (T, 3) of the ankle.
        forward: (T, 3) where the knee points when the leg is straight.
    """
    upper, lower = np.linalg.norm(thigh, axis=1), np.linalg.norm(shin, axis=1)
    old, new = thigh + shin, thigh + shin + move
    reach = _reach(np.linalg.norm(old, axis=1), np.linalg.norm(new, axis=1), upper + lower)
    reach = np.maximum(reach, 1.02 * np.abs(upper - lower) + 1e-3)
    along = _unit(new)
    # The knee leaves the line from hip to ankle on the side on which it did.
    bend = np.einsum("tij,tj->ti", _shortest_turn(old, new), thigh + 1e-3 * forward)
    bend = _unit(bend - (bend * along).sum(1, keepdims=True) * along)
    distance = (upper**2 - lower**2 + reach**2) / (2 * reach)
    off_line = np.sqrt(np.maximum(upper**2 - distance**2, 0))
    new_thigh = distance[:, None] * along + off_line[:, None] * bend
    return new_thigh, reach[:, None] * along - new_thigh


def _reach(old: np.ndarray, wanted: np.ndarray, full: np.ndarray) -> np.ndarray:
    """How far from the hip the ankle comes (T,), metres: short of a straight leg, and smoothly."""
    gap = np.maximum(full - old, 1e-6)
    room = gap + np.maximum(old - wanted, 0)
    longer = (wanted - old) * room**2 / (room**2 + np.square(_STRAIGHT * full))
    return full - np.where(longer > 0, gap * np.exp(-np.maximum(longer, 0) / gap), gap - longer)


def _shortest_turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) that turn one direction into another; the two are never opposite here."""
    a, b = _unit(before), _unit(after)
    axis = np.cross(a, b)
    cosine = (a * b).sum(1)
    zero = np.zeros(len(a))
    x, y, z = axis.T
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.eye(3) + skew + skew @ skew / (1 + cosine)[:, None, None]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
