# SPDX-License-Identifier: Apache-2.0
"""Where the floor of a clip is, and when the feet stand on it.

Captured motion has no floor; what a foot rests on at the lowest level shows it. People also rest
their feet on blocks and platforms: those are contacts as well, but not the floor.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel
from fasthmr.placement.soles import find_soles
from fasthmr.training.mocap.packed import FRAME_RATE
from fasthmr.training.mocap.pose_solver import Points, place_points

_RESTING_SPEED: Final = 0.15  # m/s: a sole point slower than this may be on the floor
_LEVEL: Final = 0.03  # metres: points this close in height rest on one level
# The floor is the lowest level with this part of all resting points; lower ones are errors.
_LEAST_SHARE: Final = 0.04
_LEAST_POINTS: Final = 8
# Contact begins when a point is lower and slower than the first of each pair, ends above the second.
_HEIGHT: Final = (0.035, 0.07)  # metres above the floor
_SPEED: Final = (0.25, 0.55)  # m/s
# Elsewhere than on the floor only a level foot that rests so long, and is the lower one, stands.
_STILL_SPEED: Final = 0.1  # m/s
_STILL_FRAMES: Final = 6
_STILL_LEVEL: Final = 0.04  # metres between heel and toe


def sole_points(
    body: BodyModel, betas: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray
) -> NDArray[np.float32]:
    """(T, 4, 3) left heel, left toe, right heel, right toe of poses (T, 24, 3, 3), pelvis (T, 3)."""
    shape = torch.from_numpy(np.asarray(betas, np.float32))
    soles = find_soles(body, shape)
    points = Points(soles.joints, soles.offsets, torch.ones(len(soles.joints)))
    rest = body.rest_joints(shape)
    places, _, _ = place_points(rest, points, torch.from_numpy(rotations), torch.from_numpy(pelvis))
    return places.numpy()


def floor_height(soles: np.ndarray) -> float:
    """Height of the floor under a clip.

    Args:
        soles: (T, 4, 3) sole points at 30 frames a second, z up, metres.

    Returns:
        z of the lowest level on which soles rest; where none rests, of nearly the lowest they get.
    """
    heights = np.sort(soles[..., 2][_speeds(soles) < _RESTING_SPEED])
    needed = max(_LEAST_POINTS, int(_LEAST_SHARE * len(heights)))
    if len(heights) >= needed:
        # Windows of one level's thickness that begin at each point: the lowest with enough in it.
        inside = np.searchsorted(heights, heights + _LEVEL, side="right") - np.arange(len(heights))
        enough = np.flatnonzero(inside >= needed)
        if len(enough):
            first = enough[0]
            return float(np.median(heights[first : first + inside[first]]))
    return float(np.percentile(soles[..., 2].min(1), 5))


def find_contacts(soles: np.ndarray, floor: float) -> NDArray[np.float32]:
    """(T, 4) 1 where a sole point (T, 4, 3) stands on the floor or rests level on something, else 0."""
    speed, height = _speeds(soles), soles[..., 2] - floor
    begins = (height < _HEIGHT[0]) & (speed < _SPEED[0])
    goes_on = (height < _HEIGHT[1]) & (speed < _SPEED[1])
    contacts = np.zeros(height.shape, bool)
    for frame in range(len(soles)):
        before = contacts[frame - 1] if frame else np.zeros(4, bool)
        contacts[frame] = begins[frame] | (before & goes_on[frame])
    # The same backwards: a foot that comes to rest is down already while it still slows.
    for frame in range(len(soles) - 2, -1, -1):
        contacts[frame] |= contacts[frame + 1] & goes_on[frame]
    return (contacts | _on_platforms(soles, speed)).astype(np.float32)


def _on_platforms(soles: np.ndarray, speed: np.ndarray) -> NDArray[np.bool_]:
    feet = soles[..., 2].reshape(-1, 2, 2)
    lowest = feet.mean(-1) < feet.mean(-1).min(-1, keepdims=True) + _LEVEL
    level = np.abs(feet[..., 0] - feet[..., 1]) < _STILL_LEVEL
    still = (speed.reshape(-1, 2, 2) < _STILL_SPEED).all(-1) & level & lowest
    standing = np.zeros_like(still)
    for foot in range(2):
        for start, end in spans(still[:, foot]):
            if end - start >= _STILL_FRAMES:
                standing[start:end, foot] = True
    return np.repeat(standing, 2, axis=1)


def spans(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _speeds(points: np.ndarray) -> NDArray[np.float64]:
    """(T, P) m/s of points (T, P, 3) at 30 frames a second."""
    if len(points) < 2:
        return np.zeros(points.shape[:2])
    return np.linalg.norm(np.gradient(points.astype(np.float64), axis=0), axis=-1) * FRAME_RATE
