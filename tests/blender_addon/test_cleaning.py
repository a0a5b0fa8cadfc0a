# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning in Blender: what the armature does afterwards, frame by frame, and that nothing is ever lost."""

import math

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion.cleaning import MARK, rest_skeleton, steps_of
from recover_motion.cleaning_steps import clean_motion
from recover_motion.compat import Placed, curves_of
from recover_motion.import_motion import import_motion
from recover_motion.leg_pose import pose_legs, sole_heights
from recover_motion.motion_curves import CONFIDENCE_PATHS, fingerprint, read_motion
from recover_motion.rotations import quat_inverse, quat_multiply, rotvec_from_quat
from recover_motion.skeleton import JOINT_NAMES
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy

FRAMES = 120
KNEE = 'pose.bones["left_knee"].rotation_quaternion'


@pytest.fixture
def addon(scene):
    recover_motion.register()
    yield scene
    recover_motion.unregister()


@pytest.fixture
def bring(addon, tmp_path, synthetic_body_path):
    """Imports a person who sways, bows and walks, and shakes a little; gives the armature, active."""

    def bring_in(count=FRAMES, name="walk.person01", shaking=0.004):
        random = np.random.default_rng(1)
        time = np.arange(count)[:, None, None] / 30
        rates, phases = random.uniform(0.2, 1.2, (2, 24, 3))
        poses = random.uniform(0, 0.5, (24, 3)) * np.sin(2 * np.pi * rates * time + 6 * phases)
        poses += random.normal(0, shaking, poses.shape)
        poses[:, 0, 0] += np.pi / 2
        trans = np.stack([0 * time[:, 0, 0], -0.8 * time[:, 0, 0], 1.3 + 0.02 * np.sin(9 * time[:, 0, 0])], 1)
        path = write_motion(
            tmp_path / f"{name}.npz",
            count=count,
            poses=poses.reshape(count, 72),
            trans=trans,
            betas=np.zeros(10),
        )
        armature = import_motion(bpy.context, [path], body_path=synthetic_body_path).armatures[0]
        bpy.context.view_layer.objects.active = armature
        return armature

    return bring_in


@pytest.fixture
def armature(bring):
    return bring()


def clean(**settings):
    group = bpy.context.object.recover_motion_cleaning
    for name, value in settings.items():
        setattr(group, name, value)
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    return bpy.context.object.animation_data.action


def angles(one, other):
    return np.degrees(np.linalg.norm(rotvec_from_quat(quat_multiply(quat_inverse(one), other)), axis=-1))


def posed(armature, frames):
    """What the dependency graph makes of the bones: turns (T, 24, 4) about their rest, pelvis (T, 3)."""
    quats, pelvis = [], []
    for frame in frames:
        bpy.context.scene.frame_set(int(frame))
        seen = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        bones = [seen.pose.bones[name] for name in JOINT_NAMES]
        quats.append([bone.matrix_basis.to_quaternion() for bone in bones])
        pelvis.append(bones[0].head[:])
    return np.array(quats), np.array(pelvis)


def source_of(armature):
    return read_motion(Placed.in_slot(armature.recover_motion_cleaning.source, "Recovered").curves())


def wanted(armature):
    """The motion that the settings ask for, at every frame."""
    steps = steps_of(armature.recover_motion_cleaning)
    return clean_motion(source_of(armature), rest_skeleton(armature), steps, 30.0)


# --- what the armature does


@pytest.mark.parametrize("kind", ["BEZIER", "LINEAR"])
@pytest.mark.parametrize(("degrees", "metres"), [(0.3, 0.001), (2.0, 0.02)])
@pytest.mark.parametrize("loop", [False, True])
def test_the_armature_stays_within_the_bounds_at_every_frame(armature, kind, degrees, metres, loop):
    action = clean(
        smooth=0.2,
        interpolation=kind,
        rotation_bound=math.radians(degrees),
        location_bound=metres,
        use_loop=loop,
    )
    motion = wanted(armature)
    quats, pelvis = posed(armature, motion.frames)
    off = angles(quats, motion.quats).max()
    moved = np.linalg.norm(pelvis - rest_skeleton(armature).pelvis(motion.locations), axis=1).max()
    assert off <= degrees + 2e-4  # of rounding in Blender's own matrices
    assert moved <= metres + 2e-6
    says = action[MARK]["says"]
    assert f"{off:.2f}°" in says or f"{off - 1e-4:.2f}°" in says or f"{off + 1e-4:.2f}°" in says
    keys = len(read_keys(armature))
    assert keys < (0.9 if degrees < 1 else 0.5) * FRAMES


