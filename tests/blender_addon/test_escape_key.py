# SPDX-License-Identifier: GPL-3.0-or-later
"""escape_key.py: the key is for the job in one case only; in all others it is let through.

That Blender hands it on in those cases, and which key press comes first, was tried in its window.
"""

import time
from types import SimpleNamespace

import bpy
import pytest
import recover_motion
from recover_motion import escape_key, session
from recover_motion.jobs import Job, State

pytestmark = pytest.mark.bpy


@pytest.fixture
def running(monkeypatch):
    """A job that is running."""
    job = Job("recover", {"footage": "walk.mp4"}, imports=True)
    job.state = State.RUNNING
    monkeypatch.setattr(session, "job", job)
    monkeypatch.setattr(session, "_running", session.Entry(job, None))
    return job


def over(region="UI", tab=escape_key.CATEGORY, playing=False):
    """A context with the mouse over a region."""
    return SimpleNamespace(
        region=SimpleNamespace(type=region, active_panel_category=tab),
        screen=SimpleNamespace(is_animation_playing=playing),
    )


def test_the_key_is_for_the_job_whose_panel_the_mouse_is_over(running):
    assert escape_key.wants_key(over())


@pytest.mark.parametrize(
    "context",
    [
        over(region="WINDOW"),
        over(region="TOOLS"),
        over(tab="Item"),
        over(tab=""),
        over(playing=True),
        SimpleNamespace(region=None, screen=None),
    ],
)
def test_everything_else_is_let_through(running, context):
    assert not escape_key.wants_key(context)


@pytest.mark.parametrize("state", [State.CANCELLING, State.DONE, State.FAILED])
def test_there_has_to_be_something_to_cancel(running, state):
    running.state = state
    assert not escape_key.wants_key(over())


def test_no_job_no_key():
    assert session.job is None
    assert not escape_key.wants_key(over())


def test_the_press_that_stops_an_animation_is_not_for_the_job_too(running, monkeypatch):
    monkeypatch.setattr(escape_key, "_stopped_playing", float("-inf"))
    escape_key._note_end_of_animation(bpy.context.scene)
    assert not escape_key.wants_key(over())
    monkeypatch.setattr(escape_key, "_stopped_playing", time.monotonic() - 1.0)
    assert escape_key.wants_key(over())


def test_it_is_in_the_keymaps_of_both_editors_and_goes_again():
    def ours():
        keymaps = bpy.context.window_manager.keyconfigs.addon.keymaps
        return [
            (keymap.name, keymap.space_type, item.type, item.value)
            for keymap in keymaps
            for item in keymap.keymap_items
            if item.idname == "recover_motion.escape"
        ]

    assert ours() == []
    for _ in range(2):
        recover_motion.register()
        try:
            assert sorted(ours()) == [
                ("3D View Generic", "VIEW_3D", "ESC", "PRESS"),
                ("Clip", "CLIP_EDITOR", "ESC", "PRESS"),
            ]
            assert not bpy.ops.recover_motion.escape.poll()
        finally:
            recover_motion.unregister()
        assert ours() == []


def test_it_cancels(running):
    report = []
    stand_in = SimpleNamespace(report=lambda kinds, text: report.append(text))
    running.begin(SimpleNamespace(greeting=object(), request=lambda *_: 1))
    assert escape_key.RECOVER_MOTION_OT_escape.execute(stand_in, bpy.context) == {"FINISHED"}
    assert running.state is State.CANCELLING
    assert report
