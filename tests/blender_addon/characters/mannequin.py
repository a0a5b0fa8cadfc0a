# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig like Unreal's mannequin: root on the floor, five spine bones, two neck bones, twist bones, IK bones.

The skin follows the twist bones too. Proportions and skin come from a MakeHuman figure in A-pose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .makehuman import figure
from .rig_from_arrays import RigArrays
from .skin_shares import hats, shared_along

_SIDES = ("l", "r")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")

# limb: where along it (0..1) the skin is held by which bone; the first is the limb's own bone
_SHARED = {
    "upperarm": {"upperarm": 0.9, "upperarm_twist_01": 0.1, "upperarm_twist_02": 0.5},
    "lowerarm": {"lowerarm": 0.1, "lowerarm_twist_02": 0.5, "lowerarm_twist_01": 0.9},
    "thigh": {"thigh": 0.75, "thigh_twist_01": 0.25},
    "calf": {"calf": 0.25, "calf_twist_01": 0.75},
}
# where along the limb the twist bones begin
_BEGINS = {
    "upperarm_twist_01": 0.0,
    "upperarm_twist_02": 0.5,
    "lowerarm_twist_02": 0.35,
    "lowerarm_twist_01": 0.7,
    "thigh_twist_01": 0.0,
    "calf_twist_01": 0.5,
}


@dataclass
class _Parts:
    """Bones as they come together."""

    bones: list[str]
    parents: list[str]
    heads: list[np.ndarray]
    tails: list[np.ndarray]
    rolls: list[float]

    def add(self, bone: str, parent: str, head: np.ndarray, tail: np.ndarray, roll: float = 0.0) -> None:
        self.bones.append(bone)
        self.parents.append(parent)
        self.heads.append(np.asarray(head, float))
        self.tails.append(np.asarray(tail, float))
        self.rolls.append(roll)


def mannequin() -> RigArrays:
    """The rig with bones that lie along the limbs, as importers that align bones make it."""
    source = figure("game_engine", "slim")
    parts = _Parts([], [], [], [], [])

    def ends(bone: str) -> tuple[np.ndarray, np.ndarray, float]:
        number = source.index(bone)
        return source.heads[number], source.tails[number], float(source.rolls[number])

    # Unreal's root lies on the floor and points to where the character looks, turned by a quarter
    parts.add("root", "", np.zeros(3), np.array([0.0, -0.25, 0.0]), -np.pi / 2)
    parts.add("pelvis", "root", *ends("pelvis"))
    spine = _cut([ends(f"spine_0{n}")[0] for n in (1, 2, 3)] + [ends("neck_01")[0]], 5)
    for number in range(5):
        above = "pelvis" if number == 0 else f"spine_0{number}"
        parts.add(f"spine_0{number + 1}", above, spine[number], spine[number + 1])
    neck = _cut([ends("neck_01")[0], ends("head")[0]], 2)
    parts.add("neck_01", "spine_05", neck[0], neck[1])
    parts.add("neck_02", "neck_01", neck[1], neck[2])
    parts.add("head", "neck_02", *ends("head"))
    for side in _SIDES:
        chain = ("spine_05", "clavicle", "upperarm", "lowerarm", "hand")
        for above, bone in pairwise(chain):
            _limb(parts, f"{bone}_{side}", above if above == "spine_05" else f"{above}_{side}", ends)
        for finger in _FINGERS:
            for number in (1, 2, 3):
                above = f"hand_{side}" if number == 1 else f"{finger}_0{number - 1}_{side}"
                parts.add(f"{finger}_0{number}_{side}", above, *ends(f"{finger}_0{number}_{side}"))
        chain = ("pelvis", "thigh", "calf", "foot", "ball")
        for above, bone in pairwise(chain):
            _limb(parts, f"{bone}_{side}", above if above == "pelvis" else f"{above}_{side}", ends)
    up = np.array([0.0, 0.0, 0.1])
    for limb, end in (("foot", "foot"), ("hand", "hand")):
        parts.add(f"ik_{limb}_root", "root", np.zeros(3), up)
        above = f"ik_{limb}_root"
        if limb == "hand":
            parts.add("ik_hand_gun", above, ends("hand_r")[0], ends("hand_r")[0] + up)
            above = "ik_hand_gun"
        for side in _SIDES:
            head = ends(f"{end}_{side}")[0]
            parts.add(f"ik_{limb}_{side}", above, head, head + up)
    helpers = frozenset(bone for bone in parts.bones if bone.startswith("ik_") or bone == "root")
    return RigArrays(
        tuple(parts.bones),
        np.array([parts.bones.index(above) if above else -1 for above in parts.parents]),
        np.array(parts.heads),
        np.array(parts.tails),
        np.array(parts.rolls),
        source.vertices,
        source.faces,
        _weights(source, parts, spine, neck),
        helpers=helpers,
    )


