# SPDX-License-Identifier: GPL-3.0-or-later
"""The recovered body's motion in the world, from its curves and by stepping, against what Blender shows."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix
from recover_motion.compat import Channels
from recover_motion.import_motion import import_motion
from recover_motion.retarget.problem import RetargetProblem
from recover_motion.retarget.source_motion import SourceMotion, read_source
from recover_motion.rotations import matrix_from_quat, matrix_from_rotvec
from recover_motion.skeleton import INDEX, JOINT_NAMES
from smpl_reference import write_motion

COUNT = 12


@pytest.fixture
def armature(scene, tmp_path: Path, open_body_path: Path) -> bpy.types.Object:
    path = write_motion(tmp_path / "clip.person01.npz", count=COUNT, seed=3, betas=np.zeros(10))
    return import_motion(bpy.context, [path], body_path=open_body_path).armatures[0]


def in_scene(armature: bpy.types.Object, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heads (T, 24, 3) and rotations away from the rest pose (T, 24, 3, 3), as Blender has them."""
    heads, turns = [], []
    rest_world = np.array(armature.matrix_world.to_3x3().normalized())
    for frame in frames.tolist():
        bpy.context.scene.frame_set(frame)
        world = armature.matrix_world
        heads.append([world @ armature.pose.bones[name].head for name in JOINT_NAMES])
        turns.append(
            [
                np.array((world @ armature.pose.bones[name].matrix).to_3x3().normalized())
                @ (rest_world @ np.array(armature.data.bones[name].matrix_local.to_3x3())).T
                for name in JOINT_NAMES
            ]
        )
    return np.array(heads), np.array(turns)


def agrees(found: SourceMotion, armature: bpy.types.Object, metres: float = 1e-4) -> None:
    heads, turns = in_scene(armature, found.frames)
    np.testing.assert_allclose(found.joints, heads, atol=metres)
    np.testing.assert_allclose(matrix_from_quat(found.turns), turns, atol=1e-4)


def test_curves_say_what_blender_shows(armature) -> None:
    found = read_source(bpy.context, armature)
    assert found.frames.tolist() == list(range(1, COUNT + 1))
    agrees(found, armature)
    np.testing.assert_allclose(found.axes, np.eye(3), atol=1e-6)


def test_body_that_was_moved_turned_and_scaled(armature) -> None:
    armature.matrix_world = (
        Matrix.Translation((1, 2, 3)) @ Euler((0.3, -0.5, 2)).to_matrix().to_4x4() @ Matrix.Scale(1.7, 4)
    )
    bpy.context.view_layer.update()
    found = read_source(bpy.context, armature)
    agrees(found, armature, 5e-4)
    hip, knee = INDEX["left_hip"], INDEX["left_knee"]
    thigh = np.linalg.norm(found.joints[:, hip] - found.joints[:, knee], axis=1)
    rest = np.linalg.norm(found.rest_joints[hip] - found.rest_joints[knee])
    np.testing.assert_allclose(thigh, rest, rtol=1e-5)
    np.testing.assert_allclose(found.axes, np.array(armature.matrix_world.to_3x3().normalized()), atol=1e-6)


@pytest.mark.parametrize("how", ["strip", "constraint", "object", "euler"])
def test_whatever_else_moves_the_body_counts(armature, how: str) -> None:
    plain = read_source(bpy.context, armature)
    animation, bones = armature.animation_data, armature.pose.bones
    if how == "strip":  # a layer of the NLA under the action: curves that the action lacks
        action = animation.action
        extra = Channels(armature, "extra", "Recovered")
        curve = extra.new("location", 0, "Object")
        curve.keyframe_points.insert(1, 0.0)
        curve.keyframe_points.insert(COUNT, 2.0)
        track = animation.nla_tracks.new()
        track.strips.new("extra", 1, extra.action)
        animation.action = action
    elif how == "constraint":
        turn = bones["head"].constraints.new("LIMIT_ROTATION")
        turn.use_limit_x, turn.max_x = True, 0.1
        turn.owner_space = "LOCAL"
    elif how == "object":
        armature.keyframe_insert("location", frame=1)
        armature.location.y = 3
        armature.keyframe_insert("location", frame=COUNT)
    else:
        bones["head"].rotation_mode = "XYZ"
        bones["head"].rotation_euler = (0.5, 0, 0)
    bpy.context.scene.frame_set(5)
    found = read_source(bpy.context, armature, (2, 9))
    assert bpy.context.scene.frame_current == 5
    assert found.frames.tolist() == list(range(2, 10))
    heads, _ = in_scene(armature, found.frames)
    np.testing.assert_allclose(found.joints, heads, atol=1e-4)
    changed = np.abs(found.turns - plain.turns[1:9]).max() + np.abs(found.joints - plain.joints[1:9]).max()
    assert changed > 0.01  # or this test would see nothing


