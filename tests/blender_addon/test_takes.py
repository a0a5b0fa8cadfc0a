# SPDX-License-Identifier: GPL-3.0-or-later
"""takes.py: a second import of a person keeps the armature, its edits and every earlier take."""

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from recover_motion.compat import HAS_SLOTS, Channels, Placed, curves_of
from recover_motion.curves import write_curves
from recover_motion.provenance import identity
from smpl_reference import BodyArrays, level_camera, motion_arrays
from takes_in_blender import MILLIMETRE, heads, importer, keys, off

pytestmark = pytest.mark.bpy


@pytest.fixture
def body(synthetic_body_path: Path) -> BodyArrays:
    return BodyArrays.load(synthetic_body_path)


@pytest.fixture
def bring(scene, body, tmp_path):
    return importer(tmp_path, body)


# --- what is found again


def test_identity(tmp_path):
    origin = {"footage": json.dumps({"name": "a.mp4", "sha256": "abc"}), "person": "person02"}
    assert identity(origin | {"motion_file": "x.npz"}) == ("abc", "person02")
    assert identity({"motion_file": "walk.person03.npz"}) == ("walk.person03.npz", "person03")
    assert identity({"footage": "a.mp4", "motion_file": "walk.npz"}) == ("walk.npz", "person01")
    assert identity({"footage": '["a"]', "motion_file": "walk.npz"})[0] == "walk.npz"


def test_beside_is_the_default(bring, body):
    first, second = bring(1), bring(2)
    assert second.armatures[0] != first.armatures[0]
    assert second.changes == ()
    assert off(first.armatures[0], body, 1) < MILLIMETRE
    assert off(second.armatures[0], body, 2) < MILLIMETRE


def test_only_the_same_person_of_the_same_footage(bring, body):
    first = bring(1)
    other = bring(2, person=2, existing="REPLACE")
    elsewhere = json.dumps({"schema": 1, "body": "open", "footage": {"name": "clip.mp4", "sha256": "f" * 64}})
    third = bring(3, existing="REPLACE", changes={"meta": np.array(elsewhere)})
    assert len({result.armatures[0].name for result in (first, other, third)}) == 3
    assert off(first.armatures[0], body, 1) < MILLIMETRE


def test_of_two_the_active_one_is_meant(bring, body):
    first, second = bring(1), bring(2)
    bpy.context.view_layer.objects.active = second.armatures[0]
    third = bring(3, existing="REPLACE")
    assert third.armatures == second.armatures
    assert off(first.armatures[0], body, 1) < MILLIMETRE
    assert off(second.armatures[0], body, 3) < MILLIMETRE


# --- REPLACE and STACK


@pytest.mark.parametrize("existing", ["REPLACE", "STACK"])
def test_the_armature_and_its_edits_stay(bring, body, existing):
    first = bring(1)
    armature, skin, camera = first.armatures[0], first.meshes[0], first.camera
    before = keys(curves_of(armature))
    armature.name = "Hero"
    constraint = armature.pose.bones["head"].constraints.new("DAMPED_TRACK")
    constraint.mute = True
    mine = bpy.data.materials.new("mine")
    skin.material_slots[0].material = mine
    skin.data.shape_keys.key_blocks["Shape001"].value = 1.5
    counts = len(bpy.data.objects), len(bpy.data.armatures), len(bpy.data.collections)

    second = bring(2, existing=existing)

    assert (len(bpy.data.objects), len(bpy.data.armatures), len(bpy.data.collections)) == counts
    assert second.armatures == (armature,)
    assert second.meshes == (skin,)
    assert second.camera == camera == bpy.context.scene.camera
    assert second.collection == first.collection
    assert armature.name == "Hero"
    assert list(armature.pose.bones["head"].constraints) == [constraint]
    assert skin.material_slots[0].material == mine
    assert skin.data.shape_keys.key_blocks["Shape001"].value == 1.5
    assert off(armature, body, 2) < MILLIMETRE

    old = bpy.data.actions["clip.person01"]
    assert old == first.actions[0]
    assert old.use_fake_user
    assert armature.animation_data.action == second.actions[0] == bpy.data.actions["clip.person01.001"]
    assert any('"clip.person01" is kept' in change and "Hero" in change for change in second.changes)
    tracks = armature.animation_data.nla_tracks
    assert [(track.name, track.mute) for track in tracks] == (
        [("clip.person01", True)] if existing == "STACK" else []
    )
    # and the earlier take can be had back, key for key
    if existing == "STACK":
        tracks[0].mute = False
        armature.animation_data.action = None
    else:
        Placed(old, old.slots[0] if HAS_SLOTS else None).assign_to(armature.animation_data)
        assert keys(curves_of(armature)) == before
    assert off(armature, body, 1) < MILLIMETRE


