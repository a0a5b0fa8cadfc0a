# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion onto what artists have: nothing of theirs is lost, and what cannot be is told."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from characters import character
from recover_motion.compat import HAS_SLOTS, Placed, curves_of
from recover_motion.edit_mode import edit_mode
from recover_motion.retarget.keys import KEY, put_back
from recover_motion.retarget.mapping import BoneMap, Setting
from recover_motion.retarget.options import Options
from recover_motion.retarget.problem import RetargetProblem
from retargeting_in_blender import bare_walk, detected, go

# --- nothing is lost


def keyed(rig: bpy.types.Object, name: str) -> bpy.types.Action:
    """The artist's own action on a rig: one bone that turns."""
    bone = rig.pose.bones[0]
    bone.rotation_mode = "QUATERNION"
    bone.keyframe_insert("rotation_quaternion", frame=1)
    action = rig.animation_data.action
    action.name = name
    return action


def content(action: bpy.types.Action) -> list:
    placed = Placed.in_slot(action, "")
    return [
        (curve.data_path, curve.array_index, [tuple(key.co) for key in curve.keyframe_points])
        for curve in placed.curves()
    ]


def test_earlier_action_is_kept_and_comes_back(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    before = content(mine)
    made = go(source, rig)
    assert made.earlier.action == mine
    assert rig.animation_data.action == made.action != mine
    assert mine.use_fake_user
    assert content(mine) == before
    again = go(source, rig)  # a second one does not overwrite the first
    assert again.action != made.action
    assert put_back(rig) == made.action
    assert put_back(rig) == mine
    assert rig.animation_data.action == mine
    assert made.action.use_fake_user
    assert again.action.use_fake_user


@pytest.mark.skipif(not HAS_SLOTS, reason="before 4.4 actions have no slots")
def test_action_on_another_slot_comes_back_on_its_slot(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    other = mine.slots.new(id_type="OBJECT", name="Other")
    rig.animation_data.action_slot = other
    go(source, rig)
    put_back(rig)
    assert rig.animation_data.action == mine
    assert rig.animation_data.action_slot == other


def test_switches_of_the_rig_are_keyed_and_come_back(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] = 0.0
    rig.pose.bones["mixamorig:LeftHand"]["pole"] = False
    hand = "mixamorig:LeftHand"
    settings = (Setting(hand, "IK_FK", 1.0), Setting(hand, "pole", 1.0), Setting(hand, "absent", 1.0))
    bone_map = BoneMap(detected(rig).bones, settings=settings)
    go(source, rig, bone_map)
    assert rig.pose.bones[hand]["IK_FK"] == 1.0
    assert rig.pose.bones[hand]["pole"] is True
    keys = {curve.data_path for curve in curves_of(rig) if '"]["' in curve.data_path}
    assert keys == {f'pose.bones["{hand}"]["IK_FK"]', f'pose.bones["{hand}"]["pole"]'}
    put_back(rig)
    assert rig.pose.bones[hand]["IK_FK"] == 0.0
    assert rig.pose.bones[hand]["pole"] is False


def test_failure_half_way_leaves_everything_as_it_was(scene, tmp_path, monkeypatch) -> None:
    from recover_motion.retarget import retarget as module

    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] = 0.25
    bone_map = BoneMap(detected(rig).bones, settings=(Setting("mixamorig:LeftHand", "IK_FK", 1.0),))
    names = sorted(action.name for action in bpy.data.actions)
    hips = rig.pose.bones["mixamorig:Hips"]
    hips.location = (1, 2, 3)

    def fail(*_: object) -> None:
        raise OSError

    for step in ("write_keys", "pose_by_stepping"):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, fail)
            with pytest.raises(OSError):  # noqa: PT011 (the one from above)
                go(source, rig, bone_map)
        assert rig.animation_data.action == mine
        assert sorted(action.name for action in bpy.data.actions) == names
        assert rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] == 0.25
        assert tuple(hips.location) == (1, 2, 3)


