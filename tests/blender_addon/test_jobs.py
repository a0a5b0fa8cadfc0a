# SPDX-License-Identifier: GPL-3.0-or-later
"""The job's states, against a worker whose every word is set by the test."""

import pytest
from recover_motion import jobs
from recover_motion.backend_client import CANCELLED, Ended, Failure, Greeting, Log, Progress, Result
from recover_motion.jobs import Job, State


class Script:
    """Stands in for a worker: hands out what it is told to, and notes what it is asked."""

    def __init__(self, greeted=True):
        self.greeting = Greeting("0.1", "cpu") if greeted else None
        self.asked = []
        self.to_say = []
        self.closed = False

    def request(self, method, params):
        self.asked.append((method, params))
        return len(self.asked)

    def receive(self, patience=0.0):
        said, self.to_say = self.to_say, []
        return said

    def close_aside(self, patience=2.0):
        self.closed = True

    def says(self, job, *messages):
        self.to_say = list(messages)
        job.advance()


@pytest.fixture
def clock(monkeypatch):
    """The time, to be set by hand."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(jobs.time, "monotonic", lambda: Clock.now)
    return Clock


def recover(worker):
    job = Job("recover", {"footage": "walk.mp4"}, imports=True)
    job.begin(worker)
    return job


def test_waits_for_the_greeting_and_then_asks():
    worker = Script(greeted=False)
    job = recover(worker)
    assert job.state is State.STARTING
    assert worker.asked == []
    worker.says(job, Greeting("0.1", "cpu"))
    assert job.state is State.RUNNING
    assert worker.asked == [("recover", {"footage": "walk.mp4", "job": job.id})]


def test_a_worker_that_has_greeted_is_asked_at_once():
    worker = Script()
    assert recover(worker).state is State.RUNNING
    assert len(worker.asked) == 1


def test_jobs_have_names_of_their_own():
    assert Job("recover", {}).id != Job("recover", {}).id


def test_shows_the_progress_of_the_present_stage(clock):
    worker = Script()
    job = recover(worker)
    assert job.progress_text() == "Getting ready"
    worker.says(job, Progress(job.id, "people", 0, 120, None))
    clock.now += 10.0
    worker.says(job, Progress(job.id, "people", 60, 120, 10.0))
    assert job.fraction == pytest.approx(0.31)
    assert job.stage_text() == "Finding people, 60 of 120"
    assert job.time_text() == "23 s left"  # 0.3 of it took ten seconds, 0.69 is left
    assert job.progress_text() == "Finding people, 60 of 120, 23 s left"
    worker.says(job, Progress(job.id, "fit", 7, None, None))
    assert job.fraction == pytest.approx(0.61)
    assert job.stage_text() == "Fitting the body, 7"
    worker.says(job, Progress(job.id, "new_stage", 0, None, 4000.0))
    assert job.stage_text() == "New stage"
    worker.says(job, Progress("another", "write", 1, 1, 0.0))
    assert job.stage == "new_stage"
    worker.says(job, Progress(job.id, "write", 12, 10, 9000.0))
    assert job.fraction == pytest.approx(1.0)
    assert job.stage_text() == "Writing the motion, 10 of 10"


def test_pictures_are_asked_for_only_where_they_are_wanted_and_known():
    asked = []
    for features in (frozenset(), frozenset({"preview"})):
        for wanted in (False, True):
            worker = Script()
            worker.greeting = Greeting("0.1", "cpu", features)
            job = Job("recover", {"footage": "walk.mp4"}, imports=True)
            job.wants_preview = wanted
            job.begin(worker)
            asked.append(worker.asked[0][1].get("preview", False))
    assert asked == [False, False, False, True]


def test_the_last_picture_is_known_and_how_many_there_were():
    worker = Script()
    job = recover(worker)
    assert job.preview == ("", 0)
    for done, preview in ((1, "a.ppm"), (2, ""), (3, "a.ppm")):
        worker.says(job, Progress(job.id, "people", done, 9, None, preview))
    assert job.preview == ("a.ppm", 2)


def test_a_queued_job_is_cancelled_without_a_word_to_the_worker():
    job = Job("recover", {"footage": "walk.mp4"}, imports=True)
    job.state = State.QUEUED
    assert job.active
    assert not job.with_worker
    job.cancel()
    assert (job.state, job.exit_code) == (State.CANCELLED, 130)


def test_a_result_may_wait_for_the_user():
    worker = Script()
    job = recover(worker)
    worker.says(job, Result(1, {"motions": ["a.npz"]}))
    job.wait_to_be_imported()
    assert (job.state, job.exit_code) == ("recovered, waiting to be imported", 0)
    assert not job.active


def test_a_result_is_to_be_imported_and_then_done():
    worker = Script()
    job = recover(worker)
    worker.says(job, Result(99, {"motions": []}), Result(1, {"motions": ["a.npz"]}))
    assert job.state is State.IMPORTING
    assert job.active
    job.imported("One person recovered.")
    assert (job.state, job.message, job.exit_code) == (State.DONE, "One person recovered.", 0)
    assert not job.active


def test_an_import_that_waits_can_be_cancelled():
    worker = Script()
    job = recover(worker)
    worker.says(job, Result(1, {"motions": ["a.npz"]}))
    job.cancel()
    assert job.state is State.CANCELLED
    assert job.result["motions"] == ["a.npz"]
    assert len(worker.asked) == 1  # the worker has done its part


def test_a_failed_import_is_not_a_failed_recovery():
    worker = Script()
    job = recover(worker)
    worker.says(job, Result(1, {"motions": ["a.npz"]}))
    job.import_failed("Recovered, but the file is newer than this add-on.")
    assert job.state == "recovered, import failed"
    assert job.result["motions"] == ["a.npz"]
    assert job.exit_code == 3


def test_a_job_without_import_is_done_with_its_result():
    worker = Script()
    job = Job("doctor", {})
    job.begin(worker)
    assert worker.asked == [("doctor", {})]
    worker.says(job, Result(1, {"ok": True}))
    assert job.state is State.DONE


def test_a_failure_keeps_its_words_and_exit_code():
    worker = Script()
    job = recover(worker)
    worker.says(job, Failure(None, -32700, "that was no JSON"), Failure(1, -32004, "There is nobody.", 4))
    assert (job.state, job.message, job.exit_code) == (State.FAILED, "There is nobody.", 4)


def test_a_failure_without_exit_code_is_still_a_failure():
    worker = Script()
    job = recover(worker)
    worker.says(job, Failure(1, -32603, "internal", None))
    assert job.exit_code == 1


@pytest.mark.parametrize("greeted", [True, False])
def test_a_crash_ends_it_with_the_last_words(greeted):
    worker = Script(greeted)
    job = recover(worker)
    worker.says(job, Ended("The backend stopped.", ("out of memory",)))
    assert (job.state, job.exit_code, job.details) == (State.FAILED, 1, ("out of memory",))
    assert job.message.startswith("The backend stopped.")
    assert ("goes on from there" in job.message) is greeted  # how to go on, when it had begun


def test_log_lines_are_kept_but_not_without_end():
    worker = Script()
    job = recover(worker)
    worker.says(job, *(Log(str(number)) for number in range(50)))
    assert job.details == tuple(str(number) for number in range(40, 50))


def test_cancel_waits_for_the_worker_to_confirm():
    worker = Script()
    job = recover(worker)
    job.cancel()
    assert job.state is State.CANCELLING
    assert worker.asked[-1] == ("cancel", {"job": job.id})
    job.cancel()
    assert len(worker.asked) == 2  # once is enough
    worker.says(job, Result(2, {"cancelled": True}), Progress(job.id, "fit", 9, 10, None))
    assert job.state is State.CANCELLING
    worker.says(job, Failure(1, CANCELLED, "Cancelled. Finished stages are kept.", 130))
    assert (job.state, job.exit_code) == (State.CANCELLED, 130)
    assert not worker.closed


def test_cancel_before_the_start_asks_nobody():
    worker = Script(greeted=False)
    job = recover(worker)
    job.cancel()
    assert job.state is State.CANCELLED
    worker.says(job, Greeting("0.1", "cpu"))
    assert worker.asked == []


def test_a_worker_deaf_to_cancel_is_stopped(clock):
    worker = Script()
    job = recover(worker)
    job.cancel()
    clock.now += jobs.CANCEL_PATIENCE - 0.1
    job.advance()
    assert job.active
    clock.now += 0.2
    job.advance()
    assert job.state is State.CANCELLED
    assert worker.closed


def test_a_worker_that_cannot_cancel_is_not_waited_for_long(clock):
    worker = Script()
    job = recover(worker)
    job.cancel()
    worker.says(job, Result(2, {"cancelled": False}))
    assert job.active
    clock.now += 2.1
    job.advance()
    assert job.state is State.CANCELLED
    assert worker.closed


def test_a_crash_while_cancelling_is_a_cancel():
    worker = Script()
    job = recover(worker)
    job.cancel()
    worker.says(job, Ended("gone"))
    assert job.state is State.CANCELLED


def test_a_result_that_came_with_the_cancel_is_not_lost_nor_imported():
    worker = Script()
    job = recover(worker)
    job.cancel()
    worker.says(job, Result(1, {"motions": ["a.npz"], "folder": "out"}))
    assert job.state is State.CANCELLED
    assert job.result["motions"] == ["a.npz"]
    assert "out" in job.message


def test_a_worker_that_never_greets_is_given_up(clock):
    worker = Script(greeted=False)
    job = recover(worker)
    clock.now += jobs.START_PATIENCE + 1
    job.advance()
    assert (job.state, job.exit_code) == (State.FAILED, 1)
    assert worker.closed


def test_a_running_job_may_take_as_long_as_it_likes(clock):
    worker = Script()
    job = recover(worker)
    clock.now += 1e6
    job.advance()
    assert job.state is State.RUNNING