def test_several_runs_stack_up(bring, body):
    for seed in (1, 2, 3):
        result = bring(seed, existing="STACK")
    armature = result.armatures[0]
    tracks = armature.animation_data.nla_tracks
    assert [(track.name, track.mute) for track in tracks] == [
        ("clip.person01", True),
        ("clip.person01.001", True),
    ]
    assert off(armature, body, 3) < MILLIMETRE
    armature.animation_data.action = None
    for track, seed in zip(tracks, (1, 2), strict=True):
        track.mute = False
        assert off(armature, body, seed) < MILLIMETRE
        track.mute = True


@pytest.mark.parametrize("existing", ["REPLACE", "STACK"])
def test_keys_beside_the_motion_go_on(bring, body, existing):
    armature = bring(1).armatures[0]
    armature.keyframe_insert("location", frame=1)
    armature.location = (0, 0, 2)
    armature.keyframe_insert("location", frame=5)
    armature.pose.bones["head"].scale = (2, 2, 2)
    armature.pose.bones["head"].keyframe_insert("scale", frame=1)
    second = bring(2, existing=existing)
    bpy.context.scene.frame_set(5)
    assert armature.matrix_world.translation.z == pytest.approx(2)
    paths = {curve.data_path for curve in curves_of(armature)}
    assert {"location", 'pose.bones["head"].scale'} <= paths
    assert any("location" in change for change in second.changes)
    curves = list(curves_of(armature))
    assert len(keys(curves)) == len(curves) == 124 + 6  # nothing twice
    for curve in curves:
        if curve.data_path == "location":
            curve.mute = True
    armature.location = (0, 0, 0)
    assert off(armature, body, 2) < MILLIMETRE


@pytest.mark.parametrize("existing", ["REPLACE", "STACK"])
def test_layers_on_top_stay_on_top(bring, body, existing):
    """The take in a strip, the user's own layer above it: a new take goes between."""
    armature = bring(1, use_nla=True).armatures[0]
    animation = armature.animation_data
    assert animation.action is None
    assert [track.name for track in animation.nla_tracks] == ["clip.person01"]
    assert off(armature, body, 1) < MILLIMETRE
    layer = Channels(armature, "tweak", "Layer")
    write_curves(layer, 'pose.bones["head"].scale', "head", np.array([1, 5]), np.full((2, 3), 3.0))
    strip = animation.nla_tracks.new().strips.new("tweak", 1, layer.action)
    Placed.on(animation).assign_to(strip)
    active = Channels(armature, "in work", "Layer")
    write_curves(active, 'pose.bones["neck"].scale', "neck", np.array([1, 5]), np.full((2, 3), 0.5))

    second = bring(2, existing=existing)

    assert animation.action == active.action
    assert [(track.strips[0].action.name, track.mute) for track in animation.nla_tracks] == [
        ("clip.person01", True),
        ("clip.person01.001", False),
        ("tweak", False),
    ]
    bpy.context.scene.frame_set(3)
    assert armature.pose.bones["head"].scale.x == pytest.approx(3)
    assert armature.pose.bones["neck"].scale.x == pytest.approx(0.5)
    assert second.actions[0].name == "clip.person01.001"
    animation.action = None
    animation.nla_tracks[2].mute = True
    for name in ("head", "neck"):
        armature.pose.bones[name].scale = (1, 1, 1)
    assert off(armature, body, 2) < MILLIMETRE


@pytest.mark.parametrize("existing", ["NEW", "REPLACE", "STACK"])
def test_a_strip_moves_the_figure_as_the_action_does(bring, body, existing):
    bring(1)
    armature = bring(2, existing=existing, use_nla=True).armatures[0]
    assert armature.animation_data.action is None
    strip = armature.animation_data.nla_tracks[-1].strips[0]
    assert (strip.frame_start, strip.frame_end) == (1, 5)
    assert off(armature, body, 2) < MILLIMETRE


