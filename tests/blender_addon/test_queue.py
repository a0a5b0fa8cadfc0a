# SPDX-License-Identifier: GPL-3.0-or-later
"""Several jobs: one after another, each as its form was at its click, whatever becomes of the others."""

import time
from pathlib import Path

import bpy
import pytest
from recover_motion import arrival, job_form, session
from recover_motion.jobs import State

pytestmark = [pytest.mark.bpy, pytest.mark.once]


@pytest.fixture
def ask(form, tmp_path):
    """What a click on the button does, for a clip whose name tells the fake worker what to do."""

    def click(name, operator="RECOVER_MOTION_OT_recover", **choices):
        clip = tmp_path / f"{name}.mp4"
        clip.touch()
        now = bpy.context.scene.recover_motion
        now.footage = str(clip)
        for choice, value in choices.items():
            setattr(now, choice, value)
        kind = getattr(bpy.types, operator)
        assert kind.poll(bpy.context)
        job = kind.job(None, bpy.context.scene)
        first = operator.endswith("find_people")
        session.start(job, arrival.Destination.of(bpy.context.scene), first=first)
        return job

    return click


def poll_until(condition, seconds=30.0):
    """What the timer would do; in the background none fires."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, [
            (entry.job.state, entry.job.message) for entry in session.all_entries()
        ]
        session._poll()
        time.sleep(0.02)


def all_over():
    return not session.busy() and not any(entry.job.active for entry in session.ended)


def test_jobs_run_one_after_another_in_order(ask):
    jobs = [ask(name) for name in ("one", "two", "three")]
    assert [job.state for job in jobs] == [State.STARTING, State.QUEUED, State.QUEUED]
    assert [entry.job for entry in session.waiting] == jobs[1:]
    order = []

    def note():
        if session.job not in order:
            order.append(session.job)
        assert sum(job.with_worker for job in jobs) <= 1
        return all_over()

    poll_until(note)
    assert order == jobs
    assert [job.state for job in jobs] == [State.DONE] * 3
    assert {"one.person01", "two.person01", "three.person01"} <= set(bpy.data.objects.keys())


def test_each_has_the_form_and_the_scene_of_its_own_click(ask, form, tmp_path):
    home = bpy.context.scene
    ask("slow")
    late = ask("walk", out=str(tmp_path / "there"), who="LARGEST", use_camera=False)
    form.out, form.who, form.use_camera = "", "ALL", True  # changed after the click
    entry = session.waiting[0]
    assert entry.destination.footage == tmp_path / "walk.mp4"
    assert entry.destination.scene == home.session_uid
    assert not entry.destination.use_camera
    session.cancel()
    poll_until(all_over)
    assert late.result["request"]["person"] == "largest"
    assert late.result["folder"] == str(tmp_path / "there")
    assert home.camera is None


@pytest.mark.parametrize("clip", ["unreadable", "crash", "exits"])
def test_a_failed_job_does_not_stop_the_others(ask, clip):
    failed, done = ask(clip), ask("walk")
    poll_until(all_over)
    assert (failed.state, done.state) == (State.FAILED, State.DONE)
    assert [entry.job for entry in session.ended] == [done, failed]  # what went wrong is still to be seen
    session.dismiss(failed.id)
    assert [entry.job for entry in session.ended] == [done]


def test_a_job_that_cannot_be_started_does_not_stop_the_others(ask, monkeypatch):
    ask("slow")
    lost, done = ask("walk"), ask("again")
    good = session._command

    def gone_for_a_moment():
        monkeypatch.setattr(session, "_command", good)
        raise session.BackendProblem("The backend folder is not there.")

    monkeypatch.setattr(session, "_command", gone_for_a_moment)
    session.cancel()
    poll_until(all_over)
    assert (lost.state, lost.message) == (State.FAILED, "The backend folder is not there.")
    assert done.state is State.DONE


def test_a_waiting_job_is_taken_out(ask):
    ask("slow")
    first, second = ask("walk"), ask("run")
    bpy.ops.recover_motion.cancel(name=first.id)
    assert first.state is State.CANCELLED
    assert [entry.job for entry in session.waiting] == [second]
    session.cancel()
    poll_until(all_over)
    assert second.state is State.DONE
    assert "walk.person01" not in bpy.data.objects


def test_cancel_lets_the_next_have_its_turn(ask):
    slow, walk = ask("slow"), ask("walk")
    poll_until(lambda: slow.stage == "fit")
    bpy.ops.recover_motion.cancel()
    poll_until(all_over)
    assert (slow.state, walk.state) == (State.CANCELLED, State.DONE)


def test_the_next_waits_until_a_stubborn_worker_is_gone(ask, monkeypatch):
    monkeypatch.setattr("recover_motion.jobs.CANCEL_PATIENCE", 0.3)
    hang, walk = ask("hang"), ask("walk")
    poll_until(lambda: hang.stage)
    old = session._worker
    bpy.ops.recover_motion.cancel()
    poll_until(lambda: not hang.active)
    while walk.state is State.QUEUED:
        session._poll()
        assert walk.state is State.QUEUED or not old.closing  # it may hold the folder
        time.sleep(0.01)
    poll_until(all_over)
    assert walk.state is State.DONE


def test_the_queue_outlives_the_file(ask):
    ask("slow")
    waiting = ask("walk")
    bpy.ops.wm.read_homefile(use_empty=True)
    assert [entry.job for entry in session.waiting] == [waiting]
    session.cancel()
    poll_until(all_over)
    assert waiting.state is State.NOT_IMPORTED  # its scene is not there any more
    assert "no longer open" in waiting.message
    assert Path(waiting.result["motions"][0]).is_file()
    assert bpy.ops.recover_motion.import_result(name=waiting.id) == {"FINISHED"}
    assert "walk.person01" in bpy.data.objects


def test_nothing_is_left_of_the_queue_when_the_addon_goes(ask, monkeypatch):
    running, waiting = ask("slow"), ask("walk")
    poll_until(lambda: running.stage)
    pid = session._worker.pid
    session.stop()
    assert (running.state, waiting.state) == (State.FAILED, State.FAILED)
    assert waiting.message == "Stopped with the add-on."
    assert not session.waiting
    assert not session.busy()
    assert not bpy.app.timers.is_registered(session._poll)
    assert not Path(f"/proc/{pid}").exists()


def test_find_people_is_next_and_the_check_has_to_wait(ask):
    ask("slow")
    later = ask("walk")
    people = ask("other", "RECOVER_MOTION_OT_find_people")
    assert [entry.job for entry in session.waiting] == [people, later]
    assert not bpy.ops.recover_motion.check_backend.poll()
    session.cancel()
    poll_until(all_over)
    assert (people.state, later.state) == (State.DONE, State.DONE)
    assert bpy.ops.recover_motion.check_backend.poll()


def test_a_script_that_would_wait_is_told_so(ask, form):
    ask("slow")
    with pytest.raises(RuntimeError, match="A job is running"):
        bpy.ops.recover_motion.recover()


def test_pictures_are_asked_for_in_a_window_where_the_preferences_want_them(ask, monkeypatch, tmp_path):
    assert ask("slow").wants_preview
    monkeypatch.setattr(session.settings, "shows_preview", lambda: False)
    assert not ask("walk").wants_preview
    session.stop()
    monkeypatch.setattr(session.settings, "shows_preview", lambda: True)
    job = session.Job("recover", {"footage": str(tmp_path / "run.mp4"), "out": str(tmp_path / "out")})
    session.run(job)
    assert job.state is State.DONE
    assert not job.wants_preview  # nobody would see it


# --- when the motion is there


def test_results_may_wait_for_a_click_each(ask):
    jobs = [ask(name, when_done="WAIT") for name in ("one", "two")]
    poll_until(all_over)
    assert [job.state for job in jobs] == [State.TO_IMPORT] * 2
    assert not bpy.data.armatures
    assert bpy.ops.recover_motion.import_result(name=jobs[0].id) == {"FINISHED"}
    assert (jobs[0].state, jobs[1].state) == (State.DONE, State.TO_IMPORT)
    assert "one.person01" in bpy.data.objects
    assert "two.person01" not in bpy.data.objects
    with pytest.raises(RuntimeError, match="no result"):
        bpy.ops.recover_motion.import_result(name=jobs[0].id)
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}  # the one that is left
    assert "two.person01" in bpy.data.objects
    assert not bpy.ops.recover_motion.import_result.poll()


def test_a_script_is_told_that_the_result_waits(form, tmp_path):
    (tmp_path / "walk.mp4").touch()
    form.footage, form.when_done = str(tmp_path / "walk.mp4"), "WAIT"
    assert bpy.ops.recover_motion.recover() == {"FINISHED"}
    assert session.job.state is State.TO_IMPORT


def test_a_result_that_waits_for_object_mode_does_not_hold_up_the_next_job(ask):
    bpy.ops.object.armature_add()
    bpy.ops.object.mode_set(mode="EDIT")
    one, two = ask("one"), ask("two")
    poll_until(lambda: one.state is two.state is State.IMPORTING)
    session._poll()
    assert one.message == two.message == "Recovered. Go back to Object Mode to import the result."
    assert not session.busy()
    bpy.ops.recover_motion.cancel(name=two.id)  # do not import this one
    bpy.ops.object.mode_set(mode="OBJECT")
    poll_until(all_over)
    assert (one.state, two.state) == (State.DONE, State.CANCELLED)
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}  # after all
    assert two.state is State.DONE


def test_the_panel_says_that_it_imports_before_blender_is_busy_with_that(ask, monkeypatch):
    told = []
    monkeypatch.setattr(session, "redraw", lambda: told.append(session.job.message))
    importing = session.arrival.import_result
    monkeypatch.setattr(
        session.arrival, "import_result", lambda *given: (told.append("now"), importing(*given))
    )
    ask("walk")
    poll_until(all_over)
    assert told[told.index("now") - 1] == "Importing"


def test_results_that_wait_for_object_mode_are_kept_when_the_backend_is_stopped(ask):
    bpy.ops.object.armature_add()
    bpy.ops.object.mode_set(mode="EDIT")
    job = ask("walk")
    poll_until(lambda: job.state is State.IMPORTING)
    session.stop()
    assert job.state is State.TO_IMPORT
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.recover_motion.import_result() == {"FINISHED"}


def test_a_failure_is_forgotten_when_the_same_is_asked_again(ask, tmp_path):
    failed = ask("unreadable")
    poll_until(all_over)
    again = ask("unreadable")
    poll_until(all_over)
    assert [entry.job for entry in session.ended] == [again]
    assert failed.state is State.FAILED
    assert job_form.footage_of(bpy.context.scene.recover_motion) == tmp_path / "unreadable.mp4"


def test_an_answer_that_makes_no_sense_does_not_stop_the_others(ask, monkeypatch):
    def broken(*_):
        raise KeyError("person")

    monkeypatch.setattr(arrival, "list_people", broken)
    people, walk = ask("other", "RECOVER_MOTION_OT_find_people"), ask("walk")
    poll_until(all_over)
    assert people.state is State.FAILED
    assert "not understood" in people.message
    assert walk.state is State.DONE
