# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet that stand go on standing when a motion is smoothed.

Smoothing every joint for itself makes standing feet creep: what thigh and shin do between two steps leaks
into the step. Here the places where the balls of the feet stood before are found, and the legs are bent so
that they stand there again.
"""

from __future__ import annotations

import numpy as np

from .leg_pose import BALL, RestSkeleton, pose_legs, with_ankles_moved
from .smoothing import smooth_values

_STANDS = 0.25
"""A foot whose ball is slower than this stands; metres a second."""

_LOOK = 0.2
"""Speeds are told after smoothing of this strength at least, lest shaking is taken for steps; seconds."""

_SHORTEST = 0.1
"""Shorter stops are none; seconds."""

_DRIFT = 0.03
"""A foot that gets farther than this from its mean place slid before: it may go on sliding; metres."""

_NEAR = 0.015
"""Frames before and after belong to a plant too while the ball is this close to its mean place; metres."""

_FADE = 0.15
"""How long the legs take to get from as smoothed to as planted, and back; seconds."""


def keep_feet_planted(
    rest: RestSkeleton,
    turns: np.ndarray,
    pelvis: np.ndarray,
    smooth_turns: np.ndarray,
    smooth_pelvis: np.ndarray,
    seconds: float,
    fps: float,
) -> np.ndarray:
    """Bend a smoothed motion's legs so that feet stand where they stood before.

    A foot stands still for the whole of a plant, at the mean place of its ball. Feet that slid before
    (over 3 cm) slide as before, without the shaking. Between plants the legs fade to the smoothed motion and
    back within 0.15 s. Feet keep their smoothed direction. Where a leg is too short, it is stretched as far
    as it goes, and the foot moves after all.

    Args:
        rest: the skeleton.
        turns: (T, 24, 4) each joint's turn about its parent, as recovered.
        pelvis: (T, 3) likewise.
        smooth_turns: (T, 24, 4) the same, smoothed.
        smooth_pelvis: (T, 3) likewise.
        seconds: strength that it was smoothed with.
        fps: frames per second.

    Returns:
        (T, 24, 4) the smoothed turns with other legs.
    """
    balls = pose_legs(rest, turns, pelvis).points[:, :, BALL]
    smoothed = pose_legs(rest, smooth_turns, smooth_pelvis)
    look = max(_LOOK, seconds)
    shift = np.stack(
        [_shift(balls[:, side], smoothed.points[:, side, BALL], look, fps) for side in (0, 1)], axis=1
    )
    return with_ankles_moved(smooth_turns, smoothed, shift, smooth_turns[:, 0])


def standing(places: np.ndarray, look: float, fps: float) -> list[tuple[int, int]]:
    """When a point stands: first frame, and the frame after the last, of each time.

    Args:
        places: (T, 3), metres.
        look: strength of the smoothing under which speeds are told, seconds.
        fps: frames per second.
    """
    if len(places) < 2:
        return []
    speed = np.linalg.norm(np.gradient(smooth_values(places, look, fps), axis=0), axis=1) * fps
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speed < _STANDS, [False]])))
    slow = [(a, b) for a, b in edges.reshape(-1, 2).tolist() if b - a >= max(_SHORTEST * fps, 2)]
    plants: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(slow):
        earliest = plants[-1][1] if plants else 0
        latest = slow[number + 1][0] if number + 1 < len(slow) else len(places)
        # smoothing makes a foot seem to move already while it still stands
        near = np.linalg.norm(places[earliest:latest] - places[start:end].mean(axis=0), axis=1) < _NEAR
        away = earliest + np.flatnonzero(~near)
        start = max((*away[away < start] + 1, earliest))
        end = min((*away[away >= end], latest))
        plants.append((int(start), int(end)))
    return plants


def _shift(before: np.ndarray, now: np.ndarray, look: float, fps: float) -> np.ndarray:
    """By how much to move a foot at each frame (T, 3).

    Args:
        before: (T, 3) its ball before smoothing.
        now: (T, 3) its ball after smoothing.
        look: as in `standing`.
        fps: frames per second.
    """
    plants = standing(before, look, fps)
    shift = np.zeros_like(now)
    fade = max(round(_FADE * fps), 1)
    for start, end in plants:
        goal = np.broadcast_to(before[start:end].mean(axis=0), (end - start, 3))
        path = smooth_values(before[start:end], look, fps)
        if np.linalg.norm(path - goal, axis=1).max() > _DRIFT:
            goal = path
        shift[start:end] = goal - now[start:end]
    ends = [0, *(edge for plant in plants for edge in plant), len(now)]
    for start, end in zip(ends[::2], ends[1::2], strict=True):  # the gaps between the plants
        length = min(end - start, fade)
        share = np.arange(1, length + 1) / (length + 1)
        share = (share**2 * (3 - 2 * share))[:, None]
        if start > 0:
            shift[start : start + length] += (1 - share) * shift[start - 1]
        if end < len(now):
            shift[end - length : end] += share * shift[end]
    return shift