def test_one_frame_in_a_strip(bring):
    armature = bring(1, count=1, use_nla=True).armatures[0]
    bpy.context.scene.frame_set(1)
    expected = motion_arrays(1, 1)["trans"][0]
    rest = np.array(armature.data.bones["pelvis"].head_local)
    there = heads(armature)[0]
    assert np.isfinite(there).all()
    assert np.abs(there - rest).max() > 0.01
    assert np.abs(there - expected).max() < 2


def test_an_armature_without_any_animation_gets_the_take(bring, body):
    armature = bring(1).armatures[0]
    armature.animation_data_clear()
    second = bring(2, existing="STACK")
    assert second.armatures == (armature,)
    assert len(armature.animation_data.nla_tracks) == 0
    assert off(armature, body, 2) < MILLIMETRE


def test_a_strip_that_is_being_edited(bring, body):
    armature = bring(1, use_nla=True).armatures[0]
    animation = armature.animation_data
    animation.nla_tracks[0].select = True
    animation.nla_tracks[0].strips[0].select = True
    animation.nla_tracks.active = animation.nla_tracks[0]
    animation.use_tweak_mode = True
    assert animation.use_tweak_mode
    bring(2, existing="REPLACE")
    assert not animation.use_tweak_mode
    assert off(armature, body, 2) < MILLIMETRE


# --- what the user is told


def test_bones_turned_by_angles_turn_by_the_new_take(bring, body):
    armature = bring(1).armatures[0]
    armature.pose.bones["neck"].rotation_mode = "XYZ"
    second = bring(2, existing="REPLACE")
    assert any("neck" in note for note in second.notes)
    assert off(armature, body, 2) < MILLIMETRE


def test_another_shape_is_said_and_the_body_stays(bring, body):
    armature = bring(1).armatures[0]
    before = [tuple(bone.head_local) for bone in armature.data.bones]
    second = bring(2, existing="REPLACE", changes={"betas": np.full(10, 2.0)})
    assert [tuple(bone.head_local) for bone in armature.data.bones] == before
    assert any("another shape" in note for note in second.notes)
    bpy.context.scene.frame_set(3)
    pelvis = motion_arrays(5, 2)["trans"][2] + body.rest_joints(np.full(10, 2.0))[0]
    np.testing.assert_allclose(heads(armature)[0], pelvis, atol=MILLIMETRE)
    assert not any("another shape" in note for note in bring(3, existing="REPLACE").notes)


def test_an_armature_without_the_bones_is_left_alone(bring, body):
    armature = bring(1).armatures[0]
    armature.data.bones["head"].name = "skull"
    second = bring(2, existing="REPLACE")
    assert second.armatures[0] != armature
    assert any("head" in note and armature.name in note for note in second.notes)
    assert off(second.armatures[0], body, 2) < MILLIMETRE


# --- the camera


def test_another_camera_stands_beside_the_earlier_one(bring):
    first = bring(1)
    moved = level_camera(5)
    moved[:, 0, 3] = 0.7
    second = bring(2, existing="REPLACE", changes={"world_from_camera": moved})
    assert second.camera not in (None, first.camera)
    assert bpy.context.scene.camera == second.camera
    assert first.camera.location.x == 0
    assert any(second.camera.name in change for change in second.changes)
    third = bring(3, existing="REPLACE", changes={"world_from_camera": moved})
    assert third.camera == second.camera
    assert len(bpy.data.cameras) == 2


def test_a_camera_that_moves_the_same_way_is_used_again(bring):
    path = level_camera(5)
    path[:, 0, 3] = np.linspace(0, 1, 5)
    first = bring(1, changes={"world_from_camera": path})
    actions = len(bpy.data.actions)
    second = bring(2, existing="STACK", changes={"world_from_camera": path})
    assert second.camera == first.camera
    assert len(bpy.data.actions) == actions + 1  # the take alone
    path[-1, 0, 3] = 1.01
    assert bring(3, existing="STACK", changes={"world_from_camera": path}).camera != first.camera


def test_a_camera_of_the_users_own_choice_stays_the_scenes(scene, bring):
    bring(1)
    mine = bpy.data.objects.new("mine", bpy.data.cameras.new("mine"))
    scene.collection.objects.link(mine)
    scene.camera = mine
    bring(2, existing="REPLACE")
    assert scene.camera == mine
