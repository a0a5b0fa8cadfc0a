# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons: detection, presets, the list, retargeting and putting back; what each says when it cannot."""

import bpy
import pytest
import recover_motion
from recover_motion.compat import HAS_SLOTS, curves_of
from recover_motion.retarget import known_presets
from recover_motion.retarget.mapping import BoneMap
from recover_motion.retarget.mapping_list import ORDER, find_list, read, title
from simple_character import add_character, bring_in

pytestmark = pytest.mark.bpy
ops = bpy.ops.recover_motion


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def hero(scene, tmp_path, open_body_path, monkeypatch):
    monkeypatch.setattr(known_presets, "presets_folder", lambda: tmp_path / "presets")
    known_presets.look_again()
    recover_motion.register()
    source = bring_in(tmp_path, open_body_path)
    hero = add_character()
    scene.recover_motion_retarget.source = source
    scene.recover_motion_retarget.target = hero
    yield hero
    recover_motion.unregister()
    known_presets.look_again()


@pytest.fixture
def settings(hero):
    return bpy.context.scene.recover_motion_retarget


def refused(operator, reason):
    assert not operator.poll()
    with pytest.raises(RuntimeError, match=reason):
        operator()


# --- detection and presets


def test_detect_fills_the_list_and_says_what_it_is(hero, settings, capfd):
    assert ops.detect_rig() == {"FINISHED"}
    listed = find_list(settings, hero)
    assert title(listed, hero) == "Mixamo, 22 of 22 bones"
    assert read(listed).bones["left_elbow"] == ("mixamorig:LeftForeArm",)
    assert "Mixamo, 22 of 22 bones" in capfd.readouterr().out


def test_nothing_detected(hero, settings):
    settings.target = add_character("Snake", without=("LeftUpLeg", "RightUpLeg", "LeftLeg", "RightLeg"))
    for bone, number in zip(settings.target.data.bones, range(99), strict=False):
        bone.name = f"piece{number}"
    for operator in (ops.detect_rig, ops.retarget, ops.preview_frame):
        with pytest.raises(RuntimeError, match="No body was recognised in the bones of Snake"):
            operator()
    assert find_list(settings, settings.target) is None


def test_a_preset_by_name_and_by_id(hero, settings):
    ops.use_preset(name="mixamo")
    by_id = read(find_list(settings, hero))
    ops.use_preset(name="Mixamo")
    assert read(find_list(settings, hero)) == by_id
    with pytest.raises(RuntimeError, match=r'no preset "Octopus"\. There are: .*Mixamo'):
        ops.use_preset(name="Octopus")
    known_presets.save_own(BoneMap({"pelvis": ("mantle",)}), "Squid")
    with pytest.raises(RuntimeError, match="Hero has no bones of the preset Squid"):
        ops.use_preset(name="squid")
    assert read(find_list(settings, hero)) == by_id


def test_own_presets_are_saved_used_on_another_character_and_removed(hero, settings, tmp_path):
    refused(ops.save_preset, "There is no list yet")
    ops.detect_rig()
    listed = find_list(settings, hero)
    next(row for row in listed.bones if row.role == "head").bone = ""
    assert ops.save_preset(name="My Rig") == {"FINISHED"}
    with pytest.raises(RuntimeError, match="comes with the add-on"):
        ops.save_preset(name="Mixamo")
    settings.target = add_character("Twin")
    assert ops.use_preset(name="My Rig") == {"FINISHED"}
    twin = read(find_list(settings, settings.target))
    assert twin.bones == read(listed).bones
    assert "head" not in twin.bones
    (file,) = (tmp_path / "presets").glob("*.json")
    moved = file.rename(tmp_path / "from a friend.json")
    known_presets.look_again()
    with pytest.raises(RuntimeError, match='no preset "My Rig"'):
        ops.use_preset(name="My Rig")
    ops.detect_rig()
    assert ops.load_preset(filepath=str(moved)) == {"FINISHED"}
    assert read(find_list(settings, settings.target)).bones == twin.bones
    moved.rename(file)
    known_presets.look_again()
    assert ops.remove_preset(name="My Rig") == {"FINISHED"}
    assert not file.exists()
    with pytest.raises(RuntimeError, match='no preset "My Rig"'):
        ops.remove_preset(name="My Rig")
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(RuntimeError, match=r"none\.json"):
        ops.load_preset(filepath=str(tmp_path / "none.json"))


