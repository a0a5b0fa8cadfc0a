# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones of a rig play which part of the recovered body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..skeleton import JOINT_NAMES

ROLES: Final = tuple(name for name in JOINT_NAMES if name not in ("left_hand", "right_hand"))
"""Parts that a rig's bones can play: SMPL's joints without the knuckles."""

REQUIRED: Final = ("pelvis", *(name for name in ROLES if name.endswith(("_hip", "_knee", "_ankle"))))
"""Without these there is nobody to walk."""

AXIAL: Final = ("spine1", "spine2", "spine3", "neck", "head")
"""Roles whose bones, when there are several, share the rotation out among them."""


@dataclass(frozen=True)
class Setting:
    """A custom property that a control rig must have while it is driven by rotations of its FK controls.

    Attributes:
        bone: pose bone that has the property.
        property: its name.
        value: what it must be, such as 1.0 for FK.
    """

    bone: str
    property: str
    value: float


@dataclass(frozen=True)
class Twist:
    """A helper bone beside a limb's bone, which takes a share of the roll of what follows.

    Attributes:
        bone: the helper, a child of the limb's bone.
        role: the limb: ``left_shoulder`` (upper arm), ``left_elbow`` (forearm), ``left_hip``, ``left_knee``…
        share: for forearms and shins, the share 0..1 of the hand's (foot's) roll about the limb that the
            helper takes; for upper arms and thighs, the share of the limb's own roll that it takes back.
    """

    bone: str
    role: str
    share: float


@dataclass(frozen=True)
class IkControl:
    """Controls of an IK limb, placed beside the FK ones so that the artist may switch at any frame.

    Attributes:
        role: what the target follows: ``left_wrist``, ``right_wrist``, ``left_ankle`` or ``right_ankle``.
        target: the control of the limb's end.
        base: the control at the limb's beginning whose rotation gives the plane of bending; may be empty.
        pole: the control towards which the knee or elbow points; may be empty.
    """

    role: str
    target: str
    base: str = ""
    pole: str = ""


@dataclass(frozen=True)
class BoneMap:
    """The bones of one rig that the motion goes to.

    Attributes:
        bones: role to bones, from the one nearest to the pelvis outwards. A role may be missing. The pelvis'
            first bone carries the motion through the world.
        root: bone above the pelvis that can carry the character across the floor; may be empty.
        settings: properties of the rig to set.
        twists: helpers that may take a share of a limb's roll.
        ik: IK controls to place.
        name: of the preset that it came from, for messages.
    """

    bones: Mapping[str, tuple[str, ...]]
    root: str = ""
    settings: tuple[Setting, ...] = ()
    twists: tuple[Twist, ...] = ()
    ik: tuple[IkControl, ...] = ()
    name: str = ""

    def missing(self) -> tuple[str, ...]:
        """Required roles that no bone plays."""
        return tuple(role for role in REQUIRED if not self.bones.get(role))


@dataclass(frozen=True)
class RigBone:
    """A bone of a rig at rest, as detection sees it.

    Attributes:
        name: the bone's name.
        parent: its parent's name; empty for a root.
        head: (3,) in armature space.
        tail: (3,) in armature space.
        deforms: whether it moves skin.
        properties: names of the pose bone's custom properties.
    """

    name: str
    parent: str
    head: tuple[float, float, float]
    tail: tuple[float, float, float]
    deforms: bool = True
    properties: frozenset[str] = field(default_factory=frozenset)
