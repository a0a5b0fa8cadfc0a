# SPDX-License-Identifier: GPL-3.0-or-later
"""operators, panel and names of export: what the buttons do, and why they are grey."""

from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion.export.chosen import character_of, file_name, files_in, selected_characters
from recover_motion.export.operators import problem_of
from scene_state import state

pytestmark = pytest.mark.bpy


@pytest.fixture
def settings(scene):
    recover_motion.register()
    yield scene.recover_motion_export
    recover_motion.unregister()


def choose(*things: bpy.types.Object) -> None:
    for thing in bpy.context.scene.objects:
        thing.select_set(thing in things)
    bpy.context.view_layer.objects.active = things[0]


@pytest.fixture
def hero(settings, recovered):
    choose(recovered)
    return recovered


def test_the_active_character_is_exported(settings, hero, tmp_path):
    settings.format, settings.preset = "FBX", "UNITY"
    assert bpy.ops.recover_motion.export(filepath=str(tmp_path / "a.fbx")) == {"FINISHED"}
    assert (tmp_path / "a.fbx").is_file()


def test_its_skin_will_do(settings, hero, tmp_path):
    choose(hero.children[0])
    settings.format = "BVH"
    assert bpy.ops.recover_motion.export(filepath=str(tmp_path / "a")) == {"FINISHED"}
    assert (tmp_path / "a.bvh").is_file()


def test_a_problem_is_an_error(settings, hero, tmp_path):
    settings.format = "AMASS"
    with pytest.raises(RuntimeError, match="proportions"):
        bpy.ops.recover_motion.export(filepath=str(tmp_path / "a.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["recovered"]


def test_all_selected_characters_get_a_file_each(settings, hero, made, tmp_path):
    other = made("cartoon_plain")
    choose(hero, other)
    settings.format, settings.frames, settings.start, settings.end = "BVH", "OWN", 3, 8
    before = state()
    assert bpy.ops.recover_motion.export_selected(directory=str(tmp_path / "out")) == {"FINISHED"}
    assert state() == before
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"walk.person01.bvh", file_name(other, "BVH")}


def test_one_that_fails_does_not_stop_the_others(settings, hero, made, tmp_path):
    other = made("cartoon_plain")
    other.scale = (1, 2, 1)
    bpy.context.view_layer.update()
    choose(other, hero)
    settings.format = "BVH"
    with pytest.raises(RuntimeError, match="scaled unevenly"):
        bpy.ops.recover_motion.export_selected(directory=str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["walk.person01.bvh"]


def test_why_a_button_is_grey(settings, hero, scene):
    assert problem_of(bpy.context, hero) == ""
    assert "active" in problem_of(bpy.context, None)
    choose(hero.children[0])
    bpy.ops.object.mode_set(mode="EDIT")
    assert "Object Mode" in problem_of(bpy.context, hero)
    assert not bpy.ops.recover_motion.export.poll()
    bpy.ops.object.mode_set(mode="OBJECT")
    hero.animation_data.action = None
    assert "no action" in problem_of(bpy.context, hero)
    for thing in scene.objects:
        thing.select_set(False)
    assert not bpy.ops.recover_motion.export_selected.poll()


def test_characters_by_their_parts(hero, scene):
    loose = bpy.data.objects.new("loose", None)
    scene.collection.objects.link(loose)
    assert character_of(loose) is None
    assert character_of(hero.children[0]) == hero
    choose(hero, hero.children[0], loose)
    assert selected_characters(bpy.context) == [hero]


def test_names_of_files(hero):
    assert file_name(hero, "FBX") == "walk.person01.fbx"
    hero.animation_data.action.name = "walk.person01.clean"
    assert file_name(hero, "GLB") == "walk.person01.clean.glb"
    hero.name = "Hero: the 1st/2nd"
    assert file_name(hero, "USD") == "Hero_ the 1st_2nd.walk.person01.clean.usdc"
    files = files_in(Path("out"), [hero, hero], "BVH")
    assert len(set(files)) == 2
    assert files[1].stem.endswith("_2")


def test_settings_become_options(settings):
    from recover_motion.export.chosen import options_of

    settings.preset, settings.deform_only, settings.check = "MAYA", True, False
    options = options_of(settings)
    assert (options.preset, options.deform_only, options.check) == ("MAYA", True, False)
    assert options.body is None
