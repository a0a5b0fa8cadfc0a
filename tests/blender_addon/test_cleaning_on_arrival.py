# SPDX-License-Identifier: GPL-3.0-or-later
"""cleaning_on_arrival.py and arrival.py: one call imports and cleans; the recovered action stays as it is."""

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion import arrival, cleaning_on_arrival, job_form
from recover_motion.arrival import Destination
from recover_motion.cleaning_on_arrival import CleaningWishes, clean_imported
from recover_motion.compat import Placed, curves_of
from recover_motion.import_motion import import_motion
from recover_motion.jobs import Job, State
from recover_motion.motion_curves import fingerprint
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy


@pytest.fixture
def form(scene, tmp_path):
    recover_motion.register()
    (tmp_path / "walk.mp4").touch()
    scene.recover_motion.footage = str(tmp_path / "walk.mp4")
    scene.recover_motion.use_camera = False
    yield scene.recover_motion
    recover_motion.unregister()


@pytest.fixture
def motion(tmp_path):
    vectors = 0.3 * np.sin(np.arange(40)[:, None] / 9 + np.arange(72)) + np.random.default_rng(1).normal(
        0, 0.02, (40, 72)
    )
    return write_motion(tmp_path / "walk.person01.npz", count=40, poses=vectors, betas=np.zeros(10))


def arrive(form, motion, body):
    """What happens when the backend is done."""
    job = Job("recover", {}, imports=True)
    job.state = State.IMPORTING
    job.result = {"motions": [str(motion)], "folder": str(motion.parent), "body": str(body)}
    arrival.import_result(job, Destination.of(form.id_data))
    return job


def values(block):
    found = {}
    for curve in curves_of(block):
        keys = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", keys)
        found[curve.data_path, curve.array_index] = keys
    return found


def roughness(block):
    """Mean second difference of all rotations."""
    turns = [keys[1::2] for (path, _), keys in values(block).items() if path.endswith("rotation_quaternion")]
    return float(np.mean([np.abs(np.diff(keys, 2)).mean() for keys in turns]))


def test_nothing_is_cleaned_unless_it_is_asked_for(form, motion, synthetic_body_path):
    job = arrive(form, motion, synthetic_body_path)
    assert (job.state, job.details) == (State.DONE, ())
    armature = bpy.data.objects["walk.person01"]
    plain = import_motion(bpy.context, [motion], body_path=synthetic_body_path, use_camera=False).armatures[0]
    assert armature.animation_data.action.name == "walk.person01"
    assert fingerprint(curves_of(armature)) == fingerprint(curves_of(plain))
    assert armature.recover_motion_cleaning.source is None
    assert len([action for action in bpy.data.actions if "clean" in action.name]) == 0


def test_the_cleaned_action_is_beside_the_recovered_one(form, motion, synthetic_body_path):
    form.smooth = 0.3
    job = arrive(form, motion, synthetic_body_path)
    assert job.state is State.DONE
    assert job.details == ('walk.person01 moves by "walk.person01.clean"; the recovered action is kept.',)
    armature = bpy.data.objects["walk.person01"]
    settings = armature.recover_motion_cleaning
    plain = import_motion(bpy.context, [motion], body_path=synthetic_body_path, use_camera=False).armatures[0]
    assert settings.source.name == "walk.person01"
    assert fingerprint(Placed.in_slot(settings.source, "Recovered").curves()) == fingerprint(curves_of(plain))
    assert armature.animation_data.action == settings.cleaned
    assert roughness(armature) < 0.5 * roughness(plain)
    counts = {len(keys) // 2 for (path, _), keys in values(armature).items() if path.endswith("quaternion")}
    assert counts == {40}  # one key at every frame
    assert settings.smooth == pytest.approx(0.3)
    assert (settings.keep_feet, settings.use_floor, settings.use_thinning) == (True, False, False)


def test_the_floor_and_the_feet(form, motion, synthetic_body_path):
    form.floor, form.smooth, form.feet = "SOLES", 0.2, "FREE"
    arrive(form, motion, synthetic_body_path)
    settings = bpy.data.objects["walk.person01"].recover_motion_cleaning
    assert (settings.keep_feet, settings.use_floor, settings.floor) == (False, True, 0.0)
    assert settings.cleaned is not None
    form.smooth = 0.0
    assert Destination.of(form.id_data).cleaning
    form.floor = "RECOVERED"
    assert not Destination.of(form.id_data).cleaning


@pytest.mark.parametrize("use_nla", [False, True])
def test_a_bug_in_the_cleaning_leaves_the_motion_as_it_was_imported(
    form, motion, synthetic_body_path, monkeypatch, use_nla, capfd
):
    from recover_motion import cleaning

    def fails(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cleaning, "write_confidence", fails)  # late: the new action is in use already
    form.smooth, form.use_nla = 0.3, use_nla
    job = arrive(form, motion, synthetic_body_path)
    assert job.state is State.DONE
    assert job.details == (
        "walk.person01 was imported as recovered; cleaning it failed: ZeroDivisionError('a bug').",
    )
    assert "ZeroDivisionError" in capfd.readouterr().err
    armature = bpy.data.objects["walk.person01"]
    assert [action.name for action in bpy.data.actions] == ["walk.person01"]
    animation = armature.animation_data
    user = animation.nla_tracks[0].strips[0] if use_nla else animation
    assert user.action.name == "walk.person01"
    assert len(Placed.on(user).curves()) > 24 * 4
    assert armature.recover_motion_cleaning.cleaned is None
    monkeypatch.undo()
    assert clean_imported([armature], CleaningWishes(smooth=0.2), 30.0) == (
        'walk.person01 moves by "walk.person01.clean"; the recovered action is kept.',
    )


def test_an_armature_that_cannot_be_cleaned_is_named(form, motion, synthetic_body_path, monkeypatch):
    monkeypatch.setattr(cleaning_on_arrival, "reason_against", lambda armature: "It is too clean")
    form.smooth = 0.3
    job = arrive(form, motion, synthetic_body_path)
    assert job.state is State.DONE
    assert job.details == ("walk.person01 was not cleaned: It is too clean.",)


def test_what_was_set_on_an_earlier_armature_stays(form, motion, synthetic_body_path):
    armature = import_motion(bpy.context, [motion], body_path=synthetic_body_path).armatures[0]
    settings = armature.recover_motion_cleaning
    settings.trim_start, settings.use_thinning = 5, True
    with bpy.context.temp_override(object=armature):
        assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    form.existing, form.smooth = "REPLACE", 0.4
    arrive(form, motion, synthetic_body_path)
    assert settings.trim_start == 5
    assert settings.use_thinning
    assert settings.smooth == pytest.approx(0.4)
    assert settings.source.name == "walk.person01.001"


def test_the_form_gives_the_average_body_and_the_clips_place(form, motion, synthetic_body_path, tmp_path):
    write_motion(motion, count=12, seed=4)
    movie = tmp_path / "real.mp4"
    frames = [b"FRAME\n" + bytes(64 * 36) + bytes([128]) * (64 * 36 // 2) for _ in range(60)]
    movie.write_bytes(b"YUV4MPEG2 W64 H36 F30:1 Ip A1:1 C420jpeg\n" + b"".join(frames))
    form.clip = bpy.data.movieclips.load(str(movie))
    form.source, form.clip.frame_start, form.shape = "CLIP", 51, "AVERAGE"
    assert job_form.problem_of(form) == ""
    job = arrive(form, motion, synthetic_body_path)
    assert job.message == "Recovered one person, frames 51 to 62."
    armature = bpy.data.objects["walk.person01"]
    assert armature["recovered_from"]["shape_shown"] == "average"
