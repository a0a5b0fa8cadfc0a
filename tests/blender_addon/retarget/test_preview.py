# SPDX-License-Identifier: GPL-3.0-or-later
"""The preview: shown beside the source, kept, or discarded without a trace; undo, saving, deleting."""

from dataclasses import replace

import bpy
import pytest
import recover_motion
from characters import character
from recover_motion.retarget import preview
from recover_motion.retarget.mapping import Setting
from recover_motion.retarget.mapping_list import fill, find_list, read
from simple_character import add_character, bring_in

pytestmark = pytest.mark.bpy
ops = bpy.ops.recover_motion


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def hero(scene, tmp_path, open_body_path):
    recover_motion.register()
    settings = scene.recover_motion_retarget
    settings.source = bring_in(tmp_path, open_body_path)
    hero = settings.target = add_character()
    scene.frame_set(5)
    yield hero
    recover_motion.unregister()


def state(hero):
    """Everything of a character that a preview could change."""
    action = hero.animation_data and hero.animation_data.action
    return (
        action and action.name,
        action and action.use_fake_user,
        [tuple(map(tuple, hero.matrix_basis)), tuple(hero.delta_location)],
        {bone.name: tuple(map(tuple, bone.matrix_basis)) for bone in hero.pose.bones},
        {bone.name: dict(bone.items()) for bone in hero.pose.bones},
        dict(hero.items()),
        sorted(bpy.data.actions.keys()),
    )


def pose(hero):
    bpy.context.view_layer.update()
    return [round(value, 5) for bone in hero.pose.bones for row in bone.matrix for value in row]


def test_it_is_discarded_without_a_trace(hero):
    """A posed character with an action, a property that the rig's settings change, and a delta of its own."""
    bone = hero.pose.bones["mixamorig:LeftArm"]
    hero.location.z = 0.25
    bone.rotation_mode = "XYZ"
    bone.rotation_euler, bone.location = (0.1, 0.2, 0.3), (0.0, 0.05, 0.0)
    hero.delta_location = (0.0, 0.5, 0.0)
    hero.pose.bones["mixamorig:Head"].keyframe_insert("rotation_quaternion", frame=1)
    hero.animation_data.action.use_fake_user = False
    bpy.context.view_layer.update()
    before = state(hero)
    for operator in (ops.preview_frame, ops.preview_range, ops.preview_range):
        assert operator() == {"FINISHED"}
        assert state(hero) != before
        assert hero.animation_data.action.name.startswith("Hero.")
    assert ops.preview_discard() == {"FINISHED"}
    assert state(hero) == before
    assert not preview.is_shown(bpy.context.scene)


def test_switches_of_the_rig_are_put_back(hero):
    """What a preset says that must be set, such as FK, is set for the preview and is as before after it."""
    bone = hero.pose.bones["mixamorig:Hips"]
    bone["fk"] = 0.25
    bone["other"] = 3
    settings = bpy.context.scene.recover_motion_retarget
    ops.detect_rig()
    listed = find_list(settings, hero)
    fill(listed, replace(read(listed), settings=(Setting(bone.name, "fk", 1.0), Setting("none", "fk", 1.0))))
    before = state(hero)
    ops.preview_range()
    assert (bone["fk"], bone["other"]) == (1.0, 3)
    ops.preview_discard()
    assert state(hero) == before
    ops.preview_range()
    ops.preview_keep()
    assert bone["fk"] == 1.0
    ops.put_back()
    assert bone["fk"] == 0.25


@pytest.mark.parametrize("name", ["default", "mannequin_axes", "fbx_mixamo", "cartoon_plain"])
def test_other_characters_are_found_shown_and_as_before(hero, name):
    made = character(name, bpy.context.scene)
    bpy.context.scene.recover_motion_retarget.target = made.mesh
    before = state(made.armature)
    assert ops.preview_frame() == {"FINISHED"}
    assert made.armature.matrix_world.translation.x > 1.0
    assert ops.preview_discard() == {"FINISHED"}
    assert state(made.armature) == before


def test_a_character_without_an_action_has_none_again(hero):
    before = state(hero)
    ops.preview_range()
    ops.preview_discard()
    assert state(hero) == before


