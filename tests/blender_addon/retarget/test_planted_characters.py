# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted feet where it counts: on characters in the scene, measured on their bones and their skin."""

import bpy
import numpy as np
import pytest
from characters import character
from characters.motions import walk
from recover_motion.retarget.detection import detect
from recover_motion.retarget.easing import runs
from recover_motion.retarget.mapping import BoneMap
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.retarget import retarget
from recover_motion.retarget.rig_bones import rig_bones


def bone_map_of(rig: bpy.types.Object) -> BoneMap:
    return detect(rig_bones(rig), built_in_presets())[0].bone_map


def feet_in_scene(rig: bpy.types.Object, bone_map: BoneMap, frames: range) -> np.ndarray:
    """(T, 2, 2, 3) places of two points of each foot's bone: where it begins and where it ends."""
    places = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        bones = [rig.pose.bones[bone_map.bones[f"{side}_ankle"][0]] for side in ("left", "right")]
        places.append([[rig.matrix_world @ end for end in (bone.head, bone.tail)] for bone in bones])
    return np.array(places)


def lowest_of_skin(mesh: bpy.types.Object, frames: range) -> float:
    """Height of the lowest point that the skin ever has."""
    lowest = np.inf
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.empty(3 * len(shown.data.vertices), np.float32)
        shown.data.vertices.foreach_get("co", points)
        world = np.array(shown.matrix_world)
        lowest = min(lowest, float((points.reshape(-1, 3) @ world[2, :3] + world[2, 3]).min()))
    return lowest


@pytest.mark.parametrize("name", ["game_engine", "fbx_mixamo", "cartoon_plain"])
def test_feet_stand_still_and_out_of_the_floor(name, scene, tmp_path):
    source = walk(tmp_path, count=60)
    made = character(name, scene)
    bone_map = bone_map_of(made.armature)
    frames = range(source.frames[0], source.frames[1] + 1)
    bpy.data.objects.remove(source.mesh)
    retarget(bpy.context, source.armature, made.armature, bone_map, Options())
    # skin that is shared out between foot and toes goes in by some millimetres where they bend, floor or not
    assert lowest_of_skin(made.mesh, frames[::3]) > -0.008
    places = feet_in_scene(made.armature, bone_map, frames)
    flat = source.contacts.reshape(-1, 2, 2).astype(bool).all(axis=2)
    spans = [(side, *span) for side in (0, 1) for span in runs(flat[:, side])]
    assert len(spans) >= 3
    for side, start, end in spans:
        inside = places[start + 2 : end - 2, side]
        if len(inside):
            assert np.ptp(inside, axis=0).max() < 0.005


def test_in_place_bends_the_legs_as_going_does(scene, tmp_path):
    """Feet that slide on a treadmill are planted all the same, and leave it as they leave the floor."""
    source = walk(tmp_path, count=40)
    bpy.data.objects.remove(source.mesh)
    rig = character("game_engine", scene).armature
    bone_map = bone_map_of(rig)
    turns = []
    for in_place in ("OFF", "FULL"):
        retarget(bpy.context, source.armature, rig, bone_map, Options(in_place=in_place))
        for frame in range(source.frames[0], source.frames[1] + 1, 4):
            scene.frame_set(frame)
            turns.append(
                [
                    np.array(rig.pose.bones[bone_map.bones[f"{side}_{part}"][0]].matrix.to_3x3())
                    for side in ("left", "right")
                    for part in ("hip", "knee", "ankle")
                ]
            )
    going, staying = np.array(turns).reshape(2, -1, 3, 3)
    np.testing.assert_allclose(going, staying, atol=1e-4)
