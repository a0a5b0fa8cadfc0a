# SPDX-License-Identifier: GPL-3.0-or-later
"""Enabling and disabling the add-on: nothing is left, nothing goes on running."""

import os
import sys
import threading
import time
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import installation, live_view, person_pictures, session
from recover_motion.arrival import Destination
from recover_motion.jobs import Job, State

FAKE = Path(__file__).with_name("fake_worker.py")

pytestmark = pytest.mark.bpy


def children():
    """Processes that this one has started and that are still there; none where there is no /proc."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def traces():
    """What of the add-on Blender knows."""
    menu = getattr(bpy.types.TOPBAR_MT_file_import.draw, "_draw_funcs", [])
    return {
        "classes": {
            name for name in dir(bpy.types) if name.startswith("RECOVER_MOTION") and hasattr(bpy.types, name)
        },
        "operators": set(dir(bpy.ops.recover_motion)),
        "properties": {
            owner.__name__
            for owner in (bpy.types.Scene, bpy.types.WindowManager)
            if hasattr(owner, "recover_motion")
        },
        "menu": [entry for entry in menu if entry.__module__.startswith("recover_motion")],
        "handlers": [
            handler
            for name in dir(bpy.app.handlers)
            if isinstance(handlers := getattr(bpy.app.handlers, name), list)
            for handler in handlers
            if handler.__module__.startswith("recover_motion")
        ],
        "timer": any(map(bpy.app.timers.is_registered, (session._poll, installation._poll))),
        "keys": [
            item.idname
            for keymap in bpy.context.window_manager.keyconfigs.addon.keymaps
            for item in keymap.keymap_items
            if item.idname.startswith("recover_motion")
        ],
        "pictures": (live_view.loaded(), person_pictures.loaded()),
        "children": children(),
        "threads": {
            thread.name for thread in threading.enumerate() if thread.name.startswith("recover-motion")
        },
    }


NOTHING = {
    "classes": set(),
    "operators": set(),
    "properties": set(),
    "menu": [],
    "handlers": [],
    "timer": False,
    "keys": [],
    "pictures": (False, 0),
    "children": set(),
    "threads": set(),
}


@pytest.fixture
def destination():
    return Destination(bpy.context.scene.session_uid, Path("walk.mp4"))


def test_twice_on_and_off_leaves_nothing():
    assert traces() == NOTHING
    for _ in range(2):
        recover_motion.register()
        try:
            known = traces()
            assert {"RECOVER_MOTION_OT_recover", "RECOVER_MOTION_PT_main"} <= known["classes"]
            assert known["properties"] == {"Scene", "WindowManager"}
            assert len(known["menu"]) == 1
            assert len(known["keys"]) == 2
            assert len(known["handlers"]) >= 1
            assert bpy.context.window_manager.recover_motion is None
        finally:
            recover_motion.unregister()
        assert traces() == NOTHING


@pytest.mark.parametrize("clip", ["walk", "slow", "crash"])
def test_nothing_is_left_after_jobs_however_they_ended(clip, tmp_path, monkeypatch, destination):
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    monkeypatch.setenv("FAKE_WORKER_MOTION", str(tmp_path / "walk.mp4"))  # cannot be imported
    (tmp_path / "walk.mp4").touch()
    for _ in range(2):
        recover_motion.register()
        try:
            for number in range(3):
                params = {"footage": str(tmp_path / f"{clip}.mp4"), "out": str(tmp_path / str(number))}
                session.start(Job("recover", params, imports=True), destination)
            picture = tmp_path / "a.ppm"
            picture.write_bytes(b"P6 1 1 255\n123")
            session.job.preview = (str(picture), 1)
            live_view.icon_of(session.job)
            deadline = time.monotonic() + 20.0
            while session.job.state is State.STARTING:
                assert time.monotonic() < deadline
                session._poll()
            assert traces()["children"]
        finally:
            recover_motion.unregister()
        assert traces() == NOTHING
        assert (session.job, session.waiting, session.ended) == (None, [], [])


@pytest.mark.parametrize("clip", ["slow", "hang"])
def test_disabling_in_the_middle_of_a_job_ends_it_and_its_process(clip, tmp_path, monkeypatch, destination):
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    recover_motion.register()
    try:
        job = Job("recover", {"footage": str(tmp_path / f"{clip}.mp4"), "out": str(tmp_path)}, imports=True)
        session.start(job, destination)
        assert bpy.app.timers.is_registered(session._poll)
        pid = session._worker.pid
        deadline = time.monotonic() + 20.0
        while not job.stage:
            assert time.monotonic() < deadline
            session._poll()  # in the background no timer fires, so we are the timer
        start = time.monotonic()
    finally:
        recover_motion.unregister()
    assert time.monotonic() - start < 6.0
    assert job.state is State.FAILED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert traces() == NOTHING
    assert session.job is None
