# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted feet where it counts: on characters in the scene, measured on their bones and their skin."""

import bpy
import numpy as np
import pytest
from characters import CHARACTERS, character
from characters.motions import demo, walk
from recover_motion.retarget.contacts import find_contacts
from recover_motion.retarget.detection import detect
from recover_motion.retarget.easing import runs
from recover_motion.retarget.mapping import BoneMap
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.retarget import retarget
from recover_motion.retarget.rig_bones import rig_bones
from recover_motion.retarget.source_motion import read_source

pytestmark = pytest.mark.once


def bone_map_of(rig: bpy.types.Object) -> BoneMap:
    return detect(rig_bones(rig), built_in_presets())[0].bone_map


def sole_of(mesh: bpy.types.Object) -> list[np.ndarray]:
    """Vertices under left heel, left toes, right heel, right toes: skin within 15 mm of the floor at rest."""
    points = np.array([mesh.matrix_world @ vertex.co for vertex in mesh.data.vertices])
    low = points[:, 2] < points[:, 2].min() + 0.015
    parts = []
    for side in (1, -1):
        foot = low & (side * points[:, 0] > 0)
        front, back = points[foot, 1].min(), points[foot, 1].max()  # the figure faces -y
        length = back - front
        parts.append(np.flatnonzero(foot & (points[:, 1] > back - 0.2 * length)))
        parts.append(np.flatnonzero(foot & (points[:, 1] < front + 0.15 * length)))
    return parts


def in_scene(
    mesh: bpy.types.Object, parts: list[np.ndarray], knees: list, frames: range
) -> tuple[np.ndarray, np.ndarray]:
    """Per part its level place and its lowest height (T, 4, 3), as skinned; angles of the knees (T, 2),
    radians.
    """
    places, angles = [], []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.empty(3 * len(shown.data.vertices), np.float32)
        shown.data.vertices.foreach_get("co", points)
        world = np.array(shown.matrix_world)
        points = points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
        places.append([[*points[part, :2].mean(axis=0), points[part, 2].min()] for part in parts])
        angles.append([(hip.head - knee.head).angle(foot.head - knee.head) for hip, knee, foot in knees])
    return np.array(places), np.array(angles)


def knees_of(rig: bpy.types.Object, bones: dict[str, tuple[str, ...]]) -> list:
    return [
        [rig.pose.bones[bones[f"{side}_{part}"][0]] for part in ("hip", "knee", "ankle")]
        for side in ("left", "right")
    ]


def sharpest(angles: np.ndarray) -> float:
    return float(np.abs(np.diff(angles, n=2, axis=0)).max())


@pytest.mark.parametrize("name", CHARACTERS)
def test_feet_stand_still_and_out_of_the_floor(name, scene, tmp_path):
    """On the skin, where the source's heels and toes are known to stand; and knees do not pop."""
    source = walk(tmp_path, count=60)
    made = character(name, scene)
    bone_map = bone_map_of(made.armature)
    frames = range(source.frames[0], source.frames[1] + 1)
    bpy.data.objects.remove(source.mesh)
    parts = sole_of(made.mesh)
    retarget(bpy.context, source.armature, made.armature, bone_map, Options())
    places, angles = in_scene(made.mesh, parts, knees_of(made.armature, bone_map.bones), frames)
    # skin that foot and toes share goes in by some millimetres where the toes bend, floor or not
    assert places[..., 2].min() > -0.008
    spans = [(part, *span) for part in range(4) for span in runs(source.contacts[:, part].astype(bool))]
    assert len(spans) >= 6
    for part, start, end in spans:
        # what stands at the clip's ends stands from there on
        inside = places[start + (start > 0) : end - (end < len(places)), part]
        if len(inside):
            assert np.linalg.norm(inside[:, :2] - inside[:, :2].mean(axis=0), axis=1).max() < 0.005
            assert inside[:, 2].min() > -0.005
            assert np.median(inside[:, 2]) < 0.008  # and does not float
    bones = source.armature.pose.bones
    legs = [[bones[f"{side}_{part}"] for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
    before = []
    for frame in frames:
        scene.frame_set(frame)
        before.append([(hip.head - knee.head).angle(foot.head - knee.head) for hip, knee, foot in legs])
    most = 3.0 if "cartoon" in name else 1.25  # feet as long as the legs take the knees along
    assert sharpest(angles) < most * sharpest(np.array(before))


@pytest.mark.parametrize("name", CHARACTERS)
def test_recovered_motion_is_planted_where_it_stands(name, scene, tmp_path):
    source = demo(tmp_path)
    made = character(name, scene)
    bone_map = bone_map_of(made.armature)
    frames = range(source.frames[0], source.frames[1] + 1)
    bpy.data.objects.remove(source.mesh)
    contacts = find_contacts(read_source(bpy.context, source.armature).soles, 30.0, "AUTOMATIC")
    parts = sole_of(made.mesh)
    retarget(bpy.context, source.armature, made.armature, bone_map, Options())
    places, _ = in_scene(made.mesh, parts, knees_of(made.armature, bone_map.bones), frames)
    if "cartoon" not in name:  # in the air, the skin of the cartoons' long feet folds where their toes bend
        assert places[..., 2].min() > -0.008
    stands = 0
    for side in (0, 1):
        flat = contacts.heel[:, side] & contacts.ball[:, side]
        for start, end in runs(flat):
            for part in (2 * side, 2 * side + 1):
                inside = places[start:end, part]
                assert np.linalg.norm(inside[:, :2] - inside[:, :2].mean(axis=0), axis=1).max() < 0.005
                assert inside[:, 2].min() > -0.005
            stands += end - start
    assert stands > 40


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
