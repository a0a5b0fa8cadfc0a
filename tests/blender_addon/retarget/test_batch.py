# SPDX-License-Identifier: GPL-3.0-or-later
"""Many at once: what is taken, what it is called, what fails and what goes on."""

import bpy
import pytest
import recover_motion
from recover_motion.compat import HAS_SLOTS, NAME_BYTES, Placed, curves_of
from recover_motion.retarget import batch
from recover_motion.retarget.mapping_list import find_list
from simple_character import add_character, bring_in

pytestmark = pytest.mark.bpy
ops = bpy.ops.recover_motion


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def cast(scene, tmp_path, open_body_path):
    """A body that walks, one that jumps, and two characters."""
    recover_motion.register()
    walk = bring_in(tmp_path, open_body_path)
    jump = bring_in(tmp_path, open_body_path, count=6, clip="jump")
    hero, twin = add_character("Hero"), add_character("Twin", prefix="")
    scene.recover_motion_retarget.source = walk
    scene.recover_motion_retarget.target = hero
    yield walk, jump, hero, twin
    recover_motion.unregister()


def select(*things):
    bpy.ops.object.select_all(action="DESELECT")
    for thing in things:
        thing.select_set(True)


def action_of(thing):
    return thing.animation_data and thing.animation_data.action and thing.animation_data.action.name


def test_one_motion_to_many_characters_and_one_fails(cast, capfd):
    walk, jump, hero, twin = cast
    broken = add_character("Broken")
    broken.scale = (1.0, 1.0, 2.0)
    bpy.context.view_layer.update()
    bpy.ops.object.camera_add()
    select(walk, jump, broken, hero.children[0], twin, hero, bpy.context.object)
    assert ops.retarget_selected() == {"FINISHED"}
    assert action_of(hero) == "Hero.walk.person01"
    assert action_of(twin) == "Twin.walk.person01"
    assert action_of(broken) is None
    said = capfd.readouterr().out
    assert "2 of 3 retargeted" in said
    assert "walk.person01 to Broken: " in said
    assert action_of(walk) == "walk.person01"
    assert action_of(jump) == "jump.person01"


def test_all_fail(cast):
    _, _, hero, _ = cast
    hero.scale = (1.0, 2.0, 1.0)
    bpy.context.view_layer.update()
    select(hero)
    with pytest.raises(RuntimeError, match="0 of 1 retargeted"):
        ops.retarget_selected()


def test_each_by_its_own_list(cast):
    _, _, hero, twin = cast
    settings = bpy.context.scene.recover_motion_retarget
    ops.detect_rig()
    next(row for row in find_list(settings, hero).bones if row.role == "head").bone = ""
    select(hero, twin)
    ops.retarget_selected()
    assert "mixamorig:Head" not in {curve.group.name for curve in curves_of(hero)}
    assert "Head" in {curve.group.name for curve in curves_of(twin)}


def test_nothing_is_selected(cast):
    walk, _, hero, _ = cast
    select(walk)
    assert not ops.retarget_selected.poll()
    select(hero)
    assert not ops.retarget_bodies.poll()


def test_many_bodies_to_one_character(cast):
    walk, jump, hero, twin = cast
    select(walk, jump.children[0], twin)
    assert ops.retarget_bodies() == {"FINISHED"}
    assert {"Hero.walk.person01", "Hero.jump.person01"} <= set(bpy.data.actions.keys())
    assert action_of(hero) in ("Hero.walk.person01", "Hero.jump.person01")
    assert bpy.data.actions["Hero.walk.person01"].frame_range[:] == (1, 12)
    assert bpy.data.actions["Hero.jump.person01"].frame_range[:] == (1, 6)
    assert all(bpy.data.actions[f"Hero.{name}.person01"].use_fake_user for name in ("walk", "jump"))
    assert action_of(twin) is None


def test_every_take_of_the_source_and_the_cleaned_one_instead_of_what_it_was_made_from(cast):
    walk, _, hero, _ = cast
    bpy.context.view_layer.objects.active = walk
    ops.clean()  # walk.person01.clean is in use now
    again = bpy.data.actions["walk.person01"].copy()
    again.name = "walk.person01.take2"
    names = [motion.name for motion in batch.takes_of(walk)]
    assert sorted(names) == ["walk.person01.clean", "walk.person01.take2"]
    before = action_of(walk)
    assert ops.retarget_takes() == {"FINISHED"}
    made = {action.name for action in bpy.data.actions if action.name.startswith("Hero.")}
    assert made == {"Hero.walk.person01.clean", "Hero.walk.person01.take2"}
    assert action_of(walk) == before
    assert action_of(hero) in made


def test_takes_in_the_nla(cast):
    hero = cast[2]
    again = bpy.data.actions["walk.person01"].copy()
    again.name = "walk.person01.take2"
    bpy.context.scene.recover_motion_retarget.use_nla = True
    ops.retarget_takes()
    animation = hero.animation_data
    assert animation.action is None
    assert [track.name for track in animation.nla_tracks] == [
        "Hero.walk.person01",
        "Hero.walk.person01.take2",
    ]
    assert [track.mute for track in animation.nla_tracks] == [True, False]
    for track in animation.nla_tracks:
        (strip,) = track.strips
        assert (strip.frame_start, strip.frame_end) == (1, 12)
        assert Placed.on(strip).curves()
        assert not HAS_SLOTS or strip.action_slot is not None
    bone = hero.pose.bones["mixamorig:LeftArm"]
    bpy.context.scene.frame_set(2)
    first = bone.matrix.copy()
    bpy.context.scene.frame_set(11)
    assert bone.matrix != first  # it moves


def test_the_source_is_put_back_as_it_was_even_when_it_fails(cast):
    walk, _, hero, _ = cast
    animation = walk.animation_data
    track = animation.nla_tracks.new()
    track.strips.new("walk", 1, animation.action)
    animation.action = None
    hero.scale = (1.0, 2.0, 1.0)
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match="0 of 1 retargeted"):
        ops.retarget_takes()
    assert animation.action is None
    assert not track.mute


def test_names_are_cut_where_blender_would_cut_them(cast):
    hero = cast[2]
    hero.name = "ü" * 31
    name = batch.name_for(hero, "walk.person01")
    assert len(name.encode()) <= NAME_BYTES - 4
    assert name.startswith(hero.name[:20])
