# SPDX-License-Identifier: GPL-3.0-or-later
"""When feet are on the floor, as their motion tells it.

The motion comes from video: a foot that stands creeps by some centimetres, shakes, floats above the floor or
is sunk in it. So heights count from where the foot itself has been lowest around that time, and speeds are
told after some smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..smoothing import smooth_values
from .easing import runs
from .legs import TIP


@dataclass(frozen=True)
class Contacts:
    """Which points of the soles are on the floor.

    Attributes:
        heel: (T, 2) left and right.
        ball: (T, 2) left and right: the ball of the foot with the toes.
    """

    heel: np.ndarray
    ball: np.ndarray


@dataclass(frozen=True)
class _Limits:
    """What counts as being on the floor: `low` and `slow` once, and `near` and `calm` all along.

    Attributes:
        low, near: heel and ball, metres above the foot's own floor.
        slow, calm: heel and ball, metres a second. A heel that goes up is let go early: holding it would pull
            the figure down. The ball of a runner's foot never comes to rest.
    """

    low: tuple[float, float]
    near: tuple[float, float]
    slow: tuple[float, float]
    calm: tuple[float, float]


_LIMITS = {
    "AUTOMATIC": _Limits(low=(0.04, 0.05), near=(0.06, 0.07), slow=(0.25, 0.3), calm=(0.3, 0.45)),
    "ALWAYS": _Limits(low=(0.04, 0.05), near=(0.06, 0.07), slow=(1.0, 1.0), calm=(1.0, 1.0)),
}

_LOOK = 0.16
"""Speeds and heights are told after smoothing of this strength; seconds."""

_AROUND = 1.0
"""A foot's floor is where it was lowest within this time before and after; seconds."""

_UNEVEN = 0.06
"""Two feet's floors differ by this much at most: what is higher is a foot held up; metres."""

_HIGHEST = 0.15
"""A foot that is higher than this above the clip's lowest stands on something else than the floor; metres."""

_RISEN = 0.02
"""What has risen by this much from where it was for most of a contact has left the floor; metres."""

_TIPPED = 0.1
"""The ball of a foot that rests on its heel is on the floor too if it is no higher than this; metres."""

_RESTS = 0.15
"""It rests while the ball is slower than this; metres a second."""

_RESTING = 0.3
"""And for this long at least; seconds."""

_GAP = 0.1
"""Contacts with shorter gaps are one; seconds."""

_SLIP = 0.3
"""One end of a foot that is but too fast for less than this while the other stands is down; seconds."""

_SHORTEST = 0.08
"""Shorter contacts are none; seconds."""


def find_contacts(points: np.ndarray, fps: float, mode: Literal["AUTOMATIC", "ALWAYS"]) -> Contacts:
    """When heels and balls of the feet are on the floor.

    Args:
        points: (T, 2, 3, 3) heel, ball and toe tip under the source's soles, left and right, metres, z up.
        fps: frames per second.
        mode: ``AUTOMATIC``: where they stand. ``ALWAYS``: wherever they are near the floor and no faster than
            a foot that is dragged; one that swings by is not.
    """
    limits = _LIMITS[mode]
    smooth = smooth_values(points, _LOOK, fps)
    moves = np.gradient(smooth, axis=0) if len(points) > 1 else np.zeros_like(smooth)
    speed = np.linalg.norm(moves, axis=-1) * fps
    height = smooth[..., 2] - _floors(smooth[..., 2], fps)[..., None]
    height, speed = height[..., :TIP], speed[..., :TIP]
    certain = (height < limits.low) & (speed < limits.slow)
    possible = (height < limits.near) & (speed < limits.calm)
    found = np.zeros(height.shape, bool)
    for side in (0, 1):
        for part in (0, 1):
            if part:  # recovered feet that stand have their toes up at times; people do not stand on heels
                rests = found[:, side, 0] & (height[:, side, 1] < _TIPPED) & (speed[:, side, 1] < _RESTS)
                for start, end in runs(rests):
                    if end - start >= _RESTING * fps:
                        certain[start:end, side, 1] = possible[start:end, side, 1] = True
            one = _spans(certain[:, side, part], possible[:, side, part], fps)
            found[:, side, part] = _without_rise(one, height[:, side, part], fps)
        _stay_flat(found[:, side], (height < limits.near)[:, side], fps)
        _join(found[:, side], fps)
    return Contacts(heel=found[..., 0], ball=found[..., 1])


def _floors(heights: np.ndarray, fps: float) -> np.ndarray:
    """Height (T, 2) of the floor under each foot, from heights (T, 2, 3) of its points."""
    lowest = heights.min(axis=-1)
    own = _lowest_around(lowest, max(round(_AROUND * fps), 1))
    lower = own.min(axis=1, keepdims=True)
    clip = np.quantile(lowest.min(axis=1), 0.05)
    return np.minimum(np.minimum(own, lower + _UNEVEN), clip + _HIGHEST)


def _lowest_around(values: np.ndarray, reach: int) -> np.ndarray:
    """Lowest of the values (T, N) from `reach` frames before each frame to `reach` after."""
    lowest, covered = np.array(values), 0
    while covered < reach:  # windows grow by what they cover already
        step = min(covered + 1, reach - covered, len(values))
        grown = np.array(lowest)
        grown[step:] = np.minimum(grown[step:], lowest[:-step])
        grown[:-step] = np.minimum(grown[:-step], lowest[step:])
        lowest, covered = grown, covered + step
    return lowest


def _spans(certain: np.ndarray, possible: np.ndarray, fps: float) -> np.ndarray:
    """Spans (T,) that are possible all along and certain somewhere, gaps closed, short ones left out."""
    found = np.zeros(len(certain), bool)
    for start, end in runs(possible):
        found[start:end] = certain[start:end].any()
    for start, end in runs(~found):
        if start > 0 and end < len(found) and end - start < _GAP * fps:
            found[start:end] = True
    for start, end in runs(found):
        whole = start > 0 and end < len(found)  # at the clip's ends the rest of it may be cut off
        if whole and end - start < _SHORTEST * fps:
            found[start:end] = False
    return found


def _without_rise(found: np.ndarray, height: np.ndarray, fps: float) -> np.ndarray:
    """Contacts (T,) without the frames at their ends in which the point still comes down or rises already.

    Which is told from the point's own height at the time: what all of a foot is lifted by does not matter.
    """
    found = found.copy()
    for start, end in runs(found):
        span = height[start:end]
        down = np.flatnonzero(span < np.quantile(span, 0.4) + _RISEN)
        found[start : start + down[0]] = False
        found[start + down[-1] + 1 : end] = False
    for start, end in runs(found):
        whole = start > 0 and end < len(found)
        if whole and end - start < _SHORTEST * fps:
            found[start:end] = False
    return found


def _stay_flat(found: np.ndarray, near: np.ndarray, fps: float) -> None:
    """Close gaps (T, 2) in which one end of a foot is near the floor all along and the other stands."""
    for part in (0, 1):
        for start, end in runs(~found[:, part]):
            inside = start > 0 and end < len(found) and end - start < _SLIP * fps
            if inside and (near[start:end, part] & found[start:end, 1 - part]).all():
                found[start:end, part] = True


def _join(found: np.ndarray, fps: float) -> None:
    """Close short gaps (T, 2) between a heel's and a ball's contact: there the foot rolls over the sole."""
    for start, end in runs(~found.any(axis=1)):
        if start > 0 and end < len(found) and end - start < _GAP * fps:
            middle = (start + end) // 2
            before, after = found[start - 1].copy(), found[end].copy()
            found[start : middle + 1] |= before
            found[middle:end] |= after