# --- the list


def test_rows(hero, settings):
    refused(ops.clear_row, "There is no list yet")
    assert ops.start_list() == {"FINISHED"}
    listed = find_list(settings, hero)
    assert [row.role for row in listed.bones] == list(ORDER)
    refused(ops.pick_bone, "Go to Pose Mode")
    bpy.context.view_layer.objects.active = hero
    bpy.ops.object.mode_set(mode="POSE")
    hero.data.bones.active = hero.data.bones["mixamorig:Hips"]
    ops.pick_bone(index=0)
    assert listed.bones[0].bone == "mixamorig:Hips"
    ops.add_row(index=1)
    assert listed.bones[2].role == ORDER[1]
    ops.clear_row(index=2)
    ops.clear_row(index=0)
    assert [(row.role, row.bone) for row in listed.bones] == [(role, "") for role in ORDER]
    with pytest.raises(RuntimeError, match="no row 99"):
        ops.clear_row(index=99)
    with pytest.raises(RuntimeError, match="No bone plays the Pelvis"):
        ops.retarget()
    ops.forget_list()
    assert find_list(settings, hero) is None
    refused(ops.forget_list, "has no list")
    assert ops.retarget() == {"FINISHED"}  # by detection again


def test_the_list_is_what_counts(hero, settings):
    """An edited list is used as it is, not detected anew."""
    ops.detect_rig()
    row = next(row for row in find_list(settings, hero).bones if row.role == "head")
    row.bone = ""
    ops.retarget()
    groups = {curve.group.name for curve in curves_of(hero)}
    assert "mixamorig:Neck" in groups
    assert "mixamorig:Head" not in groups


# --- retargeting and putting back


def test_each_is_one_undo_step_and_the_earlier_action_is_kept(hero):
    hero.pose.bones["mixamorig:Head"].keyframe_insert("rotation_quaternion", frame=1)
    before = hero.animation_data.action.name

    def now():
        return bpy.data.objects["Hero"].animation_data.action.name, sorted(bpy.data.actions.keys())

    bpy.ops.ed.undo_push(message="Made")
    states = [now()]
    for operator in (ops.retarget, ops.put_back):
        assert operator() == {"FINISHED"}
        bpy.ops.ed.undo_push(message="A step")  # Blender does it itself for what a user clicks
        states.append(now())
    assert [state[0] for state in states] == [before, "Hero.walk.person01", before]
    assert bpy.data.actions[before].use_fake_user
    bpy.ops.ed.undo()
    assert now() == states[1]
    bpy.ops.ed.undo()
    assert now() == states[0]


def test_only_the_scene_s_frames(hero, settings):
    scene = bpy.context.scene
    settings.all_frames = False
    scene.frame_start, scene.frame_end = 3, 8
    ops.retarget()
    assert hero.animation_data.action.frame_range[:] == (3, 8)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 5, 6
    ops.retarget()
    assert hero.animation_data.action.frame_range[:] == (5, 6)


# --- wrong picks


def test_there_is_nothing_recovered(hero, settings):
    bpy.data.objects.remove(settings.source)
    refused(ops.retarget, "There is no recovered motion in this scene")


def test_the_source_when_none_is_chosen(hero, settings, tmp_path, open_body_path):
    source, settings.source = settings.source, None
    assert ops.retarget() == {"FINISHED"}  # the only one
    other = bring_in(tmp_path, open_body_path, clip="jump")
    bpy.context.view_layer.objects.active = hero
    refused(ops.retarget, "Choose the source: several recovered bodies")
    bpy.context.view_layer.objects.active = other.children[0]
    ops.retarget()
    assert hero.animation_data.action.name == "Hero.jump.person01"
    settings.source = source.children[0]  # its skin
    ops.retarget()
    assert hero.animation_data.action.name.startswith("Hero.walk.person01")


def test_a_chosen_source_that_was_deleted_is_not_replaced_by_another(
    hero, settings, tmp_path, open_body_path
):
    bring_in(tmp_path, open_body_path, clip="jump")
    bpy.ops.object.select_all(action="DESELECT")
    settings.source.select_set(True)
    bpy.ops.object.delete()
    refused(ops.retarget, "walk.person01 is not in this scene any more: choose another source")


