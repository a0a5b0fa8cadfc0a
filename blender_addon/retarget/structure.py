# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who among bones without names that tell: found by how they hang together and where they are.

Two pairs of limbs are looked for, of which one half mirrors the other, with a spine between them: the pair at
the end from which the other points away are arms. Which axis is up, and which way the figure faces, follows
from that: a rig may lie on its back in its own space, as files made for Y up do. Helpers, twist bones and
targets of IK have no place on the way from a limb's root to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .limb_joints import arm_joints, leg_joints
from .mapping import REQUIRED, ROLES, RigBone
from .skeleton_shape import Branch, Shape

_SURE: Final = 0.7  # at most; below any preset that fits
_LIMB_BONES: Final = 3
_SHORTEST_LIMB: Final = 0.12  # of the figure's size
_UPRIGHT: Final = 0.75  # cosine between the spine and the opposite of the legs: a dog's is 0
_MOST_TRIES: Final = 20
_DEEPEST: Final = 400  # bones in a row; a rope is no body
_SAME_PLACE: Final = 0.01
_CLOSE: Final = 0.1
_SKULL: Final = (
    0.55  # its base is not higher above the shoulders, as a share of their height above the pelvis
)
_LONGEST_NECK: Final = 12  # bones


@dataclass(frozen=True)
class Structure:
    """What a rig's shape says.

    Attributes:
        bones: role to bones, from the pelvis outwards.
        score: how sure that is, up to 0.7.
        up: (3,) which way is up in armature space.
        front: (3,) which way the figure faces.
    """

    bones: Mapping[str, tuple[str, ...]]
    score: float
    up: np.ndarray
    front: np.ndarray


@dataclass(frozen=True)
class _Limbs:
    """Two mirrored branches, and the bone that they hang on."""

    bone: int
    pair: tuple[Branch, Branch]

    @property
    def roots(self) -> np.ndarray:
        return (self.pair[0].joints[0] + self.pair[1].joints[0]) / 2

    @property
    def reach(self) -> float:
        """How far it is from root to end; a chain that winds about a face does not get far."""
        return float(np.mean([np.linalg.norm(one.joints[-1] - one.joints[0]) for one in self.pair]))


def find_structure(bones: Sequence[RigBone]) -> Structure | None:
    """The roles of a rig's bones from their places alone; None when it is no biped that can be understood.

    A rig most of whose bones move no skin is an animator's control rig, which only a preset can understand.
    """
    skin = sum(bone.deforms for bone in bones)
    if len(bones) < 10 or 2 * skin < len(bones):
        return None
    shape = Shape(bones)
    if _depth(shape) > _DEEPEST:
        return None
    return next(filter(None, (_understood(shape, *limbs) for limbs in _legs_and_arms(shape))), None)


def _understood(shape: Shape, legs: _Limbs, arms: _Limbs) -> Structure | None:
    """The whole body, if two pairs of limbs are legs and arms; None when they make no sense as such."""
    up = _up(shape, legs, arms)
    numbers = _trunk(shape, legs, arms, up)
    thighs = [leg_joints(leg, up) for leg in legs.pair]
    upper_arms = [arm_joints(shape, arm) for arm in arms.pair]
    if numbers is None or None in thighs or None in upper_arms:
        return None
    front = _front(shape, thighs, up)
    left = np.cross(up, front)
    for branches, limb in ((legs.pair, thighs), (arms.pair, upper_arms)):
        order = sorted((0, 1), key=lambda index: -float(branches[index].centre @ left))
        for side, index in zip(("left", "right"), order, strict=True):
            numbers |= {f"{side}_{part}": chain for part, chain in limb[index].items() if chain}
    named = {
        role: tuple(shape.names[index] for index in numbers[role]) for role in ROLES if numbers.get(role)
    }
    if any(role not in named for role in REQUIRED):
        return None
    return Structure(named, _SURE * len(named) / len(ROLES), up, front)


def _depth(shape: Shape) -> int:
    return max(len(shape.above(bone)) for bone in range(len(shape.names)))


def _legs_and_arms(shape: Shape) -> list[tuple[_Limbs, _Limbs]]:
    """Two pairs of limbs that can belong to something upright, those that reach farthest first."""
    limbs = []
    for bone in range(len(shape.names)):
        for pair in shape.pairs(bone) if len(shape.children[bone]) > 1 else ():
            one = _Limbs(bone, pair)
            if min(len(branch.path) for branch in pair) >= _LIMB_BONES and one.reach >= _SHORTEST_LIMB:
                limbs.append(one)
    both = [
        (legs, arms)
        for legs in limbs
        for arms in limbs
        if arms.bone != legs.bone and _is_upright(shape, legs, arms)
    ]
    return sorted(both, key=lambda two: -two[0].reach * two[1].reach)[:_MOST_TRIES]


def _is_upright(shape: Shape, legs: _Limbs, arms: _Limbs) -> bool:
    """Whether the legs go down from the lower end of a spine, and the arms hang at its upper end."""
    if _common(shape, legs.bone, arms.bone) is None or arms.bone in shape.above(legs.bone):
        return False
    spine = arms.roots - legs.roots
    spine[shape.side] = 0.0
    tall = float(np.linalg.norm(spine))
    if tall < _SAME_PLACE:
        return False
    up = spine / tall
    for leg in legs.pair:
        way = _end_of_leg(leg, up) - leg.joints[0]
        if way @ up > -_UPRIGHT * np.linalg.norm(way):
            return False
    lowest = max(float((leg.joints[-1] - legs.roots) @ up) for leg in legs.pair)
    hands = min(float((arm.joints[-1] - legs.roots) @ up) for arm in arms.pair)
    return hands > 0.8 * lowest  # both may be below the hips, but the hands of something upright not as far


