# SPDX-License-Identifier: GPL-3.0-or-later
"""A generated Rigify human: Rigify's own metarig fitted to a MakeHuman figure, generated, and skinned.

It has no face: no motion goes there, and Rigify makes faces by changing modes once for each bone, which takes
half a minute. The rest is generated in about a second, once, and kept in a .blend in Blender's user folder,
which the tests have of their own; from there it is appended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import addon_utils
import bpy
import numpy as np
import recover_motion
from mathutils import Vector
from recover_motion.edit_mode import edit_mode

from .makehuman import figure
from .rig_from_arrays import Character, RigArrays, add_skin
from .skin_shares import shared_along

NAME = "rigify"

_FINGERS = {"Index": "f_index", "Middle": "f_middle", "Ring": "f_ring", "Pinky": "f_pinky"}


def rigify_human(scene: bpy.types.Scene) -> Character:
    """The character, appended from the file that holds it."""
    with bpy.data.libraries.load(str(made_by_rigify("human")), link=False) as (_, wanted):
        wanted.objects = [NAME, f"{NAME}.body"]
    for thing in wanted.objects:
        scene.collection.objects.link(thing)
    rig, mesh = wanted.objects
    return Character(rig, mesh, NAME)


def rigify_armature(scene: bpy.types.Scene, kind: Literal["basic", "metarig"]) -> bpy.types.Object:
    """Rigify's own basic human, generated, or the metarig that it is generated from; appended."""
    with bpy.data.libraries.load(str(made_by_rigify(kind)), link=False) as (_, wanted):
        wanted.objects = [NAME]
    (rig,) = wanted.objects
    scene.collection.objects.link(rig)
    bpy.context.view_layer.update()
    return rig


def made_by_rigify(kind: Literal["human", "basic", "metarig"]) -> Path:
    """A .blend with what Rigify makes; made the first time, by a process of its own.

    What Rigify registers, and the scripts of its rigs, upset Blender as a module: 4.5 never ends, and 4.2
    sometimes crashes a good while later.
    """
    path = Path(bpy.utils.resource_path("USER")) / "characters" / f"{kind}.blend"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        code = f"import bpy; from characters.rigify_human import make; make({kind!r}, {str(path)!r})"
        folders = os.pathsep.join(str(Path(one).parents[1]) for one in (__file__, recover_motion.__file__))
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": folders},
            capture_output=True,
            text=True,
            check=False,
        )
        assert path.is_file(), done.stdout + done.stderr
    return path