def test_wrong_sources(hero, settings):
    source = settings.source
    settings.source = hero
    settings.target = source
    refused(ops.retarget, "Hero is no armature with recovered motion")
    settings.source, settings.target = source, hero
    action = source.animation_data.action
    source.animation_data.action = None
    refused(ops.retarget, "walk.person01 has no motion")
    source.animation_data.action = action
    source.animation_data.nla_tracks.new().strips.new("walk", 1, action)
    source.animation_data.action = None
    source.animation_data.use_tweak_mode = True
    refused(ops.retarget, "tweak mode")


@pytest.mark.skipif(not HAS_SLOTS, reason="no slots in this Blender")
def test_a_source_on_another_slot(hero, settings):
    animation = settings.source.animation_data
    animation.action_slot = animation.action.slots.new(id_type="OBJECT", name="Somebody")
    refused(ops.retarget, 'The action "walk.person01" does not move walk.person01: choose another slot')
    animation.action_slot = animation.action.slots[0]
    assert ops.retarget() == {"FINISHED"}


def test_wrong_targets(hero, settings):
    settings.target = None
    refused(ops.retarget, "Choose the target")
    bpy.ops.object.camera_add()
    settings.target = bpy.context.object
    refused(ops.retarget, "Camera is no armature, and no armature moves it")
    settings.target = settings.source
    refused(ops.retarget, "Source and target are the same")
    settings.target = hero
    bpy.ops.object.select_all(action="DESELECT")
    hero.select_set(True)
    bpy.ops.object.delete()
    refused(ops.retarget, "Hero is not in this scene any more")


def test_the_skin_is_chosen_as_target(hero, settings):
    settings.target = hero.children[0]
    ops.retarget()
    assert hero.animation_data.action.name == "Hero.walk.person01"


def test_mode_and_tweak_mode_of_the_target(hero, settings):
    bpy.context.view_layer.objects.active = hero
    bpy.ops.object.mode_set(mode="EDIT")
    refused(ops.retarget, "Go back to Object Mode or Pose Mode")
    bpy.ops.object.mode_set(mode="POSE")
    assert ops.retarget() == {"FINISHED"}
    animation = hero.animation_data
    animation.nla_tracks.new().strips.new("strip", 1, animation.action)
    animation.action = None
    animation.use_tweak_mode = True
    refused(ops.retarget, "tweak mode")


def test_uneven_scale_names_the_remedy(hero):
    hero.scale = (1.0, 1.0, 1.5)
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match=r"Apply"):
        ops.retarget()
    assert hero.animation_data is None or hero.animation_data.action is None


def test_a_target_without_skin_works_and_says_so(hero, settings, capfd):
    settings.target = add_character("Bones", skin=False)
    assert ops.retarget() == {"FINISHED"}
    assert "skin" in capfd.readouterr().out


def test_put_back_needs_something_to_put_back(hero):
    refused(ops.put_back, "has not been retargeted")
    ops.preview_range()
    refused(ops.put_back, "keep or discard it first")
    ops.preview_keep()
    assert ops.put_back() == {"FINISHED"}
    assert hero.animation_data.action is None
    refused(ops.put_back, "was put back already")


def test_a_linked_character_is_retargeted_through_an_override(hero, settings, tmp_path):
    library = str(tmp_path / "library.blend")
    collection = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(collection)
    for thing in (hero, *hero.children):
        bpy.context.scene.collection.objects.unlink(thing)
        collection.objects.link(thing)
    bpy.data.libraries.write(library, {collection}, fake_user=True)
    for thing in (*hero.children, hero):
        bpy.data.objects.remove(thing)
    bpy.data.collections.remove(collection)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["Cast"]
    (collection,) = wanted.collections
    bpy.context.scene.collection.children.link(collection)
    settings.target = collection.objects["Hero"]
    refused(ops.retarget, "Hero is linked: make a library override")
    root = collection.override_hierarchy_create(
        bpy.context.scene, bpy.context.view_layer, do_fully_editable=True
    )
    own = settings.target = root.all_objects["Hero"]
    assert own.library is None
    assert ops.preview_range() == {"FINISHED"}
    assert ops.preview_keep() == {"FINISHED"}
    assert own.animation_data.action.library is None
    assert own.delta_location.length == 0.0