def _end_of_leg(leg: Branch, up: np.ndarray) -> np.ndarray:
    """(3,) where a leg has come almost as far down as it gets; what follows is the foot, however long."""
    depths = (leg.joints[0] - leg.joints) @ up
    return leg.joints[int((depths >= 0.8 * depths.max()).argmax())]


def _common(shape: Shape, one: int, other: int) -> int | None:
    """The lowest bone that both hang on."""
    line = set(shape.above(other))
    return next((bone for bone in shape.above(one) if bone in line), None)


def _up(shape: Shape, legs: _Limbs, arms: _Limbs) -> np.ndarray:
    """(3,) from the feet to the shoulders, square to the side."""
    spine = arms.roots - legs.roots
    up = arms.roots - np.mean([_end_of_leg(leg, spine) for leg in legs.pair], axis=0)
    up[shape.side] = 0.0
    axis = int(np.abs(up).argmax())
    exact = np.zeros(3)
    exact[axis] = np.sign(up[axis])
    return exact if exact @ up > 0.9 * np.linalg.norm(up) else up / np.linalg.norm(up)


def _trunk(shape: Shape, legs: _Limbs, arms: _Limbs, up: np.ndarray) -> dict[str, list[int]] | None:
    """Pelvis, spine, neck and head."""
    pelvis, spine = _pelvis_and_spine(shape, legs, arms)
    above = _way_up(shape, arms, up)
    if spine and float((shape.heads[spine[-1]] - arms.roots) @ up) > -_SAME_PLACE:
        above.insert(0, spine.pop())  # a Biped's arms hang on its neck
    if not spine:
        return None
    numbers = {"pelvis": pelvis}
    share = {1: ("spine3",), 2: ("spine1", "spine3")}.get(len(spine), ("spine1", "spine2", "spine3"))
    for role, part in zip(share, np.array_split(spine, len(share)), strict=True):
        numbers[role] = [int(bone) for bone in part]

    shoulders = float(np.mean([_shoulder(arm) for arm in arms.pair], axis=0) @ up)
    tall = max(shoulders - float(shape.heads[pelvis[0]] @ up), 1e-6)
    above = [bone for bone in above if float(shape.heads[bone] @ up) - shoulders < _SKULL * tall]
    head = 0
    for index in range(1, len(above)):
        step = float(np.linalg.norm(shape.heads[above[index]] - shape.heads[above[index - 1]]))
        faced = [pair for pair in shape.pairs(above[index - 1]) if pair[0].bone != arms.pair[0].bone]
        if faced or step < _SAME_PLACE:  # eyes and cheeks hang on a head, and it has helpers in its place
            break
        head = index
    if above:
        numbers |= {"neck": above[:head], "head": [above[head]]}
    return numbers


def _pelvis_and_spine(shape: Shape, legs: _Limbs, arms: _Limbs) -> tuple[list[int], list[int]]:
    """The bones where legs and spine meet, and those from there to where the arms hang."""
    meets = _common(shape, legs.bone, arms.bone)
    line = shape.above(arms.bone)
    spine = line[: line.index(meets)][::-1]
    pelvis = [meets]
    for bone in shape.above(meets)[1:]:
        away = float(np.linalg.norm(shape.heads[bone] - shape.heads[pelvis[0]]))
        if away > _CLOSE:
            break
        if away > _SAME_PLACE and bone == shape.parents[meets]:  # a Biped's legs hang on its spine
            spine.insert(0, pelvis.pop())
        pelvis.insert(0, bone)
    if legs.bone != meets and legs.bone not in spine:
        line = shape.above(legs.bone)
        pelvis += line[: line.index(meets)][::-1]
    return pelvis, spine


def _shoulder(arm: Branch) -> np.ndarray:
    """(3,) where the upper arm begins, or near enough."""
    return arm.joints[1] if len(arm.path) > _LIMB_BONES else arm.joints[0]


def _way_up(shape: Shape, arms: _Limbs, up: np.ndarray) -> list[int]:
    """The bones in the middle from where the arms hang to the top."""
    way, bone = [], arms.bone
    limbs = {branch.bone for branch in arms.pair}
    while True:
        ahead = []
        for child in shape.children[bone]:
            branch = shape.branch(child)
            if child not in limbs and abs(shape.offset(shape.heads[child])) < _SAME_PLACE:
                ahead.append((float((branch.joints @ up).mean()), child))
        if not ahead or len(way) > _LONGEST_NECK:
            return way
        bone = max(ahead)[1]
        if float(shape.heads[bone] @ up) < float(shape.heads[arms.bone] @ up):
            return way
        way.append(bone)


def _front(shape: Shape, legs: Sequence[dict[str, list[int]]], up: np.ndarray) -> np.ndarray:
    """(3,) which way the figure faces: where its toes point; else its knees; else as most rigs do."""
    across = np.zeros(3)
    across[shape.side] = 1.0
    level = np.eye(3) - np.outer(up, up) - np.outer(across, across)
    toes, knees = np.zeros(3), np.zeros(3)
    for leg in legs:
        hip, knee, ankle = (shape.heads[leg[part][0]] for part in ("hip", "knee", "ankle"))
        toes += (shape.heads[leg["foot"][0]] if leg["foot"] else shape.tails[leg["ankle"][0]]) - ankle
        knees += 2 * knee - hip - ankle
    usual = (np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]))  # Blender's rigs, and those with Y up
    for way, least in ((toes, 0.02), (knees, 0.01), *((one, 0.5) for one in usual)):
        ahead = level @ way
        if (length := float(np.linalg.norm(ahead))) > least:
            return ahead / length
    return np.cross(across, up)
