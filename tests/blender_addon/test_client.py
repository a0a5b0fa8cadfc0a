# SPDX-License-Identifier: GPL-3.0-or-later
"""backend_client.py against a worker that behaves, crashes, babbles, hangs or was never there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recover_motion import backend_client
from recover_motion.backend_client import (
    Ended,
    Failure,
    Greeting,
    Progress,
    Result,
    Worker,
    clean_environment,
)
from recover_motion.backend_location import COMMAND_VARIABLE, BackendProblem, find_command

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture
def worker(monkeypatch):
    """Starts workers, and sees to it that none is left."""
    started = []

    def start(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        started.append(Worker([sys.executable, str(FAKE)]))
        return started[-1]

    yield start
    for one in started:
        one.close(0.1)


def listen(worker, until, request=None, seconds=20.0):
    """All messages until one of the class `until` (the answer to `request`) has come, which is the last."""
    heard = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        heard += worker.receive(0.1)
        if heard and isinstance(heard[-1], until) and request in (None, getattr(heard[-1], "request", None)):
            return heard
    raise AssertionError(f"no {until.__name__} came, only {heard}")


def is_running(pid):
    """Whether a process is there and not just waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid, seconds=10.0):
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def ask(worker, clip, tmp_path, method="recover"):
    return worker.request(method, {"footage": str(tmp_path / clip), "out": str(tmp_path / "out"), "job": "j"})


