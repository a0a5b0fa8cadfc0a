# SPDX-License-Identifier: GPL-3.0-or-later
"""A cartoon character: short legs, big head and feet, T-pose; and a plainer one that no preset knows."""

from __future__ import annotations

import numpy as np

from .makehuman import figure
from .rig_from_arrays import RigArrays

_NAMES = {
    "Hips": "Hips",
    "Spine": "Spine",
    "Spine2": "Chest",
    "Neck": "Neck",
    "Head": "Head",
} | {
    f"{side}{old}": f"{new}.{side[0]}"
    for side in ("Left", "Right")
    for old, new in (
        ("Shoulder", "Shoulder"),
        ("Arm", "UpperArm"),
        ("ForeArm", "LowerArm"),
        ("Hand", "Hand"),
        ("UpLeg", "UpperLeg"),
        ("Leg", "LowerLeg"),
        ("Foot", "Foot"),
        ("ToeBase", "Toes"),
    )
}
_SIZES = {
    "Hips": 1.1,
    "Spine": (1.2, 1.3, 0.8),
    "Chest": 1.1,
    "Neck": (1.2, 1.2, 0.6),
    "Head": 2.0,
} | {
    f"{bone}.{side}": size
    for side in "LR"
    for bone, size in (
        ("Shoulder", 0.9),
        ("UpperArm", (0.75, 1.2, 1.2)),
        ("LowerArm", (0.75, 1.2, 1.2)),
        ("Hand", 1.7),
        ("UpperLeg", (1.2, 1.2, 0.36)),
        ("LowerLeg", (1.3, 1.3, 0.36)),
        ("Foot", (1.9, 1.9, 1.1)),
        ("Toes", (1.9, 1.9, 1.1)),
    )
}


def cartoon() -> RigArrays:
    """Names as engines want them: Hips, Spine, Chest, Neck, Head, UpperArm.L…"""
    person = figure("mixamo", "tall").renamed(
        {bone: bone.removeprefix("mixamorig:") for bone in figure("mixamo", "tall").bones}
    )
    fingers = {
        bone: bone[: bone.index("Hand") + 4] for bone in person.bones if "Hand" in bone and bone[-1] in "123"
    }
    person = person.merged({"Spine1": "Spine", **fingers}).renamed(_NAMES)
    limbs: list[dict[str, np.ndarray | None]] = []
    for side, out in (("L", 1.0), ("R", -1.0)):
        level, down = np.array([out, 0.0, 0.0]), np.array([0.05 * out, -0.02, -1.0])
        limbs.append({f"{bone}.{side}": level for bone in ("UpperArm", "LowerArm", "Hand")})
        limbs.append({f"UpperLeg.{side}": down, f"LowerLeg.{side}": down * (1, -2, 1), f"Foot.{side}": None})
    rig = pointing(person, limbs)
    return rig.reshaped({}, {bone: np.array(size) for bone, size in _SIZES.items()})


def cartoon_plain() -> RigArrays:
    """No toes, collar bones or neck, and the names that Blender gives bones: Bone, Bone.001…"""
    rig = cartoon()
    into = {"Neck": "Head"} | {f"Toes.{side}": f"Foot.{side}" for side in "LR"}
    into |= {f"Shoulder.{side}": "Chest" for side in "LR"}
    heir_of_neck = rig.heads[rig.index("Neck")].copy()
    rig = _neckless(rig.merged({bone: heir for bone, heir in into.items() if bone != "Neck"}))
    rig.heads[rig.index("Head")] = heir_of_neck
    names = ["Bone", *(f"Bone.{number:03d}" for number in range(1, len(rig.bones)))]
    return rig.renamed(dict(zip(rig.bones, names, strict=True)))


def _neckless(rig: RigArrays) -> RigArrays:
    """The head right on the chest, with the skin of the neck."""
    chest, neck, head = (rig.index(bone) for bone in ("Chest", "Neck", "Head"))
    rig.weights[:, head] += rig.weights[:, neck]
    rig.weights[:, neck] = 0
    rig.parents[head] = chest
    return rig.merged({"Neck": "Chest"})


def pointing(rig: RigArrays, limbs: list[dict[str, np.ndarray | None]]) -> RigArrays:
    """The same in another rest pose.

    Args:
        rig: the figure.
        limbs: for each limb its bones, from the body outwards, and where each is to point; None: as it was.
    """
    turns = {}
    for limb in limbs:
        above = np.eye(3)
        for bone, direction in limb.items():
            number = rig.index(bone)
            along = rig.tails[number] - rig.heads[number]
            whole = np.eye(3) if direction is None else shortest_turn(along, direction)
            turns[bone] = above.T @ whole
            above = whole
    return rig.reshaped(turns, {})


def shortest_turn(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes one direction to another, which is not its opposite."""
    a, b = one / np.linalg.norm(one), other / np.linalg.norm(other)
    cross = np.cross(a, b)
    x, y, z = cross
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + a @ b)
