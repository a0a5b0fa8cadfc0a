# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators end to end: a worker that is no network, and then the real import."""

import math
import time
from pathlib import Path

import bpy
import pytest
from recover_motion import arrival, job_form, session
from recover_motion.jobs import State
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy


@pytest.fixture
def choose(form, tmp_path):
    """Makes a clip whose name tells the fake worker what to do, and puts it into the form."""

    def choose_clip(name):
        clip = tmp_path / f"{name}.mp4"
        clip.touch()
        form.footage = str(clip)
        return clip

    return choose_clip


def poll_until(condition, seconds=20.0):
    """What the timer would do; in the background none fires."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, session.job and session.job.message
        session._poll()
        time.sleep(0.02)


def start():
    """What a click does: `invoke`, which Blender does not call in the background."""
    operator = bpy.ops.recover_motion.recover
    assert operator.poll()
    job = session.Job("recover", job_form.request_of(bpy.context.scene.recover_motion), imports=True)
    session.start(job, arrival.Destination.of(bpy.context.scene))
    return job


def test_recover_blocks_and_leaves_a_keyed_body(form, choose, tmp_path, capfd):
    choose("walk")
    assert bpy.ops.recover_motion.recover() == {"FINISHED"}
    assert session.job.state is State.DONE
    assert session.job.message == "Recovered one person, frames 1 to 12."
    armature = bpy.data.objects["walk.person01"]
    assert armature.type == "ARMATURE"
    assert armature.animation_data.action is not None
    assert (tmp_path / "walk_motion" / "walk.person01.npz").is_file()
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Recover Motion: ")]
    assert len(said) >= 2
    assert said[-1] == "Recover Motion: Importing"
    assert bpy.context.scene.camera is not None


def test_recover_sends_what_the_form_says(form, choose, tmp_path):
    clip = choose("walk")
    form.out = str(tmp_path / "elsewhere")
    form.who = "LARGEST"
    form.part, form.start, form.end = "TIMES", 1.25, 3.5
    form.camera_fov = math.radians(60.0)
    form.use_camera = False
    bpy.ops.recover_motion.recover()
    sent = session.job.result["request"]
    assert sent == {
        "footage": str(clip),
        "out": str(tmp_path / "elsewhere"),
        "person": "largest",
        "start": 1.25,
        "end": 3.5,
        "camera_fov": pytest.approx(60.0, abs=1e-3),
        "job": session.job.id,
    }
    assert bpy.context.scene.camera is None


def test_what_is_left_open_is_not_sent(form, choose, tmp_path):
    clip = choose("walk")
    form.start = 9.0  # with the whole footage it means nothing
    assert job_form.request_of(form) == {
        "footage": str(clip),
        "out": str(tmp_path / "walk_motion"),
        "person": "all",
    }
    form.part = "TIMES"
    assert job_form.clip_of(form) == {"footage": str(clip), "start": 9.0}


def test_paths_are_relative_to_the_file_and_folders_keep_their_name(form, tmp_path):
    frames = tmp_path / "shot.v2"
    frames.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    form = bpy.context.scene.recover_motion
    form.footage = "//shot.v2"
    assert job_form.footage_of(form) == frames
    assert job_form.out_of(form) == tmp_path / "shot.v2_motion"
    form.footage = f"{frames}/"
    assert job_form.out_of(form) == tmp_path / "shot.v2_motion"


@pytest.mark.parametrize(
    ("clip", "words", "exit_code"),
    [
        ("unreadable", "is not a video", 3),
        ("empty", "There is nobody in", 4),
        ("exits", "no space left", 1),
        ("crash", "the last straw", 1),
    ],
)
def test_a_failure_says_why_and_the_next_job_works(form, choose, clip, words, exit_code):
    choose(clip)
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.recover_motion.recover()
    assert session.job.state is State.FAILED
    assert session.job.exit_code == exit_code
    assert len(bpy.data.armatures) == 0
    choose("walk")
    assert bpy.ops.recover_motion.recover() == {"FINISHED"}


def test_the_worker_stays_between_jobs(form, choose):
    choose("walk")
    bpy.ops.recover_motion.recover()
    pid = session._worker.pid
    bpy.ops.recover_motion.recover()
    assert session._worker.pid == pid


def test_a_spoiled_motion_file_is_a_failed_import_of_a_recovered_motion(form, choose, tmp_path):
    choose("spoiled")
    with pytest.raises(RuntimeError, match="Recovered, but not imported"):
        bpy.ops.recover_motion.recover()
    assert session.job.state is State.NOT_IMPORTED
    assert len(bpy.data.objects) == 0
    # once the cause is out of the way, the result can be imported without recovering again
    write_motion(tmp_path / "spoiled_motion" / "spoiled.person01.npz")
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}
    assert session.job.state is State.DONE
    assert "spoiled.person01" in bpy.data.objects
    assert not bpy.ops.recover_motion.import_result.poll()


def test_a_bug_in_the_import_does_not_cost_the_motion(form, choose, monkeypatch):
    def broken(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(arrival, "import_motion", broken)
    choose("walk")
    with pytest.raises(RuntimeError, match=r"the import failed: KeyError\('a bug'\)"):
        bpy.ops.recover_motion.recover()
    assert session.job.state is State.NOT_IMPORTED
    assert Path(session.job.result["motions"][0]).is_file()


def test_a_click_returns_at_once_and_the_timer_does_the_rest(form, choose):
    choose("walk")
    began = time.monotonic()
    job = start()
    assert time.monotonic() - began < 1.0
    assert job.state is State.STARTING
    assert bpy.app.timers.is_registered(session._poll)
    poll_until(lambda: not job.active)
    assert session._poll() is None  # the timer ends
    assert job.state is State.DONE
    assert bpy.context.window_manager.recover_motion is job
    assert "walk.person01" in bpy.data.objects


def test_cancel(form, choose):
    choose("slow")
    assert not bpy.ops.recover_motion.cancel.poll()
    job = start()
    poll_until(lambda: job.stage == "fit")
    assert bpy.ops.recover_motion.cancel() == {"FINISHED"}
    assert job.state is State.CANCELLING
    assert not bpy.ops.recover_motion.cancel.poll()
    poll_until(lambda: not job.active)
    assert job.state is State.CANCELLED
    assert session._worker.alive  # the models stay loaded
    choose("walk")
    assert bpy.ops.recover_motion.recover() == {"FINISHED"}


def test_cancel_of_what_was_just_done_keeps_the_result(form, choose):
    choose("late")
    job = start()
    poll_until(lambda: job.stage)
    bpy.ops.recover_motion.cancel()
    poll_until(lambda: not job.active)
    assert job.state is State.CANCELLED
    assert len(bpy.data.armatures) == 0
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}
    assert "late.person01" in bpy.data.objects


def test_cancel_of_a_worker_that_hangs(form, choose, monkeypatch):
    choose("hang")
    job = start()
    poll_until(lambda: job.stage)
    bpy.ops.recover_motion.cancel()
    poll_until(lambda: not job.active)
    assert job.state is State.CANCELLED
    assert session._worker is None  # it is closed aside


def test_ctrl_c_cancels_a_blocking_job(form, choose, monkeypatch):
    choose("slow")
    tell = iter([None, KeyboardInterrupt])

    def interrupted(job):
        if job.stage == "fit" and next(tell, None):
            raise KeyboardInterrupt

    job = session.Job("recover", job_form.request_of(form), imports=True)
    session.run(job, arrival.Destination.of(bpy.context.scene), tell=interrupted)
    assert (job.state, job.exit_code) == (State.CANCELLED, 130)


def test_a_job_outlives_its_file_but_is_not_imported_into_another(form, choose):
    choose("walk")
    job = start()
    bpy.ops.wm.read_homefile(use_empty=True)
    poll_until(lambda: not job.active)
    assert job.state is State.NOT_IMPORTED
    assert "no longer open" in job.message
    assert len(bpy.data.armatures) == 0
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}  # now the user has asked for it
    assert "walk.person01" in bpy.data.objects


def test_waits_for_the_scene_it_was_started_from(form, choose):
    choose("walk")
    home = bpy.context.scene
    job = start()
    other = bpy.data.scenes.new("Other")
    bpy.context.window_manager.windows[0].scene = other
    poll_until(lambda: job.state is State.IMPORTING)
    session._poll()
    assert job.message == 'Recovered. Go to the scene "Scene" to import the result.'
    bpy.context.window_manager.windows[0].scene = home
    poll_until(lambda: not job.active)
    assert job.state is State.DONE
    assert "walk.person01" in home.objects
    assert len(other.objects) == 0


@pytest.mark.parametrize("mode", ["EDIT", "OBJECT"])
def test_waits_until_edit_mode_is_left(form, choose, mode):
    choose("walk")
    bpy.ops.object.armature_add()
    bpy.ops.object.mode_set(mode=mode)
    job = start()
    poll_until(lambda: job.state is not State.STARTING and job.state is not State.RUNNING)
    if mode == "EDIT":
        session._poll()
        assert job.message == "Recovered. Go back to Object Mode to import the result."
        assert job.active
        bpy.ops.object.mode_set(mode="OBJECT")
    poll_until(lambda: not job.active)
    assert job.state is State.DONE


def test_find_people_fills_the_list_for_that_clip_alone(form, choose):
    choose("walk")
    form.who = "CHOSEN"
    assert not bpy.ops.recover_motion.recover.poll()
    assert bpy.ops.recover_motion.find_people() == {"FINISHED"}
    assert [(one.name, one.start, one.end) for one in form.people] == [
        ("Person 1", 0.0, 1.0),
        ("Person 2", 0.0, 2.0),
        ("Person 3", 0.0, 3.0),
    ]
    assert session.job.message == "Found 3 people."
    form.people[1].chosen = False
    assert job_form.request_of(form)["person"] == "1,3"
    assert bpy.ops.recover_motion.recover.poll()
    for person in form.people:
        person.chosen = False
    assert not bpy.ops.recover_motion.recover.poll()
    form.people[0].chosen = True
    choose("crash")  # another clip: its people have other numbers
    assert job_form.chosen_people(form) == []
    choose("walk")
    assert job_form.chosen_people(form) == [1]
    form.part, form.start = "TIMES", 0.5
    assert job_form.chosen_people(form) == []


def test_check_backend_tells_what_is_wrong(form):
    assert bpy.ops.recover_motion.check_backend() == {"FINISHED"}
    assert [(check.name, check.ok) for check in session.checks] == [("torch", True), ("body", False)]
    assert session.checks[1].advice == "Run `python build.py setup`."
    assert session.job.message == "The backend has a problem: body."
    assert session.job.exit_code == 1


def test_the_form_says_what_is_missing(form, choose, tmp_path):
    assert job_form.problem_of(form) == "Choose the footage first"
    form.footage = str(tmp_path / "gone.mp4")
    assert job_form.problem_of(form).startswith("The footage is not there: ")
    form.footage = str(tmp_path / "shot_%04d.png")
    assert job_form.problem_of(form).startswith("There is no image of the sequence ")
    form.footage = str(tmp_path)
    assert job_form.problem_of(form).startswith("There are no images in the folder ")
    choose("take #2")  # a name that looks like a pattern
    assert job_form.problem_of(form) == ""
    form.camera_fov = math.radians(0.5)
    assert "field of view" in job_form.problem_of(form)
    form.camera_fov = 0.0
    form.part, form.start, form.end = "TIMES", 3.0, 2.0
    assert job_form.problem_of(form) == "The range ends before it starts"
    form.end = 0.0  # to the clip's end
    assert job_form.problem_of(form) == ""


def test_a_wrong_backend_path_is_said_and_nothing_starts(form, choose, monkeypatch):
    choose("walk")
    monkeypatch.setenv("FASTHMR_COMMAND", "/nowhere/fasthmr")
    monkeypatch.setattr(session, "_found", (0.0, "", ("", "")))
    assert not bpy.ops.recover_motion.recover.poll()
    assert "'/nowhere/fasthmr'" in session.found_backend()[1]
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.recover_motion.recover()
    assert session.job is None


def test_import_takes_several_files_or_one_path(form, tmp_path):
    for person in (1, 2):
        write_motion(tmp_path / f"clip.person{person:02d}.npz", seed=person)
    files = [{"name": f"clip.person{person:02d}.npz"} for person in (1, 2)]
    assert bpy.ops.recover_motion.import_motion(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert {"clip.person01", "clip.person02"} <= set(bpy.data.objects.keys())
    path = tmp_path / "clip.person01.npz"
    again = bpy.ops.recover_motion.import_motion(
        filepath=str(path), use_start_frame=True, start_frame=50, use_camera=False
    )
    assert again == {"FINISHED"}
    action = bpy.data.objects["clip.person01.001"].animation_data.action
    assert action.frame_range[0] == 50.0


def test_import_of_rubbish_reports_and_changes_nothing(form, tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("not an archive")
    before = len(bpy.data.objects), len(bpy.data.collections)
    with pytest.raises(RuntimeError, match=r"notes\.npz"):
        bpy.ops.recover_motion.import_motion(filepath=str(path))
    assert (len(bpy.data.objects), len(bpy.data.collections)) == before


def test_nothing_is_imported_while_something_else_is_edited(form, choose, tmp_path):
    bpy.ops.object.armature_add()
    bpy.ops.object.mode_set(mode="EDIT")
    assert not bpy.ops.recover_motion.import_motion.poll()
    bpy.ops.object.mode_set(mode="POSE")
    assert bpy.ops.recover_motion.import_motion.poll()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.recover_motion.import_motion.poll()
