# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion onto rigs whose right poses are known, and what carries it through the world."""

import bpy
import numpy as np
import pytest
from characters import character
from characters.exact import a_pose, same_directions
from characters.motions import Source, random_poses, walk
from mathutils import Matrix
from recover_motion.compat import curves_of
from recover_motion.retarget.mapping import ROLES, BoneMap
from recover_motion.retarget.options import Options
from retargeting_in_blender import bare, bare_walk, detected, go, mapped


def directions(rig: bpy.types.Object, bones: list[str]) -> np.ndarray:
    world = rig.matrix_world.to_3x3()
    return np.array([(world @ rig.pose.bones[name].vector).normalized() for name in bones], float)


def worst_direction(source: Source, rig: bpy.types.Object, bone_map: BoneMap, every: int = 1) -> float:
    """Largest angle, in degrees, between a bone and the source's, over the frames."""
    worst = 0.0
    for frame in range(source.frames[0], source.frames[1] + 1, every):
        bpy.context.scene.frame_set(frame)
        ours = directions(rig, [bone_map.bones[role][0] for role in ROLES])
        theirs = directions(source.armature, list(ROLES))
        apart = np.linalg.norm(ours - theirs, axis=1)
        worst = max(worst, float(np.degrees(2 * np.arcsin(apart / 2)).max()))
    return worst


def middle_of_hips(rig: bpy.types.Object, bones: tuple[str, str]) -> np.ndarray:
    return np.mean([rig.matrix_world @ rig.pose.bones[name].head for name in bones], axis=0)


def leg_of(rig: bpy.types.Object, names: tuple[str, str, str]) -> float:
    hip, knee, ankle = (rig.data.bones[name].head_local for name in names)
    return rig.matrix_world.to_scale().x * ((hip - knee).length + (knee - ankle).length)


# --- right poses


@pytest.mark.parametrize("seed", range(3))
def test_rigs_that_differ_in_roll_size_names_and_transform_point_the_same_way(scene, tmp_path, seed) -> None:
    source = random_poses(tmp_path, seed=seed)
    rig = same_directions(source.armature, seed, scene)
    bone_map = mapped(rig.bones)
    bare(source)
    bpy.data.objects.remove(rig.mesh)
    made = go(source, rig.armature, bone_map)
    assert made.frame_range == source.frames
    assert worst_direction(source, rig.armature, bone_map, every=1 if seed == 0 else 8) < 0.1
    assert made.degrees < 0.1
    assert made.notes == ()


@pytest.mark.parametrize("degrees", [45])
def test_a_pose_points_the_same_way_after_the_correction(scene, tmp_path, degrees) -> None:
    source = random_poses(tmp_path, seed=9)
    rig = a_pose(source.armature, degrees, scene)
    bone_map = mapped(rig.bones)
    bare(source)
    bpy.data.objects.remove(rig.mesh)
    go(source, rig.armature, bone_map)
    assert worst_direction(source, rig.armature, bone_map, every=2) < 0.1
    go(source, rig.armature, bone_map, Options(feet="OFF", alignment="REST"))
    assert worst_direction(source, rig.armature, bone_map, every=20) > degrees - 1


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE"])
def test_rotation_modes_of_the_rig_stay(scene, tmp_path, mode) -> None:
    source = random_poses(tmp_path, seed=4, count=20)
    rig = same_directions(source.armature, 4, scene)
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    bone_map = mapped(rig.bones)
    go(source, rig.armature, bone_map)
    assert worst_direction(source, rig.armature, bone_map) < 0.1
    assert {bone.rotation_mode for bone in rig.armature.pose.bones} == {mode}
    names = {"AXIS_ANGLE": "rotation_axis_angle"}
    paths = {curve.data_path.rsplit(".", 1)[1] for curve in curves_of(rig.armature)}
    assert paths == {"location", names.get(mode, "rotation_euler")}


def test_pose_taken_for_the_sources_rest(scene, tmp_path) -> None:
    """An artist poses a rig like the source's rest by hand: it follows from there."""
    source = random_poses(tmp_path, seed=11, count=20)
    rig = a_pose(source.armature, 45, scene)
    for side, sign in (("left", -1), ("right", 1)):
        for name, axis, degrees in ((f"{side}_shoulder", "Y", 45 * sign), (f"{side}_elbow", "Z", 15 * -sign)):
            bone = rig.armature.pose.bones[name]
            bone.rotation_mode = "QUATERNION"
            rest = bone.bone.matrix_local.to_3x3()
            turn = rest.inverted() @ Matrix.Rotation(np.radians(degrees), 3, axis) @ rest
            bone.rotation_quaternion = turn.to_quaternion()
    bpy.context.view_layer.update()
    bones = source.armature.data.bones
    rest = {role: (bones[role].tail_local - bones[role].head_local).normalized() for role in ROLES}
    posed = directions(rig.armature, list(ROLES))
    missed = max(np.linalg.norm(posed - [rest[role] for role in ROLES], axis=1))
    assert missed < 0.1  # the pose is about the source's rest, and not quite
    go(source, rig.armature, mapped(rig.bones), Options(feet="OFF", alignment="POSE"))
    assert worst_direction(source, rig.armature, mapped(rig.bones)) < np.degrees(missed) + 0.1