def test_greets_without_blender_s_python_paths(worker, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    one = worker()
    assert one.receive() == []  # it has hardly been started: nothing waits for it
    (greeting,) = listen(one, Greeting)
    assert greeting == Greeting("0.1", "[]")
    assert one.greeting == greeting
    assert one.alive


def test_clean_environment_keeps_the_rest():
    given = {"PYTHONPATH": "a", "PYTHONHOME": "b", "HOME": "c", "CUDA_VISIBLE_DEVICES": "1"}
    assert clean_environment(given) == {"HOME": "c", "CUDA_VISIBLE_DEVICES": "1", "PYTHONUTF8": "1"}


def test_progress_and_result_come_in_order(worker, tmp_path):
    motion = tmp_path / "ready.npz"
    motion.write_bytes(b"motion")
    one = worker(FAKE_WORKER_MOTION=str(motion))
    request = ask(one, "Gähnen 走.mp4", tmp_path)
    heard = listen(one, Result)
    assert isinstance(heard[0], Greeting)
    steps = [message for message in heard if isinstance(message, Progress)]
    assert [(step.stage, step.done, step.total) for step in steps] == [
        ("people", 1, 3),
        ("people", 2, 3),
        ("people", 3, 3),
        ("write", 1, None),
    ]
    assert heard[-1].request == request
    assert Path(heard[-1].value["motions"][0]).read_bytes() == b"motion"
    assert "Gähnen 走" in heard[-1].value["motions"][0]


def test_an_error_keeps_its_message_and_exit_code(worker, tmp_path):
    one = worker()
    request = ask(one, "unreadable.mp4", tmp_path)
    failure = listen(one, Failure)[-1]
    assert failure == Failure(request, -32003, f"{tmp_path / 'unreadable.mp4'} is not a video.", 3)


def test_garbage_between_messages_is_survived(worker, tmp_path):
    motion = tmp_path / "ready.npz"
    motion.write_bytes(b"motion")
    one = worker(FAKE_WORKER_MOTION=str(motion))
    request = ask(one, "garbage.mp4", tmp_path)
    heard = listen(one, Result, request)  # the fake also answers what nobody asked
    stages = [message.stage for message in heard if isinstance(message, Progress)]
    assert stages == ["people", "people", "people", "write"]


def test_a_crash_is_told_with_the_last_words(worker, tmp_path):
    one = worker()
    ask(one, "crash.mp4", tmp_path)
    ended = listen(one, Ended)[-1]
    assert ended.message.startswith(
        "The system stopped the backend (SIGKILL), most likely because the memory"
    )
    assert ended.last_words[-1] == "the last straw"
    assert not one.alive
    assert one.receive(5.0) == []  # at once: there is nothing to wait for
    child = int(ended.last_words[0].removeprefix("child "))
    wait_until_gone(child)


def test_an_exit_is_told_with_its_code(worker, tmp_path):
    one = worker()
    ask(one, "exits.mp4", tmp_path)
    ended = listen(one, Ended)[-1]
    assert ended == Ended("The backend stopped unexpectedly (exit code 7).", ("no space left",))
    ask(one, "exits.mp4", tmp_path)  # asking the dead is no error; whoever asks looks at `alive`


def test_a_backend_that_cannot_start_says_why(worker):
    ended = listen(worker(FAKE_WORKER_HELLO="exit"), Ended)[-1]
    assert ended.last_words == ("ModuleNotFoundError: torch",)


@pytest.mark.parametrize(
    ("hello", "words"),
    [("old", "speaks protocol 1, the backend fasthmr 9.9 speaks 2"), ("error", "no libraries")],
)
def test_a_worker_of_no_use_is_refused_and_ended(worker, hello, words):
    one = worker(FAKE_WORKER_HELLO=hello)
    ended = listen(one, Ended)[-1]
    assert words in ended.message
    assert not is_running(one.pid)


def test_the_end_of_input_ends_the_worker(worker):
    one = worker()
    listen(one, Greeting)
    start = time.monotonic()
    one.close(patience=10.0)
    assert time.monotonic() - start < 5.0  # it went by itself
    assert not is_running(one.pid)
    assert not one.alive
    one.close()  # twice is no error


def test_nothing_is_left_when_blender_itself_is_killed(tmp_path):
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from recover_motion.backend_client import Worker\n"
        "worker = Worker([sys.executable, sys.argv[2]])\n"
        "while worker.greeting is None: worker.receive(0.1)\n"
        "print(worker.pid, flush=True); time.sleep(600)"
    )
    package = Path(backend_client.__file__).parents[1]
    command = [sys.executable, "-c", script, str(package), str(FAKE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as blender:
        pid = int(blender.stdout.readline())
        assert is_running(pid)
        blender.kill()
    wait_until_gone(pid)


def test_what_ignores_everything_is_killed_with_its_children(worker, tmp_path):
    one = worker()
    ask(one, "hang.mp4", tmp_path)
    heard = []
    while len(heard) < 4:  # greeting and progress: the hang and its child come next
        heard += one.receive(0.1)
    deadline = time.monotonic() + 10.0
    while not one._last_words and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(one._last_words[0].removeprefix("child "))
    assert is_running(child)
    one.close(patience=0.0)
    wait_until_gone(child)
    assert not is_running(one.pid)


def test_a_program_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(BackendProblem, match="could not be started: No such file"):
        Worker([str(tmp_path / "fasthmr")])


def make_command(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(os.name == "nt", reason="the layout of a virtual environment on Linux and macOS")
@pytest.mark.parametrize("inside", [".venv/bin/fasthmr", "bin/fasthmr", "fasthmr"])
def test_the_preference_may_be_a_folder_around_the_command(tmp_path, inside):
    command = make_command(tmp_path / inside)
    assert find_command(str(tmp_path), {}) == [str(command)]
    assert find_command(f"{tmp_path}/", {}) == [str(command)]
    assert find_command(str(command), {}) == [str(command)]


def test_wrong_places_are_named(tmp_path):
    with pytest.raises(BackendProblem, match="There is no backend in"):
        find_command(str(tmp_path), {})
    with pytest.raises(BackendProblem, match="is not there"):
        find_command(str(tmp_path / "moved"), {})
    with pytest.raises(BackendProblem, match=r"names 'nothing-like-this'"):
        find_command("", {"FASTHMR_COMMAND": "nothing-like-this --fast", "PATH": str(tmp_path)})
    with pytest.raises(BackendProblem, match=r"python build\.py setup"):
        find_command("", {"PATH": str(tmp_path)})


@pytest.mark.skipif(os.name == "nt", reason="needs an executable without an ending")
def test_the_environment_wins_over_the_preference_and_that_over_the_path(tmp_path):
    on_path = make_command(tmp_path / "path" / "fasthmr")
    preferred = make_command(tmp_path / "repo" / ".venv" / "bin" / "fasthmr")
    spaced = make_command(tmp_path / "a folder" / "run")
    environment = {"PATH": str(on_path.parent)}
    assert find_command("", environment) == [str(on_path)]
    assert find_command(str(tmp_path / "repo"), environment) == [str(preferred)]
    environment[COMMAND_VARIABLE] = f"'{spaced}' --flag"
    assert find_command(str(tmp_path / "repo"), environment) == [str(spaced), "--flag"]