def read_keys(armature, path=KNEE):
    return next(
        [key.co.x for key in curve.keyframe_points]
        for curve in curves_of(armature)
        if curve.data_path == path
    )


def test_without_fewer_keys_the_curves_are_the_motion(armature):
    clean(use_thinning=False, smooth=0.3, in_place="TREND", use_floor=True)
    motion = wanted(armature)
    found = read_motion(curves_of(armature))
    np.testing.assert_array_equal(found.frames, motion.frames)
    assert angles(found.quats, motion.quats).max() < 1e-4
    np.testing.assert_allclose(found.locations, motion.locations, atol=1e-6)


def test_a_key_of_a_bone_is_a_key_of_all_its_curves(armature):
    clean()
    frames = {}
    for curve in curves_of(armature):
        if curve.data_path not in CONFIDENCE_PATHS:
            frames.setdefault(curve.group.name, set()).add(tuple(key.co.x for key in curve.keyframe_points))
    assert set(frames) == set(JOINT_NAMES)
    assert all(len(each) == 1 for each in frames.values())


def test_trim_floor_and_in_place_are_seen_in_the_scene(armature):
    clean(floor=2.0, use_floor=True)  # written anew below, in the same action
    clean(
        trim_start=10,
        trim_end=20,
        use_floor=True,
        floor=0.5,
        share_below=0.0,
        in_place="FULL",
        use_thinning=False,
    )
    motion = read_motion(curves_of(armature))
    assert (motion.frames[0], motion.frames[-1]) == (11, 100)
    rest = rest_skeleton(armature)
    quats, pelvis = posed(armature, motion.frames)
    assert np.ptp(pelvis[:, :2], axis=0).max() < 1e-5
    heights = sole_heights(rest, pose_legs(rest, rest.turns(quats), pelvis))
    assert heights.min() == pytest.approx(0.5, abs=1e-4)
    confidence = [curve for curve in curves_of(armature) if curve.data_path in CONFIDENCE_PATHS]
    assert len(confidence) == 25
    assert all(curve.range()[:] == (11, 100) for curve in confidence)


def jolts(armature):
    """By how much a bone's turn from frame to frame changes, degrees: at the seam, and elsewhere."""
    for curve in curves_of(armature):
        curve.modifiers.new("CYCLES")
    armature.animation_data.action.update_tag()
    quats, _ = posed(armature, range(FRAMES - 60, FRAMES + 60))
    change = np.abs(np.diff(angles(quats[1:], quats[:-1]), axis=0))
    seam = slice(57, 62)
    return change[seam].max(), np.delete(change, range(seam.start, seam.stop), axis=0).max()


def test_a_loop_repeats_without_a_jump(armature):
    """Blender's own Cycles modifier goes on over the seam much as anywhere else."""
    clean(smooth=0.3, in_place="FULL")
    seam, elsewhere = jolts(armature)
    assert seam > 10 * elsewhere
    action = clean(use_loop=True)
    assert action.use_cyclic
    assert (action.frame_start, action.frame_end) == (1, FRAMES)
    seam, elsewhere = jolts(armature)
    assert seam < 2 * elsewhere


# --- nothing is lost


def test_the_source_is_never_changed_and_settings_go_back(armature):
    source = armature.animation_data.action
    before = fingerprint(curves_of(armature))
    first = clean()
    marked = first[MARK]["fingerprint"]
    assert first.name == "walk.person01.clean"
    assert first != source
    assert clean(smooth=0.6, in_place="FULL", use_thinning=False) == first  # rewritten in its place
    assert first[MARK]["fingerprint"] != marked
    clean(smooth=0.2, in_place="OFF", use_thinning=True)
    assert first[MARK]["fingerprint"] == marked
    assert bpy.ops.recover_motion.show_source() == {"FINISHED"}
    assert armature.animation_data.action == source
    assert fingerprint(curves_of(armature)) == before
    assert source.use_fake_user
    assert first.use_fake_user
    assert bpy.ops.recover_motion.show_cleaned() == {"FINISHED"}
    assert armature.animation_data.action == first
    assert len(bpy.data.actions) == 2


