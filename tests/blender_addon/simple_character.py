# SPDX-License-Identifier: GPL-3.0-or-later
"""A character with Mixamo's names in a T-pose, made in a moment, and a recovered body to move it."""

import atexit
import json
import os
import tempfile
from pathlib import Path

import bpy
import numpy as np
from recover_motion.import_motion import import_motion
from smpl_reference import write_motion

# name: parent, head, tail; metres, z up, facing -y, 1.7 m tall
_CENTRE = {
    "Hips": ("", (0, 0, 0.95), (0, 0, 1.05)),
    "Spine": ("Hips", (0, 0, 1.05), (0, 0, 1.17)),
    "Spine1": ("Spine", (0, 0, 1.17), (0, 0, 1.29)),
    "Spine2": ("Spine1", (0, 0, 1.29), (0, 0, 1.42)),
    "Neck": ("Spine2", (0, 0, 1.42), (0, 0, 1.52)),
    "Head": ("Neck", (0, 0, 1.52), (0, 0, 1.7)),
}
_LEFT = {
    "LeftShoulder": ("Spine2", (0.04, 0, 1.38), (0.16, 0, 1.38)),
    "LeftArm": ("LeftShoulder", (0.16, 0, 1.38), (0.44, 0, 1.38)),
    "LeftForeArm": ("LeftArm", (0.44, 0, 1.38), (0.7, 0, 1.38)),
    "LeftHand": ("LeftForeArm", (0.7, 0, 1.38), (0.86, 0, 1.38)),
    "LeftUpLeg": ("Hips", (0.09, 0, 0.92), (0.09, -0.01, 0.5)),
    "LeftLeg": ("LeftUpLeg", (0.09, -0.01, 0.5), (0.09, 0, 0.09)),
    "LeftFoot": ("LeftLeg", (0.09, 0, 0.09), (0.09, -0.12, 0.02)),
    "LeftToeBase": ("LeftFoot", (0.09, -0.12, 0.02), (0.09, -0.2, 0.02)),
}


def add_character(
    name: str = "Hero", prefix: str = "mixamorig:", without: tuple[str, ...] = (), skin: bool = True
) -> bpy.types.Object:
    """A character in the present scene, in Object Mode; it is active and selected then.

    Args:
        name: of the armature object.
        prefix: before the names of all bones.
        without: bones that it lacks, by their names without the prefix.
        skin: give it a mesh that hangs on it.
    """
    bones = dict(_CENTRE)
    for side, (bone, (parent, head, tail)) in [(s, b) for s in (1, -1) for b in _LEFT.items()]:
        if side == 1:
            bones[bone] = (parent, head, tail)
        else:
            swapped = [text.replace("Left", "Right") for text in (bone, parent)]
            bones[swapped[0]] = (swapped[1], *[(-x, y, z) for x, y, z in (head, tail)])
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for bone, (parent, head, tail) in bones.items():
        if bone in without:
            continue
        new = armature.data.edit_bones.new(prefix + bone)
        new.head, new.tail = head, tail
        new.parent = armature.data.edit_bones.get(prefix + parent) if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    if skin:
        _add_skin(armature)
    return armature


def _add_skin(armature: bpy.types.Object) -> None:
    """A little box around each bone, fully weighted to it."""
    corners = 0.03 * np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    sides = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    points, faces = [], []
    for bone in armature.data.bones:
        for end in (bone.head_local, bone.tail_local):
            faces += [tuple(len(points) + corner for corner in side) for side in sides]
            points += [tuple(corner + np.array(end)) for corner in corners]
    mesh = bpy.data.meshes.new(f"{armature.name}.skin")
    mesh.from_pydata(points, [], faces)
    skin = bpy.data.objects.new(f"{armature.name}.skin", mesh)
    bpy.context.scene.collection.objects.link(skin)
    for number, bone in enumerate(armature.data.bones):
        skin.vertex_groups.new(name=bone.name).add(range(16 * number, 16 * number + 16), 1.0, "REPLACE")
    skin.parent = armature
    skin.modifiers.new("Armature", "ARMATURE").object = armature


def write_stroll(path: Path, count: int = 12) -> Path:
    """A motion file of somebody upright who sways and drifts forward; not a real walk, feet slide."""
    time = np.arange(count)[:, None]
    poses = 0.1 * np.sin(time / 9 + np.arange(72))
    poses[:, :3] = (np.pi / 2, 0.0, 0.0)  # AMASS: bodies lie along y at rest, and the world is z up
    trans = np.hstack([np.zeros((count, 1)), -0.01 * time, np.full((count, 1), 0.95)])
    footage = {"name": f"{path.name}.mp4", "sha256": path.name}
    meta = {"schema": 1, "model": "open", "body": "open", "footage": footage}
    return write_motion(
        path, count=count, poses=poses, trans=trans, betas=np.zeros(10), meta=np.array(json.dumps(meta))
    )


def bring_in(folder: Path, body: Path, count: int = 12, clip: str = "walk") -> bpy.types.Object:
    """Import a recovered body that strolls; returns its armature.

    Importing takes a quarter of a second, so that from the second time on it is appended from a file.

    Args:
        folder: the motion file is written there.
        body: the body file.
        count: of frames.
        clip: name of the clip.
    """
    made = Path(tempfile.gettempdir(), f"recover_motion_stroll_{os.getpid()}_{clip}_{count}.blend")
    name = f"{clip}.person01"
    if not made.exists():
        path = write_stroll(folder / f"{name}.npz", count)
        imported = import_motion(bpy.context, [path], body_path=body)
        bpy.data.libraries.write(str(made), {imported.collection})
        atexit.register(made.unlink, missing_ok=True)
        return imported.armatures[0]
    with bpy.data.libraries.load(str(made), link=False) as (_, wanted):
        wanted.collections = [clip]
    (collection,) = wanted.collections
    bpy.context.scene.collection.children.link(collection)
    armature = next(thing for thing in collection.objects if thing.type == "ARMATURE")
    bpy.context.view_layer.objects.active = armature
    return armature
