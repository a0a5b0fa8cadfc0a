# SPDX-License-Identifier: GPL-3.0-or-later
"""How a motion is to go to a rig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..root_path import InPlace

Alignment = Literal["DIRECTIONS", "REST", "POSE"]
Feet = Literal["AUTOMATIC", "ALWAYS", "FLOOR", "OFF"]
RootCarrier = Literal["PELVIS", "BONE", "OBJECT"]
Heights = Literal["SCALED", "KEPT"]
Place = Literal["SOURCE", "TARGET"]
Scale = Literal["LEGS", "NONE", "FACTOR"]


@dataclass(frozen=True)
class Options:
    """How a motion is to go to a rig.

    Attributes:
        alignment: how the two rest poses are brought together. ``DIRECTIONS``: limbs point the same way (an
            A-pose meets a T-pose). ``REST``: both rest poses are taken for the same pose. ``POSE``: the
            target's pose at present is the source's rest pose.
        feet: ``AUTOMATIC`` holds feet where the source's stand. ``ALWAYS`` holds every foot that is near the
            floor, even where the source's slides. ``FLOOR`` only keeps soles from going through the floor.
            ``OFF``.
        floor: height of the floor, metres in the world.
        scale: the way through the world is scaled by the ratio of leg lengths, not at all, or by `factor`.
        factor: used with ``FACTOR``.
        in_place: what to take out of the horizontal motion, see `root_path`.
        heights: ``KEPT``: the pelvis rises and falls by as many metres as the source's instead of in
            proportion.
        root: what carries the character across the floor: the pelvis, the rig's root bone, or the object.
        place: in the world where the source is, or where the target stands (its place and heading at frame
            one).
        twists: let twist bones take their share of a limb's roll; otherwise they stay as they are.
        ik: place IK controls too.
        every: key every so many frames (the last frame always).
    """

    alignment: Alignment = "DIRECTIONS"
    feet: Feet = "AUTOMATIC"
    floor: float = 0.0
    scale: Scale = "LEGS"
    factor: float = 1.0
    in_place: InPlace = "OFF"
    heights: Heights = "SCALED"
    root: RootCarrier = "PELVIS"
    place: Place = "SOURCE"
    twists: bool = True
    ik: bool = True
    every: int = 1
