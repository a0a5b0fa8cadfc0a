# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on with the backend's own worker, job folders and locks; only what takes long is stood in for.

Needs the environment of `python build.py setup`, beside this Blender's own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import arrival, job_form, session
from recover_motion.backend_client import Greeting, Progress, Result, Worker
from recover_motion.jobs import Job, State

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
RUNTIME = ROOT / "tests" / "fake_parts.py"
BLENDER = Path(__file__).with_name("blender_with_a_job.py")
ODD = "Åsa Ünïcode 走り 'quote'"

_MAKE_CLIP = """
import sys
from pathlib import Path
from tests.conftest import write_clip
write_clip(Path(sys.argv[1]))
"""

pytestmark = [
    pytest.mark.once,
    pytest.mark.bpy,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs the backend: python build.py setup"),
    pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals"),
]


@pytest.fixture(scope="session")
def ready_clip(tmp_path_factory):
    """A clip of 12 frames that the backend can decode."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    subprocess.run([PYTHON, "-c", _MAKE_CLIP, path], cwd=ROOT, check=True)
    return path


@pytest.fixture
def folder(tmp_path):
    """A home of somebody with spaces, quotes and letters of other alphabets in the name."""
    home = tmp_path / ODD
    home.mkdir()
    return home


@pytest.fixture
def clip(ready_clip, folder):
    return shutil.copy(ready_clip, folder / "Gähnen 走.mp4")


@pytest.fixture
def form(scene, folder, clip, monkeypatch):
    """The add-on, switched on; gives the form, filled."""
    monkeypatch.setenv("FASTHMR_COMMAND", f"{PYTHON} {RUNTIME}")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    recover_motion.register()
    form = scene.recover_motion
    form.footage, form.out, form.when_done = str(clip), str(folder / "out 走"), "WAIT"
    yield form
    recover_motion.unregister()


def ask(form):
    job = Job("recover", job_form.request_of(form), imports=True)
    session.start(job, arrival.Destination.of(bpy.context.scene))
    return job


def poll_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, [
            (e.job.state, e.job.message, e.job.details) for e in session.all_entries()
        ]
        session._poll()
        time.sleep(0.02)


def record_of(form):
    """What the job folder says about the job, and about its result."""
    (folder,) = Path(form.out).glob("*.job")
    result = folder / "result.json"
    return json.loads((folder / "job.json").read_text("utf-8")), (
        json.loads(result.read_text("utf-8")) if result.exists() else None
    )


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid, seconds=15.0):
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_every_path_may_have_spaces_quotes_and_any_letters(form, clip, folder, monkeypatch):
    place = folder / "Bäckend 走" / "bin"
    place.mkdir(parents=True)
    command = place / "fasthmr"
    command.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{RUNTIME}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.delenv("FASTHMR_COMMAND")
    monkeypatch.setattr("recover_motion.settings.backend_path", lambda: str(place.parent))
    job = ask(form)
    poll_until(lambda: not job.active)
    assert job.state is State.TO_IMPORT, (job.message, job.details)
    assert session._worker.command == (str(command),)
    assert [Path(path).name for path in job.result["motions"]] == [
        "Gähnen 走.person01.npz",
        "Gähnen 走.person02.npz",
    ]
    assert all(Path(path).parent == Path(form.out) for path in job.result["motions"])
    assert record_of(form)[0]["footage"] == str(clip)


def test_a_backend_killed_by_the_system_says_how_to_go_on_and_does(form, monkeypatch):
    monkeypatch.setenv("FAKE_FIT_SECONDS", "600")
    job = ask(form)
    poll_until(lambda: job.stage == "fit")
    os.kill(session._worker.pid, signal.SIGKILL)
    poll_until(lambda: not job.active)
    assert (job.state, job.exit_code) == (State.FAILED, 1)
    assert "SIGKILL" in job.message
    assert "memory" in job.message
    assert "click Recover Motion again" in job.message
    monkeypatch.delenv("FAKE_FIT_SECONDS")
    again = ask(form)
    poll_until(lambda: not again.active)
    assert again.state is State.TO_IMPORT
    record, result = record_of(form)
    assert record["state"] == "done"
    assert result["reused"] == ["people"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_blender_that_is_killed_leaves_no_process_and_a_job_to_go_on_with(form, clip, monkeypatch, how):
    monkeypatch.setenv("FAKE_FIT_SECONDS", "600")
    child_file = Path(form.out).parent / "child"
    monkeypatch.setenv("FAKE_CHILD", str(child_file))
    package = Path(recover_motion.__file__).parents[1]
    command = [sys.executable, str(BLENDER), str(package), str(clip), form.out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as blender:
        said = {}
        while said.get("stage") != "fit":
            line = blender.stdout.readline()
            assert line, said
            what, _, value = line.strip().partition(" ")
            assert what != "ended", line
            said[what] = value  # Blender 5.2 has things of its own to say as well
        worker, child = int(said["worker"]), int(child_file.read_text())
        assert is_running(worker)
        assert is_running(child)
        blender.send_signal(how)
        blender.wait(15.0)
    wait_until_gone(worker)
    wait_until_gone(child)
    assert not list(Path(form.out).rglob("*.part"))
    for name in ("FAKE_FIT_SECONDS", "FAKE_CHILD"):
        monkeypatch.delenv(name)
    job = ask(form)
    poll_until(lambda: not job.active)
    assert job.state is State.TO_IMPORT, job.message
    assert record_of(form)[1]["reused"] == ["people"]


@pytest.fixture
def other_blender(form, clip, monkeypatch):
    """A job of another Blender that is in the middle of the same work."""
    monkeypatch.setenv("FAKE_FIT_SECONDS", "600")
    worker = Worker([str(PYTHON), str(RUNTIME)])
    deadline = time.monotonic() + 60.0
    asked = at_work = False
    while not at_work:
        assert time.monotonic() < deadline
        for message in worker.receive(0.1):
            if isinstance(message, Greeting) and not asked:
                asked = True
                worker.request("recover", {"footage": str(clip), "out": form.out, "job": "theirs"})
            at_work = at_work or (isinstance(message, Progress) and message.stage == "fit")
    monkeypatch.delenv("FAKE_FIT_SECONDS")
    yield worker
    worker.close(0.1)


def test_two_blenders_do_not_write_into_one_folder(form, other_blender):
    before = {path: path.stat().st_mtime_ns for path in Path(form.out).rglob("*") if path.is_file()}
    job = ask(form)
    poll_until(lambda: not job.active)
    assert job.state is State.FAILED
    assert "Another FastHMR is working in" in job.message
    assert "choose another output folder" in job.message
    assert {path: path.stat().st_mtime_ns for path in before} == before
    form.out += " 2"  # as the message says
    elsewhere = ask(form)
    poll_until(lambda: not elsewhere.active)
    assert elsewhere.state is State.TO_IMPORT


def test_the_lock_of_a_dead_process_is_taken_over(form, other_blender):
    os.kill(other_blender.pid, signal.SIGKILL)
    wait_until_gone(other_blender.pid)
    assert (next(Path(form.out).glob("*.job")) / ".lock").exists()
    job = ask(form)
    poll_until(lambda: not job.active)
    assert job.state is State.TO_IMPORT
    assert record_of(form)[1]["reused"] == ["people"]


def test_finding_people_and_recovering_them_share_the_folder_in_turn(form):
    people = Job("people", job_form.clip_of(form) | {"out": form.out})
    session.start(people, arrival.Destination.of(bpy.context.scene))
    job = ask(form)
    poll_until(lambda: not job.active)
    assert people.state is State.DONE
    assert len(form.people) == 2
    assert record_of(form)[1]["reused"] == ["people"]


def test_disabled_in_the_middle_of_a_job_it_is_gone_on_with_later(form, monkeypatch):
    monkeypatch.setenv("FAKE_PACE", "0.2")
    job = ask(form)
    poll_until(lambda: job.stage == "people" and job.done > 1)
    pid = session._worker.pid
    out, footage = form.out, form.footage
    recover_motion.unregister()
    assert not is_running(pid)
    monkeypatch.delenv("FAKE_PACE")
    recover_motion.register()
    form = bpy.context.scene.recover_motion
    form.footage, form.out, form.when_done = footage, out, "WAIT"
    assert record_of(form)[0]["state"] == "cancelled"
    again = ask(form)
    poll_until(lambda: not again.active)
    assert again.state is State.TO_IMPORT


def test_pictures_come_while_the_job_is_running(form, monkeypatch):
    monkeypatch.setenv("FAKE_PACE", "0.15")
    worker = Worker([str(PYTHON), str(RUNTIME)])
    try:
        seen, done, request = [], False, None
        deadline = time.monotonic() + 60.0
        while not done:
            assert time.monotonic() < deadline
            for message in worker.receive(0.1):
                if isinstance(message, Greeting):
                    assert "preview" in message.features
                    params = {"footage": form.footage, "out": form.out, "job": "a", "preview": True}
                    request = worker.request("recover", params)
                if isinstance(message, Progress) and message.preview:
                    seen.append(recover_motion.live_view.read_picture(Path(message.preview)))
                done = done or (isinstance(message, Result) and message.request == request)
    finally:
        worker.close()
    assert seen
    assert all(picture.shape == (48, 64, 3) for picture in seen if picture is not None)
    assert any(picture is not None for picture in seen)
