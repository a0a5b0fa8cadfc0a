# SPDX-License-Identifier: GPL-3.0-or-later
"""takes.py: a second import of a person keeps the armature, its edits and every earlier take."""

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion import import_motion as module
from recover_motion.arrival import Destination, import_result
from recover_motion.compat import HAS_SLOTS, Channels, Placed, curves_of
from recover_motion.curves import write_curves
from recover_motion.import_motion import import_motion
from recover_motion.jobs import Job, State
from recover_motion.provenance import KEY, identity
from smpl_reference import NAMES, BodyArrays, forward_kinematics, level_camera, motion_arrays, write_motion

pytestmark = pytest.mark.bpy

MILLIMETRE = 1e-3
SHAPE = np.zeros(10)


@pytest.fixture
def body(synthetic_body_path: Path) -> BodyArrays:
    return BodyArrays.load(synthetic_body_path)


@pytest.fixture
def bring(scene, body, tmp_path):
    """Imports a run of one person of the clip; `seed` makes another motion."""

    def bring_in(seed: int, person: int = 1, count: int = 5, changes: dict | None = None, **options):
        folder = tmp_path / f"run{seed}"
        folder.mkdir(exist_ok=True)
        more = {"betas": SHAPE} | (changes or {})
        path = write_motion(folder / f"clip.person{person:02d}.npz", count=count, seed=seed, **more)
        return import_motion(bpy.context, [path], body_path=body.path, **options)

    return bring_in


def heads(armature: bpy.types.Object) -> np.ndarray:
    posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([posed.matrix_world @ posed.pose.bones[name].head for name in NAMES])


def off(armature: bpy.types.Object, body: BodyArrays, seed: int) -> float:
    """Largest distance between the armature's joints and those of a run, over all of its frames; metres."""
    arrays = motion_arrays(5, seed)
    rest, worst = body.rest_joints(SHAPE), 0.0
    for index in range(5):
        bpy.context.scene.frame_set(1 + index)
        pose = arrays["poses"][index].reshape(24, 3).astype(float)
        joints, _ = forward_kinematics(rest, pose, arrays["trans"][index].astype(float))
        worst = max(worst, np.abs(heads(armature) - joints).max())
    return worst


def keys(curves) -> dict[tuple[str, int], list[tuple[float, float]]]:
    return {
        (curve.data_path, curve.array_index): [tuple(key.co) for key in curve.keyframe_points]
        for curve in curves
    }


def census() -> dict[str, object]:
    kinds = ("objects", "meshes", "armatures", "cameras", "actions", "materials", "collections")
    found: dict[str, object] = {
        kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds
    }
    scene = bpy.context.scene
    found["markers"] = sorted((marker.frame, marker.name) for marker in scene.timeline_markers)
    found["camera"] = scene.camera and scene.camera.name
    for thing in scene.objects:
        animation = thing.animation_data
        if animation:
            found[f"animation of {thing.name}"] = (
                animation.action and animation.action.name,
                keys(curves_of(thing)),
                [(track.name, track.mute, len(track.strips)) for track in animation.nla_tracks],
            )
        found[f"properties of {thing.name}"] = (
            sorted(thing.keys()),
            str(thing.get(KEY) and thing[KEY].to_dict()),
        )
    return found


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


# --- all or nothing, undo, files


@pytest.mark.parametrize("step", ["key_motion", "set_markers", "stamp", "clip_camera"])
@pytest.mark.parametrize("existing", ["REPLACE", "STACK"])
@pytest.mark.parametrize("use_nla", [False, True])
def test_a_failed_second_import_changes_nothing(bring, monkeypatch, step, existing, use_nla):
    lost = {"confidence": np.zeros((5, 24), np.float32)}
    armature = bring(1, use_nla=use_nla, changes=lost).armatures[0]
    armature.pose.bones["neck"].rotation_mode = "XYZ"
    before = census()
    done = getattr(module, step)

    def failing(*arguments):
        done(*arguments)
        raise MemoryError("no more")

    monkeypatch.setattr(module, step, failing)
    with pytest.raises(MemoryError):
        bring(2, existing=existing)
    assert census() == before
    assert armature.pose.bones["neck"].rotation_mode == "XYZ"