def make(kind: str, path: str) -> None:
    """Make the file, in a process that ends with it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("rigify", default_set=True)
    if kind == "human":
        _make(bpy.context.scene, Path(path))
    else:
        bpy.ops.object.armature_basic_human_metarig_add()
        if kind == "basic":
            bpy.ops.pose.rigify_generate()
        rig = bpy.context.view_layer.objects.active
        rig.name = NAME
        bpy.data.libraries.write(path, {rig}, fake_user=False)
    sys.stdout.flush()
    os._exit(0)


def _make(scene: bpy.types.Scene, path: Path) -> None:
    """Generate the rig and write it to a file."""
    person = figure("mixamo", "athlete")
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.view_layer.objects.active
    with edit_mode(bpy.context, metarig):
        _fit(metarig.data.edit_bones, person)
    bpy.context.view_layer.objects.active = metarig
    bpy.ops.pose.rigify_generate()
    rig = bpy.context.view_layer.objects.active
    rig.name = rig.data.name = NAME
    bones = tuple(bone.name for bone in rig.data.bones)
    mesh = add_skin(scene, rig, _skinned(person, bones))
    bpy.data.libraries.write(str(path), {rig, mesh}, fake_user=False)


def _fit(bones: bpy.types.ArmatureEditBones, person: RigArrays) -> None:
    """Put the metarig's bones where the figure's joints are."""
    ends = _ends(person)
    for bone in [*bones["face"].children_recursive, bones["face"]]:
        bones.remove(bone)
    old = {bone.name: (bone.head.copy(), bone.tail.copy(), bone.z_axis.copy()) for bone in bones}
    chest = (
        np.linalg.norm(ends["spine.003"][1] - ends["spine.003"][0])
        / (old["spine.003"][1] - old["spine.003"][0]).length
    )
    for bone in bones:
        if bone.name.startswith("breast"):
            begin = old["spine.003"][0]
            ends[bone.name] = [
                ends["spine.003"][0] + chest * np.array(end - begin) for end in old[bone.name][:2]
            ]
    for bone in bones:
        bone.head, bone.tail = (Vector(end) for end in ends[bone.name])
        bone.align_roll(old[bone.name][2])


def _ends(person: RigArrays) -> dict[str, list[np.ndarray]]:
    """Head and tail of the metarig's bones, but for face and breasts."""

    def head(bone: str) -> np.ndarray:
        return person.heads[person.index(f"mixamorig:{bone}")]

    def tail(bone: str) -> np.ndarray:
        return person.tails[person.index(f"mixamorig:{bone}")]

    neck = [head("Neck"), (head("Neck") + head("Head")) / 2, head("Head"), tail("Head")]
    spine = [head("Hips"), head("Spine"), head("Spine1"), head("Spine2"), *neck]
    ends = {"spine": spine[:2]}
    ends |= {f"spine.{number:03d}": spine[number : number + 2] for number in range(1, 7)}
    for side in ("Left", "Right"):
        s = side[0]
        arm, hand = head(f"{side}Arm"), head(f"{side}Hand")
        ends[f"shoulder.{s}"] = [head(f"{side}Shoulder"), head(f"{side}Shoulder") * 0.1 + arm * 0.9]
        ends[f"upper_arm.{s}"] = [arm, head(f"{side}ForeArm")]
        ends[f"forearm.{s}"] = [head(f"{side}ForeArm"), hand]
        ends[f"hand.{s}"] = [hand, tail(f"{side}Hand")]
        for number, (theirs, ours) in enumerate((*_FINGERS.items(), ("Thumb", "thumb")), start=1):
            joints = [head(f"{side}Hand{theirs}{joint}") for joint in (1, 2, 3)]
            joints.append(tail(f"{side}Hand{theirs}3"))
            for joint in (1, 2, 3):
                ends[f"{ours}.{joint:02d}.{s}"] = joints[joint - 1 : joint + 1]
            if ours != "thumb":
                ends[f"palm.{number:02d}.{s}"] = [0.7 * hand + 0.3 * joints[0], joints[0]]
        hip, ankle, ball = head(f"{side}UpLeg"), head(f"{side}Foot"), head(f"{side}ToeBase")
        ends[f"pelvis.{s}"] = [spine[0], spine[0] + (hip - spine[0]) * (1.1, 0, 0) + [0, -0.08, 0.1]]
        ends[f"thigh.{s}"] = [hip, head(f"{side}Leg")]
        ends[f"shin.{s}"] = [head(f"{side}Leg"), ankle]
        ends[f"foot.{s}"] = [ankle, ball]
        ends[f"toe.{s}"] = [ball, tail(f"{side}ToeBase")]
        near = np.abs(person.vertices[:, 0] - ankle[0]) < 0.06
        back = person.vertices[near & (person.vertices[:, 2] < 0.03)][:, 1].max()
        out = np.sign(ankle[0])
        ends[f"heel.02.{s}"] = [np.array([ankle[0] + across * out, back, 0.0]) for across in (-0.04, 0.04)]
    return ends


def _skinned(person: RigArrays, bones: tuple[str, ...]) -> RigArrays:
    """The figure's skin with shares of Rigify's DEF bones; only names and weights of the result matter."""
    weights = np.zeros((len(person.vertices), len(bones)))
    for bone in person.bones:
        for name, share in shared_along(person, bone, _deforming(bone.removeprefix("mixamorig:"))).items():
            weights[:, bones.index(name)] += share
    return RigArrays(
        bones,
        np.full(len(bones), -1),
        np.zeros((len(bones), 3)),
        np.zeros((len(bones), 3)),
        np.zeros(len(bones)),
        person.vertices,
        person.faces,
        weights,
    )


def _deforming(bone: str) -> dict[str, float]:
    """Which DEF bones hold what a bone of the figure holds, and where along it."""
    spine = {"Hips": "", "Spine": ".001", "Spine1": ".002", "Spine2": ".003", "Head": ".006"}
    if bone in spine:
        return {f"DEF-spine{spine[bone]}": 0.0}
    if bone == "Neck":
        return {"DEF-spine.004": 0.25, "DEF-spine.005": 0.75}
    side, part = ("L", bone[4:]) if bone.startswith("Left") else ("R", bone[5:])
    halves = {"Arm": "upper_arm", "ForeArm": "forearm", "UpLeg": "thigh", "Leg": "shin"}
    if part in halves:
        return {f"DEF-{halves[part]}.{side}": 0.25, f"DEF-{halves[part]}.{side}.001": 0.75}
    whole = {"Shoulder": "shoulder", "Hand": "hand", "Foot": "foot", "ToeBase": "toe"}
    if part in whole:
        return {f"DEF-{whole[part]}.{side}": 0.0}
    finger, joint = part[len("Hand") : -1], part[-1]
    return {f"DEF-{(_FINGERS | {'Thumb': 'thumb'})[finger]}.0{joint}.{side}": 0.0}