def test_it_stands_beside_the_source_and_goes_back_to_its_place(hero):
    """Also under a parent that is turned and scaled; the offset is one way in the world."""
    parent = bpy.data.objects.new("Set", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.rotation_euler, parent.scale = (0.0, 0.0, 1.0), (2.0, 2.0, 2.0)
    hero.parent = parent
    bpy.context.view_layer.update()
    place = hero.matrix_world.translation.copy()
    ops.preview_frame()
    bpy.context.view_layer.update()
    way = hero.matrix_world.translation - place
    assert way.y == pytest.approx(0.0, abs=1e-5)
    assert way.z == pytest.approx(0.0, abs=1e-5)
    assert way.x > 2.0  # the character is 3.4 m tall here
    settings = bpy.context.scene.recover_motion_retarget
    settings.side_by_side = False
    ops.preview_frame()
    bpy.context.view_layer.update()
    assert (hero.matrix_world.translation - place).length < 1e-5


@pytest.mark.parametrize("feet", ["AUTOMATIC", "OFF"])
def test_a_frame_s_pose_is_that_of_the_whole_motion(hero, feet):
    """Planted feet too, for which the frames around it have to be known."""
    settings = bpy.context.scene.recover_motion_retarget
    settings.feet, settings.every = feet, 3
    ops.preview_frame()
    frame = pose(hero)
    assert hero.animation_data.action.frame_range[:] == (5, 5)
    bpy.context.scene.frame_set(9)
    assert pose(hero) == frame  # it stays, wherever the time goes
    bpy.context.scene.frame_set(5)
    settings.every = 1
    ops.preview_range()
    assert pose(hero) == pytest.approx(frame, abs=2e-4)


def test_keep_leaves_the_motion_and_takes_the_offset_away(hero):
    ops.preview_range()
    shown = hero.animation_data.action
    assert hero.delta_location.length > 1.0
    assert ops.preview_keep() == {"FINISHED"}
    assert hero.animation_data.action == shown
    assert hero.delta_location.length == 0.0
    assert shown.frame_range[:] == (1.0, 12.0)
    assert not ops.preview_keep.poll()


def test_keep_after_one_frame_retargets_the_whole_motion(hero):
    ops.preview_frame()
    assert hero.animation_data.action.frame_range[0] == hero.animation_data.action.frame_range[1]
    assert ops.preview_keep() == {"FINISHED"}
    assert hero.animation_data.action.frame_range[:] == (1.0, 12.0)
    assert "Hero.preview" not in bpy.data.actions


def test_retarget_ends_a_preview(hero):
    ops.preview_frame()
    assert ops.retarget() == {"FINISHED"}
    assert hero.delta_location.length == 0.0
    assert not preview.is_shown(bpy.context.scene)


def test_undo_in_the_middle(hero):
    """Undo replaces everything, so what was there is looked up by name again."""

    def now():
        return state(bpy.data.objects["Hero"]), preview.is_shown(bpy.context.scene)

    steps = []
    ops.detect_rig()
    for operator in (None, ops.preview_frame, ops.preview_range, ops.preview_keep):
        if operator:
            operator()
        bpy.ops.ed.undo_push(message="A step")  # Blender does it itself for what a user clicks
        steps.append(now())
    assert len({repr(step) for step in steps}) == 4
    for step in reversed(steps[:-1]):
        bpy.ops.ed.undo()
        assert now() == step
    bpy.ops.ed.redo()
    bpy.ops.ed.redo()
    assert now() == steps[2]
    assert ops.preview_discard() == {"FINISHED"}
    assert now()[0] == steps[0][0]


def test_a_file_is_saved_without_the_offset_and_opens_with_the_preview(hero, tmp_path):
    before = state(hero)
    ops.preview_range()
    aside = hero.delta_location.copy()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert (hero.delta_location - aside).length == 0.0  # here it stands beside the source still
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    hero = bpy.data.objects["Hero"]
    assert hero.delta_location.length == 0.0
    assert preview.target_in(bpy.context.scene) == hero
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert hero.delta_location.length == 0.0  # it does not begin to step aside
    assert ops.preview_discard() == {"FINISHED"}
    assert state(hero)[:-1] == before[:-1]


def test_the_target_is_deleted(hero):
    ops.preview_range()
    bpy.ops.object.select_all(action="DESELECT")
    hero.select_set(True)
    bpy.ops.object.delete()
    assert not ops.preview_keep.poll()
    assert ops.preview_discard() == {"FINISHED"}
    assert not preview.is_shown(bpy.context.scene)


def test_the_target_and_its_action_are_gone_from_the_file(hero):
    ops.preview_range()
    bpy.data.actions.remove(hero.animation_data.action)
    bpy.data.objects.remove(hero)
    assert ops.preview_discard() == {"FINISHED"}
    assert not preview.is_shown(bpy.context.scene)


def test_another_action_that_was_given_meanwhile_is_left_alone(hero):
    ops.preview_range()
    other = bpy.data.actions.new("Other")
    hero.animation_data.action = other
    assert ops.preview_discard() == {"FINISHED"}
    assert hero.animation_data.action == other
    assert hero.delta_location.length == 0.0


def test_disabling_the_add_on_discards(hero):
    before = state(hero)
    ops.preview_range()
    recover_motion.unregister()
    try:
        assert state(hero) == before
    finally:
        recover_motion.register()


def test_when_it_fails_the_character_is_as_before(hero):
    before = state(hero)
    bpy.context.scene.frame_set(500)
    with pytest.raises(RuntimeError, match="covers the frames 1 to 12, not frame 500"):
        ops.preview_frame()
    assert state(hero) == before
    assert not preview.is_shown(bpy.context.scene)