def test_hips_go_the_sources_way_scaled_by_the_legs(scene, tmp_path) -> None:
    source = walk(tmp_path, count=30)
    rig = same_directions(source.armature, 2, scene)
    go(source, rig.armature, mapped(rig.bones))
    legs = ("left_hip", "left_knee", "left_ankle")
    ratio = leg_of(rig.armature, tuple(rig.bones[name] for name in legs)) / leg_of(source.armature, legs)
    assert abs(ratio - 1) > 0.05
    theirs, ours = [], []
    for frame in range(source.frames[0], source.frames[1] + 1):
        scene.frame_set(frame)
        theirs.append(middle_of_hips(source.armature, ("left_hip", "right_hip")))
        ours.append(middle_of_hips(rig.armature, (rig.bones["left_hip"], rig.bones["right_hip"])))
    theirs, ours = np.array(theirs), np.array(ours)
    np.testing.assert_allclose(ours[0, :2], theirs[0, :2], atol=1e-4)
    np.testing.assert_allclose(ours[:, :2] - ours[0, :2], ratio * (theirs[:, :2] - theirs[0, :2]), atol=2e-3)
    np.testing.assert_allclose(ours[:, 2], ratio * theirs[:, 2], rtol=0.01)


# --- what carries the motion


def pose_in_world(rig: bpy.types.Object, bones: list[str]) -> np.ndarray:
    return np.array([rig.matrix_world @ rig.pose.bones[name].matrix for name in bones])


@pytest.mark.parametrize("carrier", ["BONE", "OBJECT"])
def test_carrier_takes_the_way_and_the_body_is_where_it_was(scene, tmp_path, carrier) -> None:
    source = bare_walk(tmp_path, 100)
    rig = character("mannequin", scene).armature
    bone_map = detected(rig)
    body = [name for names in bone_map.bones.values() for name in names]
    poses = {}
    for root in ("PELVIS", carrier):
        go(source, rig, bone_map, Options(root=root))
        poses[root], ways = [], []
        for frame in range(source.frames[0], source.frames[1] + 1, 6):
            scene.frame_set(frame)
            poses[root].append(pose_in_world(rig, body))
            carried = rig.matrix_world @ (rig.pose.bones["root"].matrix if carrier == "BONE" else Matrix())
            ways.append(carried.copy())
    np.testing.assert_allclose(poses[carrier], poses["PELVIS"], atol=2e-4)
    places = np.array([way.translation for way in ways])
    assert np.abs(places[:, 2]).max() < 1e-4  # on the floor
    assert np.ptp(places[:, :2], axis=0).max() > 1  # and on its way
    turn = (ways[-1] @ ways[0].inverted()).to_quaternion()
    assert turn.angle > 0.7  # round the bend
    assert abs(turn.axis.z) > 0.999


def test_character_performs_where_it_stands(scene, tmp_path) -> None:
    source = walk(tmp_path, count=30)
    rig = same_directions(source.armature, 5, scene)
    placed = Matrix.Translation((10, -4, 0)) @ Matrix.Rotation(2.0, 4, "Z")
    rig.armature.matrix_world = placed @ rig.armature.matrix_world
    bpy.context.view_layer.update()
    bones = (rig.bones["left_hip"], rig.bones["right_hip"])
    stood = middle_of_hips(rig.armature, bones)
    go(source, rig.armature, mapped(rig.bones), Options(feet="OFF", place="TARGET"))
    scene.frame_set(source.frames[0])
    np.testing.assert_allclose(middle_of_hips(rig.armature, bones)[:2], stood[:2], atol=1e-3)
    assert np.abs(stood[:2]).max() > 1


def test_in_place_stays_in_place(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 40)
    rig = character("mixamo", scene).armature
    go(source, rig, options=Options(in_place="FULL"))
    places = []
    for frame in range(source.frames[0], source.frames[1] + 1, 3):
        scene.frame_set(frame)
        places.append(middle_of_hips(rig, ("mixamorig:LeftUpLeg", "mixamorig:RightUpLeg")))
    assert np.ptp(np.array(places)[:, :2], axis=0).max() < 1e-4


def test_keys_every_so_many_frames(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 30)
    rig = character("mixamo", scene).armature
    go(source, rig, options=Options(feet="OFF", every=4))
    for curve in curves_of(rig):
        assert [key.co.x for key in curve.keyframe_points] == [*range(1, 30, 4), 30]
