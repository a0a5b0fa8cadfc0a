# SPDX-License-Identifier: GPL-3.0-or-later
"""The joints along a leg and along an arm, told apart by directions and lengths."""

from __future__ import annotations

from typing import Final

import numpy as np

from .skeleton_shape import Branch, Shape

_DOWN: Final = 0.7  # cosine between a thigh and straight down, at least
_ANKLE: Final = 0.15  # heights above the lowest point of the leg, as shares of that of the hip
_HIGH_ANKLE: Final = 0.4
_STRAIGHT: Final = 0.9  # cosine between bones that go on in the same direction
_KNEE: Final = 0.25  # how far from half-way a knee can be
_BALL: Final = 0.65  # where toes begin: share of the way from the ankle to the tip

_UPPER_TO_FOREARM: Final = 1.08
_HAND: Final = 0.3  # lengths as shares of the arm's
_SHOULDER: Final = 0.25
_LONGEST_COLLAR: Final = 0.8  # of the upper arm
_MOST_COLLARS: Final = 3


def leg_joints(branch: Branch, up: np.ndarray) -> dict[str, list[int]] | None:
    """Hip, knee, ankle and foot along a leg: the numbers of their bones.

    The hip is where the way turns down; what comes before it only leads to the side. The ankle is where the
    way turns ahead, near the floor; the knee is half-way between the two. Toes begin at
    about two thirds of the foot.

    Returns:
        None when it is no leg.
    """
    steps, lengths = np.diff(branch.joints, axis=0), branch.lengths
    heights = branch.joints @ up
    down = -(steps @ up) / np.maximum(lengths, 1e-9)
    hip = next((k for k in range(len(branch.path)) if down[k] > _DOWN and lengths[k] > 0.01), None)
    if hip is None:
        return None
    heights = (heights - heights.min()) / max(heights[hip] - heights.min(), 1e-9)
    ankle = None
    for k in range(hip + 2, len(branch.path)):
        turned = 1.0
        if lengths[k] > 1e-6 and lengths[k - 1] > 1e-6:
            turned = float(steps[k] @ steps[k - 1] / (lengths[k] * lengths[k - 1]))
        if heights[k] < _ANKLE or (heights[k] < _HIGH_ANKLE and turned < _STRAIGHT):
            ankle = k
            break
    if ankle is None:
        return None
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    halves = {
        k: (along[k] - along[hip]) / max(along[ankle] - along[hip], 1e-9) for k in range(hip + 1, ankle)
    }
    knee = min(halves, key=lambda k: abs(halves[k] - 0.5))
    if abs(halves[knee] - 0.5) > _KNEE:
        return None
    path = list(branch.path)
    ahead = branch.joints[ankle:] - branch.joints[ankle]
    ahead = np.linalg.norm(ahead - np.outer(ahead @ up, up), axis=1)  # along the floor, from below the ankle
    ahead = ahead / max(ahead.max(), 1e-9)
    toes = min(range(ankle + 1, len(path)), key=lambda k: abs(ahead[k - ankle] - _BALL), default=len(path))
    return {
        "hip": path[hip:knee],
        "knee": path[knee:ankle],
        "ankle": path[ankle : ankle + 1],
        "foot": path[toes : toes + 1],
    }


def arm_joints(shape: Shape, branch: Branch) -> dict[str, list[int]] | None:
    """Collar, shoulder, elbow and wrist along an arm: the numbers of their bones.

    Fingers begin at a wrist. For the rest, upper arm and forearm are about equally long, the hand is a third
    of both, and a collar begins nearer to the middle than a shoulder does.

    Returns:
        None when it is no arm.
    """
    path = list(branch.path)
    along = np.concatenate([[0.0], np.cumsum(branch.lengths)])
    fingers = [k for k in range(2, len(path)) if _has_fingers(shape, path[k])]
    wrists = fingers[:1] or range(2, len(path))
    best: tuple[float, int, int, int] | None = None
    for wrist in wrists:
        for shoulder in range(min(_MOST_COLLARS, wrist - 1)):
            for elbow in range(shoulder + 1, wrist):
                upper, fore = along[elbow] - along[shoulder], along[wrist] - along[elbow]
                if min(upper, fore) < 1e-3:
                    continue
                arm = upper + fore
                cost = abs(np.log(upper / fore / _UPPER_TO_FOREARM))
                if not fingers:  # a hand may end soon, as tails are not to be trusted; a long one is none
                    size = np.log(max(along[-1] - along[wrist], 1e-3) / arm / _HAND)
                    cost += max(0.3 * size, -0.05 * size)
                cost += 0.5 * max(0.0, along[shoulder] / upper - _LONGEST_COLLAR)
                cost += 2.0 * max(0.0, _SHOULDER - abs(shape.offset(branch.joints[shoulder])) / arm)
                if best is None or cost < best[0]:
                    best = (float(cost), shoulder, elbow, wrist)
    if best is None:
        return None
    _, shoulder, elbow, wrist = best
    return {
        "collar": path[:shoulder],
        "shoulder": path[shoulder:elbow],
        "elbow": path[elbow:wrist],
        "wrist": path[wrist : wrist + 1],
    }


def _has_fingers(shape: Shape, bone: int) -> bool:
    """Whether at least three chains of bones begin at a bone."""
    chains = [child for child in shape.children[bone] if shape.children[child]]
    return len(chains) >= 3
