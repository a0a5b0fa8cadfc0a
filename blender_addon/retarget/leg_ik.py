# SPDX-License-Identifier: GPL-3.0-or-later
"""Legs of two bones that bend such that the ankle gets to a goal, in the world, for all frames at once.

The leg swings about the hip towards the goal by the shortest way and bends or stretches in its own plane;
thigh and shin roll no more than that needs. A leg that is straight has no plane of its own: it bends about
its knee's hinge.
"""

from __future__ import annotations

import numpy as np

from ..leg_pose import turned
from ..rotations import quat_inverse, quat_multiply

LONGEST = 0.9995
"""A leg is stretched to this share of its length at most: the last bit would take the knee far around."""

_STRAIGHT = 0.05
"""A knee off the line from hip to ankle by much less than this share of the leg tells its plane badly."""

_TINY = 1e-9


def knee_hinge(
    hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, thigh: np.ndarray, forward: np.ndarray
) -> np.ndarray:
    """Axis (2, 3) that each knee bends about, in the thigh's axes at rest, as the whole motion tells it.

    Args:
        hip: (T, 2, 3) places.
        knee: (T, 2, 3).
        ankle: (T, 2, 3).
        thigh: (T, 2, 4) turns.
        forward: (2, 3) where the feet point at rest, level: it decides where knees are never bent.
    """
    bend = np.cross(_unit(knee - hip), _unit(ankle - knee))
    told = turned(quat_inverse(thigh), bend).mean(axis=0)
    return _unit(told + 0.02 * _unit(np.cross(forward, [0.0, 0.0, -1.0])))


def bent_to(
    hip: np.ndarray,
    knee: np.ndarray,
    ankle: np.ndarray,
    thigh: np.ndarray,
    shin: np.ndarray,
    goal: np.ndarray,
    hinge: np.ndarray,
    longest: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bend legs such that their ankles get to goals.

    Where a goal is out of reach the leg is stretched towards it; bones keep their lengths.

    Args:
        hip: (..., 3) places as they are.
        knee: (..., 3).
        ankle: (..., 3).
        thigh: (..., 4) turns as they are.
        shin: (..., 4).
        goal: (..., 3) for the ankles.
        hinge: (..., 3) axes of the knees in the thighs' axes at rest, see `knee_hinge`.
        longest: (...) distance from hip to ankle that is allowed beyond `LONGEST` of the leg's length.

    Returns:
        turns of thighs and shins (..., 4), places of knees and ankles (..., 3).
    """
    upper, lower = _length(knee - hip), _length(ankle - knee)
    thigh_now, shin_now = _unit(knee - hip), _unit(ankle - knee)
    along_now = _unit(ankle - hip, thigh_now)
    along = _unit(goal - hip, along_now)
    allowed = np.maximum(LONGEST * (upper + lower), np.asarray(longest)[..., None])
    far = np.clip(_length(goal - hip), np.abs(upper - lower) + 1e-3 * (upper + lower), allowed)
    far = np.minimum(far, upper + lower)

    swing = arc(along_now, along)
    off = (knee - hip) - _dot(knee - hip, along_now) * along_now  # the knee's way off the line hip to ankle
    off_now = _length(off)
    foot_of_knee = (upper**2 - lower**2 + far**2) / (2 * far)
    off_then = np.sqrt(np.maximum(upper**2 - foot_of_knee**2, 0))
    off = turned(swing, off)

    axis = turned(swing, turned(thigh, hinge))
    hinge_off = _unit(np.cross(along, axis), _any_across(along))
    unsure = np.exp(-((off_now / (_STRAIGHT * (upper + lower))) ** 2))
    towards = off + np.maximum(off_then - off_now, 0) * unsure * hinge_off
    towards = towards - _dot(towards, along) * along
    towards = _unit(towards, hinge_off)

    new_knee = hip + foot_of_knee * along + off_then * towards
    new_ankle = hip + far * along
    new_thigh = _follow(thigh, swing, thigh_now, _unit(new_knee - hip))
    new_shin = _follow(shin, swing, shin_now, _unit(new_ankle - new_knee))
    return new_thigh, new_shin, new_knee, new_ankle


def arc(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest turn (..., 4) that takes one unit vector (..., 3) to another."""
    cosine = _dot(start, end)
    turn = np.concatenate([1 + cosine, np.cross(start, end)], axis=-1)
    opposite = np.concatenate([np.zeros_like(cosine), _any_across(start)], axis=-1)
    turn = np.where(cosine < -1 + 1e-12, opposite, turn)
    return turn / np.linalg.norm(turn, axis=-1, keepdims=True)


def _follow(turn: np.ndarray, swing: np.ndarray, now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """A bone's turn after the leg's swing and the shortest way from there to where it points then."""
    return quat_multiply(arc(turned(swing, now), then), quat_multiply(swing, turn))


def _any_across(vector: np.ndarray) -> np.ndarray:
    """A unit vector at right angles to each unit vector (..., 3)."""
    axis = np.where(np.abs(vector[..., :1]) < 0.6, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    across = np.cross(vector, axis)
    return across / _length(across)


def _unit(vector: np.ndarray, otherwise: np.ndarray | None = None) -> np.ndarray:
    """Vectors (..., 3) at length 1; `otherwise` (zero without it) where they have none."""
    length = _length(vector)
    none = length < _TINY
    unit = vector / np.where(none, 1, length)
    return np.where(none, 0.0 if otherwise is None else otherwise, unit)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sum(one * other, axis=-1, keepdims=True)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)
