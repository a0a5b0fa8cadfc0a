# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a rig's controls, its switches, and the way back."""

import bpy
import numpy as np
import pytest
from mathutils import Vector
from recover_motion.compat import Channels, Placed, curves_of
from recover_motion.edit_mode import edit_mode
from recover_motion.retarget.keys import (
    every_so_many,
    freed,
    put_back,
    remember,
    switch_back,
    switched,
    write_keys,
)
from recover_motion.retarget.mapping import Setting
from recover_motion.retarget.rig_pose import Channel, RigPose
from recover_motion.rotations import quat_from_rotvec

NAMES = ('arm "L"\\', "leg")


@pytest.fixture
def rig(scene) -> bpy.types.Object:
    armature = bpy.data.armatures.new("Rig")
    thing = bpy.data.objects.new("Rig", armature)
    scene.collection.objects.link(thing)
    with edit_mode(bpy.context, thing):
        for name in NAMES:
            bone = armature.edit_bones.new(name)
            bone.tail = Vector((0, 0, 1))
    bpy.context.view_layer.update()
    return thing


@pytest.mark.parametrize(("count", "every"), [(1, 1), (7, 1), (7, 3), (8, 3), (5, 10), (4, 0)])
def test_first_and_last_frame_always_get_a_key(count: int, every: int) -> None:
    chosen = every_so_many(count, every).tolist()
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    assert chosen == sorted(set(chosen))
    assert set(range(0, count, max(every, 1))) <= set(chosen)


def test_bones_with_quotes_in_their_names_are_keyed(rig, scene) -> None:
    rig.pose.bones["leg"].rotation_mode = "ZXY"
    quats = quat_from_rotvec(np.linspace(0, 1, 5)[:, None] * np.array([1.0, 0, 0]))
    angles = np.linspace(0, 1, 15).reshape(5, 3)
    places = np.arange(15.0).reshape(5, 3)
    pose = RigPose(np.zeros((5, 2, 4)), np.zeros((5, 2, 3)), {0: quats, 1: angles}, {0: places}, ())
    rig.pose.bones["leg"]['a "b"'] = 0.0
    channels = Channels(rig, "Walk", "Rig")
    setting = Setting("leg", 'a "b"', 1.0)
    turning = [Channel(), Channel("ZXY")]
    write_keys(channels, NAMES, turning, pose, np.arange(11, 16), (setting,), 1)
    for number in range(5):
        scene.frame_set(11 + number)
        np.testing.assert_allclose(rig.pose.bones[NAMES[0]].rotation_quaternion, quats[number], atol=1e-6)
        np.testing.assert_allclose(rig.pose.bones[NAMES[0]].location, places[number], atol=1e-6)
        np.testing.assert_allclose(rig.pose.bones["leg"].rotation_euler, angles[number], atol=1e-6)
        assert rig.pose.bones["leg"]['a "b"'] == 1.0


def test_switches_come_back_if_the_block_fails(rig) -> None:
    bone = rig.pose.bones["leg"]
    bone["fk"], bone["pole"], bone["parent"] = 0.25, False, 3
    settings = [Setting("leg", "fk", 1.0), Setting("leg", "pole", 1.0), Setting("leg", "parent", 1.0)]

    def fail() -> None:
        with switched(rig, settings):
            assert (bone["fk"], bone["pole"], bone["parent"]) == (1.0, True, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (bone["fk"], bone["pole"], bone["parent"]) == (0.25, False, 3)
    assert type(bone["parent"]) is int
    with switched(rig, settings) as before:
        pass
    assert bone["parent"] == 1
    switch_back(rig, before)
    assert (bone["fk"], bone["pole"], bone["parent"]) == (0.25, False, 3)


def test_controls_are_freed_of_location_and_scale_only(rig) -> None:
    bone = rig.pose.bones["leg"]
    bone.rotation_mode = "XYZ"
    bone.location, bone.scale, bone.rotation_euler = (1, 2, 3), (2, 2, 2), (0.1, 0.2, 0.3)

    def fail() -> None:
        with freed(rig, ["leg"]):
            assert tuple(bone.location) == (0, 0, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert tuple(bone.location) == (1, 2, 3)
    assert tuple(bone.scale) == (2, 2, 2)
    with freed(rig, ["leg"]):
        pass
    assert tuple(bone.location) == (0, 0, 0)
    assert tuple(bone.scale) == (1, 1, 1)
    np.testing.assert_allclose(bone.rotation_euler, (0.1, 0.2, 0.3), atol=1e-6)


def test_rig_without_an_earlier_action_goes_back_to_none(rig) -> None:
    channels = Channels(rig, "Walk", "Rig")
    remember(channels.action, rig, None, {})
    assert put_back(rig) is None
    assert rig.animation_data.action is None
    assert channels.action.use_fake_user


def test_somebody_elses_action_is_left_alone(rig) -> None:
    rig.pose.bones["leg"].keyframe_insert("location", frame=1)
    mine = rig.animation_data.action
    assert put_back(rig) == mine
    assert rig.animation_data.action == mine


def test_earlier_action_survives_saving_and_loading(rig, tmp_path) -> None:
    rig.pose.bones["leg"].keyframe_insert("location", frame=1)
    earlier = Placed.on(rig.animation_data)
    rig.pose.bones["leg"]["fk"] = 0.0
    channels = Channels(rig, "Walk", "Rig")
    with switched(rig, [Setting("leg", "fk", 1.0)]) as before:
        remember(channels.action, rig, earlier, before)
    name = earlier.action.name
    path = str(tmp_path / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    loaded = bpy.data.objects["Rig"]
    assert loaded.animation_data.action.name == "Walk"
    assert put_back(loaded).name == name
    assert loaded.pose.bones["leg"]["fk"] == 0.0
    assert len(list(curves_of(loaded))) == 3
