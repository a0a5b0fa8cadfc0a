# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet that stay where they stand, on the character that the motion went to.

    contacts ─► places ─► turn of the foot ─► place of the ankle ─► toes ─► lowered pelvis ─► bent legs
                          (flat; heel or toe   (point on the floor   (flat,    (only where a leg
                           not in the floor)    stays; else lifted)   bent up)   is too short)

All in the world: metres, z up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .contacts import Contacts
from .easing import Span, kept_above
from .foot_places import FootPlaces
from .leg_ik import bent_to, knee_hinge
from .legs import LegMotion, Soles, rolling_soles
from .options import Feet
from .planted_foot import AROUND, PlantedFoot, farthest_from_hip

_LOWEST = 0.15
"""The pelvis is lowered by this share of the leg's length at most."""


@dataclass(frozen=True)
class Planted:
    """A motion whose feet are planted.

    Attributes:
        motion: the legs, with the shift of the root.
        root_shift: (T, 3) by how much the whole figure was moved: down, or not at all.
        steps: for both sides, the spans of frames in which the foot stands.
        places: for both sides, where.
        missed: the farthest that an ankle is from where it should be, metres: some leg is too short for that.
        missed_at: the frame of that.
    """

    motion: LegMotion
    root_shift: np.ndarray
    steps: tuple[list[Span], list[Span]]
    places: tuple[FootPlaces, FootPlaces]
    missed: float
    missed_at: int


def plant_feet(
    motion: LegMotion, soles: Soles, contacts: Contacts | None, mode: Feet, floor: float, fps: float
) -> Planted:
    """Bend a character's legs such that its feet stay where they stand and out of the floor.

    While a heel or a ball of the foot is on the floor, its point does not move and is at the floor's height,
    at the mean place that the motion has it in; with both the foot lies flat. Before and after, feet ease in
    from and out to the motion within 0.2 s. At no time is a sole's point under the floor: toes bend up, feet
    are lifted or tipped by what is needed. Where a leg is too short for a place, a heel that is up goes up
    more, and the figure is lowered by the rest, gently and by 15 % of the leg's length at most; what is too
    far for that is missed, and told. Bones keep their lengths and knees their planes.

    A foot without toe bones stands on heel and toe tip instead of heel and ball.

    Args:
        motion: the legs before.
        soles: of the character.
        contacts: of the source's feet; not used with ``FLOOR``.
        mode: ``AUTOMATIC``, ``ALWAYS`` (their contacts differ, see `find_contacts`), ``FLOOR`` keeps feet out
            of the floor and nothing else, ``OFF`` changes nothing.
        floor: its height.
        fps: frames per second.
    """
    count = len(motion.hip)
    soles = rolling_soles(soles, motion.has_toes)
    leg = _lengths(motion)
    on_floor = np.zeros((count, 2, 2), bool)
    if mode in ("AUTOMATIC", "ALWAYS") and contacts is not None:
        on_floor = np.stack([contacts.heel, contacts.ball], axis=-1)
    feet = [PlantedFoot(motion, soles, side, on_floor[:, side], floor, fps, leg[side]) for side in (0, 1)]
    if mode == "OFF":
        places = (feet[0].places, feet[1].places)
        return Planted(motion, np.zeros((count, 3)), ([], []), places, 0.0, 0)
    for foot in feet:
        foot.plant()
    goal = np.stack([foot.ankle for foot in feet], axis=1)
    farthest = farthest_from_hip(motion.hip, motion.ankle, goal, leg)
    root_shift = np.zeros((count, 3))
    root_shift[:, 2] = -_lowering(motion.hip, goal, farthest, leg, max(round(AROUND * fps), 1))
    moved = root_shift[:, None]
    hinge = knee_hinge(
        motion.hip, motion.knee, motion.ankle, motion.thigh, np.stack([foot.ahead for foot in feet])
    )
    thigh, shin, knee, ankle = bent_to(
        motion.hip + moved,
        motion.knee + moved,
        motion.ankle + moved,
        motion.thigh,
        motion.shin,
        goal,
        np.broadcast_to(hinge, motion.hip.shape),
        farthest,
    )
    missed = np.linalg.norm(ankle - goal, axis=-1).max(axis=1)
    planted = replace(
        motion,
        hip=motion.hip + moved,
        knee=knee,
        ankle=ankle,
        thigh=thigh,
        shin=shin,
        foot=np.stack([foot.turn for foot in feet], axis=1),
        toe=np.stack([foot.toe for foot in feet], axis=1),
    )
    return Planted(
        planted,
        root_shift,
        (feet[0].places.steps(), feet[1].places.steps()),
        (feet[0].places, feet[1].places),
        float(missed.max()),
        int(missed.argmax()),
    )


def _lengths(motion: LegMotion) -> np.ndarray:
    """Lengths (2,) of the legs."""
    upper = np.linalg.norm(motion.knee - motion.hip, axis=-1)
    lower = np.linalg.norm(motion.ankle - motion.knee, axis=-1)
    return (upper + lower).mean(axis=0)


def _lowering(
    hip: np.ndarray, goal: np.ndarray, farthest: np.ndarray, leg: np.ndarray, around: int
) -> np.ndarray:
    """By how much (T,) to lower the hips, such that goals are no farther than `farthest` from them.

    Args:
        hip: (T, 2, 3).
        goal: (T, 2, 3).
        farthest: (T, 2).
        leg: (2,) lengths.
        around: frames over which the hips begin to go down, and come up again.
    """
    away = goal - hip
    level = np.sum(away[..., :2] ** 2, axis=-1)
    deepest = np.sqrt(np.maximum(farthest**2 - level, 0))
    need = np.clip(-away[..., 2] - deepest, 0, _LOWEST * leg).max(axis=1)
    return kept_above(need, around)
