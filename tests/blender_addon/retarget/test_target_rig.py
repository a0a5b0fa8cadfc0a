# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's rig as it is read, and the parts of a map that it can use."""

import bpy
import numpy as np
import pytest
from characters import character
from mathutils import Euler
from recover_motion.retarget.detection import detect
from recover_motion.retarget.mapping import BoneMap, IkControl, Setting, Twist
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.problem import RetargetProblem
from recover_motion.retarget.rig_bones import rig_bones
from recover_motion.retarget.target_rig import controls_of, read_target, usable
from recover_motion.rotations import matrix_from_quat


def map_of(rig: bpy.types.Object) -> BoneMap:
    return detect(rig_bones(rig), built_in_presets())[0].bone_map


@pytest.mark.parametrize("name", ["fbx_mixamo", "mannequin_axes"])
def test_rest_in_the_world_is_blenders(scene, name: str) -> None:
    rig = character(name, scene).armature
    rig.rotation_euler.rotate_axis("Z", 0.4)
    bpy.context.view_layer.update()
    read = read_target(rig, map_of(rig))
    for number, bone in enumerate(read.controls):
        rest = rig.data.bones[bone]
        world = rig.matrix_world
        np.testing.assert_allclose(read.heads[number], world @ rest.head_local, atol=1e-5)
        np.testing.assert_allclose(read.tails[number], world @ rest.tail_local, atol=1e-5)
        wanted = (world @ rest.matrix_local).to_3x3().normalized()
        np.testing.assert_allclose(matrix_from_quat(read.turns[number]), wanted, atol=1e-5)
    points = np.random.default_rng(0).normal(size=(4, 3))
    inside = [rig.matrix_world.inverted() @ bpy.context.scene.cursor.location.__class__(p) for p in points]
    np.testing.assert_allclose(read.to_armature(points), inside, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(read.to_world(read.to_armature(points)), points, atol=1e-9)


def test_pose_can_be_read_instead_of_the_rest(scene) -> None:
    rig = character("mixamo", scene).armature
    arm = rig.pose.bones["mixamorig:LeftArm"]
    arm.rotation_mode = "QUATERNION"
    arm.rotation_quaternion = Euler((0.3, 0.2, 0.1)).to_quaternion()
    bpy.context.view_layer.update()
    bone_map = map_of(rig)
    rest, posed = read_target(rig, bone_map), read_target(rig, bone_map, as_posed=True)
    number = rest.index("mixamorig:LeftForeArm")
    assert np.abs(rest.heads[number] - posed.heads[number]).max() > 0.01
    np.testing.assert_allclose(
        posed.heads[number], rig.matrix_world @ rig.pose.bones["mixamorig:LeftForeArm"].head, atol=1e-5
    )


def test_thumbs_point_ahead_of_hands(scene) -> None:
    rig = character("mixamo", scene).armature
    read = read_target(rig, map_of(rig))
    assert set(read.thumbs) == {"left_wrist", "right_wrist"}
    for thumb in read.thumbs.values():
        assert thumb[1] < 0  # the figure faces -y


def test_channels_are_the_bones(scene) -> None:
    rig = character("mixamo", scene).armature
    knee = rig.pose.bones["mixamorig:LeftLeg"]
    knee.rotation_mode, knee.lock_rotation, knee.rotation_euler = "YZX", (True, False, True), (0.1, 0.2, 0.3)
    read = read_target(rig, map_of(rig))
    channel = read.channels[read.index("mixamorig:LeftLeg")]
    assert (channel.mode, channel.locked) == ("YZX", (True, False, True))
    np.testing.assert_allclose(channel.angles, (0.1, 0.2, 0.3), atol=1e-6)


def test_only_what_the_rig_has_and_the_artist_wants_is_used(scene) -> None:
    rig = character("mannequin", scene).armature
    rig.pose.bones["hand_l"]["ik_fk"] = 0.0
    full = BoneMap(
        dict(map_of(rig).bones),
        root="root",
        settings=(Setting("hand_l", "ik_fk", 1), Setting("hand_l", "no", 1), Setting("no", "ik_fk", 1)),
        twists=(Twist("lowerarm_twist_01_l", "left_elbow", 0.5), Twist("no", "left_elbow", 0.5)),
        ik=(IkControl("left_wrist", "ik_hand_l"), IkControl("left_ankle", "no")),
    )
    used = usable(rig, full, Options())
    assert used.root == ""  # the pelvis carries the motion
    assert [setting.property for setting in used.settings] == ["ik_fk"]
    assert [twist.bone for twist in used.twists] == ["lowerarm_twist_01_l"]
    assert [ik.target for ik in used.ik] == ["ik_hand_l"]
    assert {"ik_hand_l", "lowerarm_twist_01_l"} <= set(controls_of(used))
    assert len(set(controls_of(used))) == len(controls_of(used))
    bare = usable(rig, full, Options(root="BONE", twists=False, ik=False))
    assert (bare.root, bare.twists, bare.ik) == ("root", (), ())
    with pytest.raises(RetargetProblem, match="root bone"):
        usable(rig, BoneMap(full.bones), Options(root="BONE"))