def with_engine_axes(rig: RigArrays) -> RigArrays:
    """The same rig as importers leave it that keep the engine's axes: no bone lies along its limb.

    In Unreal x runs along the limb, away from the body on the left and towards it on the right. Blender's
    bones run along y, so that they stick out sideways, all of them equally short.
    """
    tails, rolls = rig.tails.copy(), rig.rolls.copy()
    for index, bone in enumerate(rig.bones):
        along = rig.tails[index] - rig.heads[index]
        if bone.startswith("ik_") or bone == "root":
            continue
        x = along / np.linalg.norm(along) * (-1.0 if bone.endswith("_r") else 1.0)
        forward = np.array([0.0, -1.0, 0.0])
        if abs(x @ forward) > 0.9:  # feet
            forward = np.array([0.0, 0.0, 1.0])
        y = forward - (forward @ x) * x
        y /= np.linalg.norm(y)
        matrix = Matrix(np.stack([x, y, np.cross(x, y)], axis=1).tolist())
        _, rolls[index] = bpy.types.Bone.AxisRollFromMatrix(matrix, axis=Vector(y.tolist()))
        tails[index] = rig.heads[index] + 0.06 * y
    return replace(rig, tails=tails, rolls=rolls)


def _limb(parts: _Parts, bone: str, above: str, ends) -> None:
    """A bone of a limb, and the twist bones beside it."""
    head, tail, roll = ends(bone)
    parts.add(bone, above, head, tail, roll)
    limb, side = bone[:-2], bone[-1]
    for twist in list(_SHARED.get(limb, {}))[1:]:
        begin = head + _BEGINS[twist] * (tail - head)
        parts.add(f"{twist}_{side}", bone, begin, begin + 0.2 * (tail - head), roll)


def _cut(points: list[np.ndarray], pieces: int) -> np.ndarray:
    """Points (pieces + 1, 3) at equal distances along a line through points."""
    line = np.array(points)
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.linspace(0.0, at[-1], pieces + 1)
    return np.stack([np.interp(wanted, at, line[:, axis]) for axis in range(3)], axis=1)


def _weights(source: RigArrays, parts: _Parts, spine: np.ndarray, neck: np.ndarray) -> np.ndarray:
    """Shares (V, B) of the new bones, from those of the figure's own bones."""
    weights = np.zeros((len(source.vertices), len(parts.bones)))
    # what the root held goes to the pelvis; what spine and neck held goes by height
    for bone in source.bones:
        new = {"Root": "pelvis"}.get(bone, bone)
        if new in parts.bones and not bone.startswith(("spine_", "neck_")):
            weights[:, parts.bones.index(new)] += source.weights[:, source.index(bone)]
    column = [f"spine_0{n}" for n in range(1, 6)] + ["neck_01", "neck_02"]
    middles = [(a + b) / 2 for a, b in (*pairwise(spine), *pairwise(neck))]
    held = sum(source.weights[:, source.index(b)] for b in ("spine_01", "spine_02", "spine_03", "neck_01"))
    shares = hats(source.vertices[:, 2], np.array([middle[2] for middle in middles]))
    for bone, share in zip(column, shares.T, strict=True):
        weights[:, parts.bones.index(bone)] += held * share
    for limb, nodes in _SHARED.items():
        for side in _SIDES:
            weights[:, parts.bones.index(f"{limb}_{side}")] = 0
            sided = {f"{bone}_{side}": at for bone, at in nodes.items()}
            for bone, share in shared_along(source, f"{limb}_{side}", sided).items():
                weights[:, parts.bones.index(bone)] += share
    return np.clip(weights, 0, None) / weights.sum(axis=1, keepdims=True)
