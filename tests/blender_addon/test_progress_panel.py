# SPDX-License-Identifier: GPL-3.0-or-later
"""progress_panel.py: every state of a job says what it is and has the buttons that belong to it."""

from types import SimpleNamespace

import bpy
import pytest
import recover_motion
from recover_motion import live_view, progress_panel, session
from recover_motion.jobs import Job, State

pytestmark = pytest.mark.bpy


class Paper:
    """A layout that takes note of what is drawn on it."""

    def __init__(self):
        self.said, self.buttons, self.bars, self.icons = [], [], [], []

    def _part(self, **_):
        return self

    row = column = box = _part

    def label(self, text="", **_):
        self.said.append(text)

    def progress(self, factor=0.0, text="", **_):
        self.bars.append((factor, text))

    def template_icon(self, icon, scale=1.0):
        self.icons.append(icon)

    def operator(self, name, **_):
        module, _, function = name.partition(".")
        assert getattr(getattr(bpy.ops, module), function).get_rna_type()
        properties = SimpleNamespace()
        self.buttons.append((name, properties))
        return properties

    def of(self, name):
        """The jobs that a button is there for."""
        return [getattr(properties, "name", "") for one, properties in self.buttons if one == name]


@pytest.fixture
def addon(monkeypatch):
    recover_motion.register()
    monkeypatch.setattr(progress_panel, "write", lambda layout, context, text, *_, **__: layout.label(text))
    yield
    session.ended.clear()
    session.waiting.clear()
    recover_motion.unregister()


def a_job(state, name="walk", method="recover", **result):
    job = Job(method, {"footage": f"/clips/{name}.mp4"} if method != "doctor" else {}, imports=True)
    job.state, job.message, job.result = state, f"this is {state}", result
    return session.Entry(job, None)


def draw():
    paper = Paper()
    progress_panel.draw_jobs(paper, bpy.context)
    return paper


def test_nothing_is_drawn_while_there_was_no_job(addon):
    paper = draw()
    assert (paper.said, paper.buttons) == ([], [])


def test_the_running_job_has_a_bar_over_the_whole_and_the_stage_below(addon, monkeypatch):
    entry = a_job(State.RUNNING)
    job = entry.job
    job.stage, job.done, job.total = "people", 30, 120
    job.whole.note("people", 30, 120)
    monkeypatch.setattr(session, "job", job)
    monkeypatch.setattr(session, "_running", entry)
    paper = draw()
    assert paper.bars == [(pytest.approx(0.16), "16%")]
    assert paper.said == ["walk", "Finding people, 30 of 120"]
    assert paper.of("recover_motion.cancel") == [""]
    monkeypatch.setattr(live_view, "icon_of", lambda job: 77)
    assert draw().icons == [77]


def test_waiting_jobs_have_a_button_each_to_take_them_out(addon):
    session.waiting[:] = [a_job(State.QUEUED, "one"), a_job(State.QUEUED, "two", "people")]
    paper = draw()
    assert paper.said == ["Waiting: 2", "one", "People in two"]
    assert paper.of("recover_motion.cancel") == [entry.job.id for entry in session.waiting]


@pytest.mark.parametrize(
    ("state", "importable"),
    [
        (State.DONE, False),
        (State.FAILED, False),
        (State.TO_IMPORT, True),
        (State.NOT_IMPORTED, True),
        (State.CANCELLED, True),
    ],
)
def test_an_ended_job_says_how_and_can_be_dismissed(addon, state, importable):
    entry = a_job(state, folder="/clips/walk_motion", motions=["/clips/a.npz"])
    session.ended[:] = [entry]
    paper = draw()
    assert paper.said[:2] == ["walk", f"this is {state}"]
    assert paper.of("recover_motion.dismiss") == [entry.job.id]
    assert paper.of("recover_motion.import_result") == ([entry.job.id] if importable else [])
    assert len(paper.of("wm.path_open")) == 1


def test_a_result_that_waits_for_object_mode_can_be_left_out(addon):
    entry = a_job(State.IMPORTING, folder="/clips", motions=["/clips/a.npz"])
    session.ended[:] = [entry]
    paper = draw()
    assert paper.of("recover_motion.cancel") == [entry.job.id]
    assert paper.of("recover_motion.dismiss") == []


def test_the_end_of_a_log_and_the_notes_of_an_import_are_shown(addon):
    failed, done = a_job(State.FAILED), a_job(State.DONE, "run")
    failed.job.details, done.job.details = ("first", "no space left"), ("The camera was kept.",)
    session.ended[:] = [done, failed]
    said = draw().said
    assert "no space left" in said
    assert "first" not in said
    assert "The camera was kept." in said


def test_the_check_of_the_backend_has_a_title_too(addon):
    session.ended[:] = [a_job(State.DONE, method="doctor")]
    assert draw().said[0] == "Check of the backend"


def test_the_picture_goes_with_the_job(addon, tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 1 1 255\n123")
    live_view.icon_of(SimpleNamespace(id="a", preview=(str(path), 1)))
    assert live_view.loaded()
    draw()  # no job is running
    assert not live_view.loaded()
