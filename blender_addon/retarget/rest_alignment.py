# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing two rest poses together: which way the rig faces, and an A-pose against a T-pose.

Everything is in the world (z up). An alignment is a rotation that is applied to the target's bone at rest,
before the source's turn away from its own rest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..leg_pose import turned
from ..rotations import quat_multiply
from .problem import RetargetProblem

LIMBS = {
    f"{side}_{role}": f"{side}_{following}"
    for side in ("left", "right")
    for role, following in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
}
"""Limbs whose rest directions are brought together, and the role that each points at."""

_CLOSE = np.cos(np.radians(15))
"""A figure's axes this close to others are taken for those: heads and feet are seldom quite above each
other.
"""

_THUMB = 0.85
"""Cosine of the angle between the thumbs (32 degrees) beyond which palms are taken to face another way."""


def figure_axes(joints: Mapping[str, np.ndarray]) -> np.ndarray:
    """Axes (3, 3) of a figure as columns: its left, its back, up.

    Args:
        joints: role to place (3,); hips and, as far as they are there, shoulders, neck or head.

    Raises:
        RetargetProblem: hips are in one place.
    """
    across = joints["left_hip"] - joints["right_hip"]
    if "left_shoulder" in joints and "right_shoulder" in joints:
        across = across + joints["left_shoulder"] - joints["right_shoulder"]
    feet = (joints["left_ankle"] + joints["right_ankle"]) / 2
    top = next(
        (joints[role] for role in ("neck", "head", "spine3", "spine2", "spine1", "pelvis") if role in joints),
        (joints["left_hip"] + joints["right_hip"]) / 2,
    )
    up = _unit(top - feet)
    left = _unit(across - (across @ up) * up)
    if not np.isfinite([left, up]).all():
        raise RetargetProblem(
            "The rig's hips are in one place: it cannot be told which way it faces. Check the bones of both"
            " legs."
        )
    return np.stack([left, np.cross(up, left), up], axis=1)


def facing(source: np.ndarray, target: np.ndarray, target_object: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of the world that turns the target's figure the way the source's stands.

    A figure's axes are told from its joints, and a head that is a little in front of the feet must not tilt
    the whole rig. So they are taken to be those that rigs are built along, if they are close: the axes of
    the armature, or those of the source, or else upright ones.

    Args:
        source: (3, 3) axes of the source's figure, exact.
        target: (3, 3) axes of the target's figure in the world, see `figure_axes`.
        target_object: (3, 3) rotation of the target's object.
    """
    along_armature = target_object @ _nearest_axes(target_object.T @ target)
    closest = max((along_armature, source), key=lambda axes: _closeness(axes, target))
    if _closeness(closest, target) < _CLOSE:
        up = source[:, 2]
        left = _unit(target[:, 0] - (target[:, 0] @ up) * up)
        closest = np.stack([left, np.cross(up, left), up], axis=1)
    if not _closeness(closest, target) >= _CLOSE:
        closest = target
    return source @ closest.T


def _nearest_axes(axes: np.ndarray) -> np.ndarray:
    """The right-handed axes (3, 3) along the coordinates' that are nearest to others (3, 3)."""
    nearest = np.zeros((3, 3))
    up = np.abs(axes[:, 2]).argmax()
    nearest[up, 2] = np.sign(axes[up, 2])
    across = np.where(np.arange(3) == up, 0, axes[:, 0])
    left = np.abs(across).argmax()
    nearest[left, 0] = np.sign(across[left])
    nearest[:, 1] = np.cross(nearest[:, 2], nearest[:, 0])
    return nearest


def _closeness(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the angle between two sets of axes (3, 3)."""
    return (np.trace(one.T @ other) - 1) / 2


def turn_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smallest turn (4,) that takes a direction (3,) to another."""
    one, other = _unit(one), _unit(other)
    cosine = one @ other
    if cosine < -1 + 1e-9:  # any axis square to it will do
        axis = np.cross(one, np.eye(3)[np.abs(one).argmin()])
        return np.array([0.0, *_unit(axis)])
    quat = np.array([1 + cosine, *np.cross(one, other)])
    return quat / np.linalg.norm(quat)


def align_rests(
    source: Mapping[str, np.ndarray],
    target: Mapping[str, np.ndarray],
    up: np.ndarray,
    thumbs: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Alignments (4,) of the roles that need one.

    Upper arms, forearms, thighs and shins come to point the same way. Hands follow their forearms; where the
    palm faces another way at rest, they are turned about the forearm as well. Feet stay flat on the floor and
    are only turned to the same heading. All else is posed alike in A- and T-pose.

    Args:
        source: role to place (3,) of the source's joints at rest.
        target: the same of the target's, turned to face the same way.
        up: (3,) the source's up direction.
        thumbs: ``left_wrist`` and ``right_wrist`` to the directions (3,) from the wrist to the root of the
            thumb, the source's and the target's; may be empty.
    """
    found = {}
    for role, following in LIMBS.items():
        if all(name in rig for name in (role, following) for rig in (source, target)):
            found[role] = turn_between(target[following] - target[role], source[following] - source[role])
    for side in ("left", "right"):
        elbow, wrist = f"{side}_elbow", f"{side}_wrist"
        if elbow in found:
            found[wrist] = found[elbow]
            if wrist in thumbs:
                along = _unit(source[wrist] - source[elbow])
                found[wrist] = quat_multiply(_roll(along, *thumbs[wrist], found[elbow]), found[elbow])
        ankle, toes = f"{side}_ankle", f"{side}_foot"
        if all(name in rig for name in (ankle, toes) for rig in (source, target)):
            flat = [rig[toes] - rig[ankle] for rig in (target, source)]
            flat = [vector - (vector @ up) * up for vector in flat]
            if min(np.linalg.norm(vector) for vector in flat) > 1e-6:
                found[ankle] = found[toes] = turn_between(*flat)
    return found


def _roll(along: np.ndarray, source: np.ndarray, target: np.ndarray, alignment: np.ndarray) -> np.ndarray:
    """Turn (4,) about a forearm that brings the target's thumb to the source's, if they are far apart."""
    thumbs = [source, turned(alignment, target)]
    thumbs = [_unit(thumb - (thumb @ along) * along) for thumb in thumbs]
    if not np.isfinite(thumbs).all() or thumbs[0] @ thumbs[1] > _THUMB:
        return np.array([1.0, 0.0, 0.0, 0.0])
    angle = np.arctan2(np.cross(thumbs[1], thumbs[0]) @ along, thumbs[0] @ thumbs[1])
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * along)])


def _unit(vector: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return vector / np.linalg.norm(vector)