@pytest.fixture
def addon(scene):
    recover_motion.register()
    yield
    recover_motion.unregister()


@pytest.mark.parametrize("existing", ["NEW", "REPLACE", "STACK"])
def test_undo_is_one_step_and_complete(addon, body, tmp_path, existing):
    confidence = np.full((5, 24), 0.5, np.float32)
    for seed in (1, 2):
        (tmp_path / f"run{seed}").mkdir()
        confidence[seed] = 0
        path = tmp_path / f"run{seed}" / "clip.person01.npz"
        write_motion(path, seed=seed, betas=SHAPE, confidence=confidence)
    operator = bpy.ops.recover_motion.import_motion
    bpy.ops.ed.undo_push(message="empty")
    states = [census()]
    for seed in (1, 2):
        path = str(tmp_path / f"run{seed}" / "clip.person01.npz")
        done = operator(
            "EXEC_DEFAULT", True, filepath=path, body=str(body.path), existing=existing, use_nla=seed == 2
        )
        assert done == {"FINISHED"}
        states.append(census())
    assert len({str(state) for state in states}) == 3
    for state in (states[1], states[0]):
        bpy.ops.ed.undo()
        assert census() == state
    for state in states[1:]:
        bpy.ops.ed.redo()
        assert census() == state


@pytest.mark.parametrize("use_nla", [False, True])
def test_a_saved_file_opened_again_moves_the_same(bring, body, tmp_path, use_nla):
    bring(1)
    result = bring(2, existing="STACK", use_nla=use_nla)
    assert off(result.armatures[0], body, 2) < MILLIMETRE
    before = census()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    armature = bpy.data.objects["clip.person01"]
    assert census() == before
    assert off(armature, body, 2) < MILLIMETRE
    assert {bone.custom_shape is not None for bone in armature.pose.bones} == {True}
    assert "clip.person01" in bpy.data.actions
    assert bring(3, existing="REPLACE").armatures == (armature,)
    assert off(armature, body, 3) < MILLIMETRE


def test_the_importer_says_what_happened(addon, body, tmp_path, capfd):
    path = write_motion(tmp_path / "clip.person01.npz", betas=SHAPE)
    for existing in ("NEW", "REPLACE"):
        bpy.ops.recover_motion.import_motion(filepath=str(path), body=str(body.path), existing=existing)
    said = capfd.readouterr().out
    assert 'Info: clip.person01 moves by "clip.person01.001" now.' in said
    assert len([thing for thing in bpy.data.objects if thing.type == "ARMATURE"]) == 1
    settings = bpy.ops.recover_motion.import_motion.get_rna_type().properties
    assert settings["existing"].default == "NEW"
    assert settings["existing"].is_skip_save  # not what was chosen the last time
    assert settings["use_nla"].default is False


def test_the_forms_choice_is_saved_with_the_file(addon, tmp_path):
    form = bpy.context.scene.recover_motion
    assert (form.existing, form.use_nla) == ("NEW", False)
    form.existing, form.use_nla = "STACK", True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    form = bpy.context.scene.recover_motion
    assert (form.existing, form.use_nla) == ("STACK", True)


@pytest.mark.parametrize("existing", ["NEW", "STACK"])
def test_a_job_brings_its_result_in_as_the_form_says(addon, body, tmp_path, existing):
    scene = bpy.context.scene
    path = write_motion(tmp_path / "clip.person01.npz", betas=SHAPE)
    import_motion(bpy.context, [path], body_path=body.path)
    scene.recover_motion.footage = str(tmp_path / "clip.mp4")
    scene.recover_motion.existing = existing
    scene.recover_motion.use_nla = True
    job = Job("recover", {}, imports=True)
    job.result = {"motions": [str(path)], "body": str(body.path)}
    import_result(job, Destination.of(scene))
    assert job.state is State.DONE
    armatures = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    tracks = [track.mute for track in armatures[-1].animation_data.nla_tracks]
    if existing == "STACK":
        assert len(armatures) == 1
        assert tracks == [True, False]
        assert any("is kept in the muted NLA track" in detail for detail in job.details)
    else:
        assert len(armatures) == 2
        assert tracks == [False]