def test_scene_stays_at_its_frame(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    scene.frame_set(7, subframe=0.5)
    made = go(source, rig)
    assert scene.frame_current_final == 7.5
    assert (scene.frame_start, scene.frame_end) == (1, 250)
    assert KEY in made.action


def test_library_override_takes_a_motion(scene, tmp_path) -> None:
    character("mixamo", scene)
    path = tmp_path / "hero.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(path), link=True) as (there, here):
        here.objects = list(there.objects)
    for thing in here.objects:
        bpy.context.scene.collection.objects.link(thing)
    linked = next(thing for thing in here.objects if thing.type == "ARMATURE")
    source = bare_walk(tmp_path, 10)
    with pytest.raises(RetargetProblem, match="library override"):
        go(source, linked)
    rig = linked.override_create(remap_local_usages=True)
    rig.override_library.is_system_override = False
    bpy.context.view_layer.update()
    made = go(source, rig)
    assert made.degrees < 0.1
    assert made.action.library is None


# --- rigs that are not simple


def test_locked_rotation_is_respected(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    knee = rig.pose.bones["mixamorig:LeftLeg"]
    knee.rotation_mode, knee.lock_rotation = "XYZ", (False, True, True)
    go(source, rig)
    for curve in curves_of(rig):
        if "LeftLeg" in curve.data_path and curve.array_index > 0:
            assert np.ptp([key.co.y for key in curve.keyframe_points]) == 0


def test_constraint_on_a_mapped_bone_is_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    limit = rig.pose.bones["mixamorig:Head"].constraints.new("LIMIT_ROTATION")
    limit.use_limit_x, limit.min_x, limit.max_x, limit.owner_space = True, 0.7, 0.8, "LOCAL"
    made = go(source, rig)
    assert any("mixamorig:Head" in note and "constraints" in note for note in made.notes)


def test_object_that_is_moved_as_well_is_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    cart = bpy.data.objects.new("Cart", None)
    scene.collection.objects.link(cart)
    rig.parent = cart
    assert not go(source, rig).notes
    cart.keyframe_insert("location", frame=1)
    cart.location.x = 3
    cart.keyframe_insert("location", frame=20)
    scene.frame_set(1)
    assert any("moved as an object" in note for note in go(source, rig).notes)
    rig.parent = None
    assert not go(source, rig, options=Options(feet="OFF", root="OBJECT")).notes


# --- wrong picks


def test_wrong_picks_are_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 5)
    hero = character("mixamo", scene)
    rig, bone_map = hero.armature, detected(hero.armature)
    actions = len(bpy.data.actions)

    def told(
        match: str, target: bpy.types.Object = rig, with_map: BoneMap = bone_map, **options: object
    ) -> None:
        with pytest.raises(RetargetProblem, match=match):
            go(source, target, with_map, Options(**options))
        assert len(bpy.data.actions) == actions

    def changed(**bones: tuple[str, ...]) -> BoneMap:
        return BoneMap(dict(bone_map.bones) | bones)

    told("both source and target", source.armature)
    told("armature of your character", hero.mesh)
    told("left knee", with_map=changed(left_knee=()))
    told("has no bone Shin", with_map=changed(left_knee=("Shin",)))
    told("chosen twice", with_map=changed(left_knee=bone_map.bones["left_hip"]))
    told("root bone", root="BONE")
    parent = bpy.data.objects.new("Horse", None)
    scene.collection.objects.link(parent)
    rig.parent = parent
    told("child of Horse", root="OBJECT")
    rig.parent = None
    rig.scale = (1, 1, 1.1)
    bpy.context.view_layer.update()
    told("Apply its scale")
    rig.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    told("mirrored")
    rig.scale = (1, 1, 1)
    bpy.context.view_layer.update()
    rig.data.pose_position = "REST"
    told("rest position")
    rig.data.pose_position = "POSE"
    with edit_mode(bpy.context, rig):
        told("Edit Mode")
    rig.pose.bones["mixamorig:Hips"].lock_location = (True, False, False)
    told("locked")
    rig.pose.bones["mixamorig:Hips"].lock_location = (False, False, False)
    told("connected|cannot move", with_map=changed(pelvis=("mixamorig:Spine2",), spine3=()))


def test_target_without_skin_is_told_and_works(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 5)
    hero = character("mixamo", scene)
    bpy.data.objects.remove(hero.mesh)
    made = go(source, hero.armature, options=Options())
    assert any("no skin" in note for note in made.notes)


def test_frames_and_name_that_were_asked_for(scene, tmp_path: Path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    made = go(source, rig, frames=(5, 9), name="Hero.walk")
    assert made.frame_range == (5, 9)
    assert made.action.name == "Hero.walk"
    assert tuple(made.action.curve_frame_range) == (5, 9)