def test_only_the_frames_that_were_asked_for(armature) -> None:
    whole = read_source(bpy.context, armature)
    some = read_source(bpy.context, armature, (4, 6))
    assert some.frames.tolist() == [4, 5, 6]
    np.testing.assert_allclose(some.joints, whole.joints[3:6])
    with pytest.raises(RetargetProblem, match="frames 1 to 12, none of those from 50 to 60"):
        read_source(bpy.context, armature, (50, 60))


def test_moved_elsewhere_it_is_the_same_motion(armature) -> None:
    found = read_source(bpy.context, armature)
    turn = matrix_from_rotvec(np.array([0.2, -0.4, 1.0]))
    about, to = np.array([1.0, 0, 0]), np.array([0.0, 5, 2])
    moved = found.moved(turn, about, to)
    np.testing.assert_allclose(moved.joints, (found.joints - about) @ turn.T + to)
    # a point of the rest figure, taken to where the pose has it
    for motion in (found, moved):
        pelvis, hip = motion.rest_joints[INDEX["pelvis"]], motion.rest_joints[INDEX["left_hip"]]
        arm = matrix_from_quat(motion.turns[:, 0]) @ (hip - pelvis)
        np.testing.assert_allclose(motion.joints[:, 0] + arm, motion.joints[:, INDEX["left_hip"]], atol=1e-6)


def test_soles_are_where_the_skin_is(armature) -> None:
    """At rest they are on the floor, and they move with the feet."""
    armature.animation_data_clear()
    for bone in armature.pose.bones:
        bone.matrix_basis.identity()
    armature.pose.bones["pelvis"].keyframe_insert("location", frame=1)
    armature.pose.bones["pelvis"].location = (0, 0, 0)
    armature.pose.bones["pelvis"].keyframe_insert("location", frame=1)
    armature.pose.bones["left_ankle"].rotation_quaternion = Euler((-0.5, 0, 0)).to_quaternion()
    armature.pose.bones["left_ankle"].keyframe_insert("rotation_quaternion", frame=2)
    armature.pose.bones["left_ankle"].rotation_quaternion = (1, 0, 0, 0)
    armature.pose.bones["left_ankle"].keyframe_insert("rotation_quaternion", frame=1)
    found = read_source(bpy.context, armature)
    np.testing.assert_allclose(found.soles[0, :, :, 2], 0, atol=1e-6)
    assert np.ptp(found.soles[1, 0, :, 2]) > 0.05
    np.testing.assert_allclose(found.soles[1, 1, :, 2], 0, atol=1e-6)
    assert 0.7 < found.leg_length < 1.1


def test_wrong_sources_are_told(armature, scene) -> None:
    armature.scale = (1, 1, 1.2)
    bpy.context.view_layer.update()
    with pytest.raises(RetargetProblem, match="Apply its scale"):
        read_source(bpy.context, armature)
    armature.scale = (1, 1, 1)
    bpy.context.view_layer.update()
    armature.animation_data.action = None
    with pytest.raises(RetargetProblem, match="has no motion"):
        read_source(bpy.context, armature)
    other = bpy.data.objects.new("Other", bpy.data.armatures.new("Other"))
    scene.collection.objects.link(other)
    with pytest.raises(RetargetProblem, match="not a recovered body"):
        read_source(bpy.context, other)