EDITS = {
    "value": lambda curve: setattr(curve.keyframe_points[1].co, "y", 0.123),
    "handle": lambda curve: setattr(curve.keyframe_points[1].handle_left, "y", 0.123),
    "interpolation": lambda curve: setattr(curve.keyframe_points[1], "interpolation", "CONSTANT"),
    "one more": lambda curve: curve.keyframe_points.insert(2.5, 0.5),
    "one less": lambda curve: curve.keyframe_points.remove(curve.keyframe_points[1]),
    "modifier": lambda curve: curve.modifiers.new("NOISE"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_keys_are_set_aside_and_said(armature, edit, capfd):
    cleaned = clean()
    curve = next(curve for curve in curves_of(armature) if curve.data_path == KNEE)
    EDITS[edit](curve)
    edited = fingerprint(curves_of(armature))
    again = clean(smooth=0.4)
    assert 'kept as "walk.person01.edited"' in capfd.readouterr().out
    assert again.name == "walk.person01.clean"
    assert cleaned.name == "walk.person01.edited"
    assert cleaned.use_fake_user
    assert fingerprint(Placed.in_slot(cleaned, "Recovered").curves()) == edited
    assert clean(smooth=0.5) == again  # not edited: nothing more is set aside
    assert len(bpy.data.actions) == 3
    assert armature.recover_motion_cleaning.source.name == "walk.person01"


def test_the_users_own_curves_stay_and_are_no_edit(armature):
    armature.keyframe_insert("location", frame=3)
    armature.recover_motion_cleaning.smooth = 0.1
    cleaned = clean()
    assert len(curves_of(armature)) == 97 + 2 + 25 + 3
    armature.keyframe_insert("scale", frame=7)
    assert clean(smooth=0.4) == cleaned
    paths = [curve.data_path for curve in curves_of(armature)]
    assert paths.count("location") == paths.count("scale") == 3


def test_an_edited_action_that_is_shown_is_no_source(armature):
    cleaned = clean()
    next(iter(curves_of(armature))).keyframe_points[0].co.y += 1
    clean()
    armature.animation_data.action = cleaned  # the edited one
    clean()
    assert armature.recover_motion_cleaning.source.name == "walk.person01"


def test_a_copied_armature_gets_an_action_of_its_own(armature):
    cleaned = clean()
    marked = fingerprint(curves_of(armature))
    other = armature.copy()
    bpy.context.scene.collection.objects.link(other)
    bpy.context.view_layer.objects.active = other
    own = clean(smooth=1.0)
    assert own != cleaned
    assert armature.animation_data.action == cleaned
    assert fingerprint(curves_of(armature)) == marked


def test_a_new_take_is_the_new_source(armature, tmp_path):
    clean()
    take = armature.recover_motion_cleaning.source.copy()
    take.name = "walk.person01.take2"
    Placed.in_slot(take, "Recovered").assign_to(armature.animation_data)
    again = clean()
    assert armature.recover_motion_cleaning.source == take
    assert again[MARK]["source"] == take.name


def test_a_take_in_an_nla_strip_is_cleaned_there(armature):
    animation = armature.animation_data
    source = animation.action
    strip = animation.nla_tracks.new().strips.new("take", 1, source)
    Placed.in_slot(source, "Recovered").assign_to(strip)
    animation.action = None
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    assert animation.action is None
    assert strip.action.name == "walk.person01.clean"
    motion = wanted(armature)
    quats, _ = posed(armature, motion.frames)
    assert angles(quats, motion.quats).max() <= 1.0 + 2e-4
    assert bpy.ops.recover_motion.show_source() == {"FINISHED"}
    assert strip.action == source


def test_it_is_saved_with_the_file(armature, tmp_path):
    clean(smooth=0.35)
    marked = fingerprint(curves_of(armature))
    bpy.ops.recover_motion.show_source()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    armature = bpy.data.objects["walk.person01"]
    bpy.context.view_layer.objects.active = armature
    settings = armature.recover_motion_cleaning
    assert settings.smooth == pytest.approx(0.35)
    assert armature.animation_data.action == settings.source
    assert fingerprint(Placed.in_slot(settings.cleaned, "Recovered").curves()) == marked
    assert clean() == settings.cleaned  # no edit was seen
    assert len(bpy.data.actions) == 2
