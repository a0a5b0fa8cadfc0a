# SPDX-License-Identifier: Apache-2.0
"""The worker as its client sees it: a real process, real pipes, quick stand-ins for the heavy parts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fasthmr
from fasthmr import protocol
from fasthmr.motion import Motion
from fasthmr.request import RecoverRequest

PROGRAM = Path(__file__).with_name("fake_parts.py")
PATIENCE = 30.0  # seconds; only a broken worker takes so long


class Client:
    """A worker process and what it has said so far.

    Args:
        log: where the worker's standard error goes.
        settings: environment variables for the stand-ins.
    """

    def __init__(self, log: Path, **settings: str) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **settings},
            )
        self.notices: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._last = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, method: str, **params: Any) -> int:
        """Send a request; returns its id."""
        self._last += 1
        message = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        self.write(json.dumps(message).encode() + b"\n")
        return self._last

    def next(self) -> dict[str, Any]:
        """The next message, whatever it is; every line has to be a JSON-RPC object."""
        line = self._lines.get(timeout=PATIENCE)
        assert line is not None, f"the worker is gone: {self.log.read_text()}"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def answer(self, request: int | None) -> dict[str, Any]:
        """The answer to a request; notifications before it are kept in ``notices``."""
        while True:
            message = self.next()
            if "method" in message:
                self.notices.append(message)
            else:
                assert message["id"] == request, message
                return message

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request, wait for its answer, give its result."""
        answer = self.answer(self.send(method, **params))
        assert "result" in answer, answer
        return answer["result"]

    def error(self, request: int | None) -> dict[str, Any]:
        return self.answer(request)["error"]

    def wait_for_stage(self, stage: str, done: int = 1) -> None:
        """Read until a job's progress has come so far."""
        while True:
            message = self.next()
            self.notices.append(message)
            params = message.get("params", {})
            if message.get("method") == "progress" and params["stage"] == stage and params["done"] >= done:
                return

    def steps(self) -> list[dict[str, Any]]:
        return [notice["params"] for notice in self.notices if notice["method"] == "progress"]

    def end(self) -> int:
        """Close the worker's input; returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    clients: list[Client] = []

    def start(**settings: str) -> Client:
        clients.append(Client(tmp_path / f"log{len(clients)}.txt", **settings))
        return clients[-1]

    yield start
    for client in clients:
        client.process.kill()
        client.process.wait()
        for stream in (client.process.stdin, client.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()


def test_hello_answers_at_once_and_says_who_it_is(start: Any) -> None:
    client = start()
    assert client.ask("hello", client="test", something_of_tomorrow=1) == {
        "name": "fasthmr",
        "version": fasthmr.__version__,
        "protocol": 1,
        "python": sys.version.split()[0],
        "device": "cpu",
        "features": ["preview"],
    }
    assert client.end() == 0


def test_a_job_tells_its_progress_in_order_and_then_its_result(
    start: Any, clip: Path, tmp_path: Path
) -> None:
    client = start()
    result = client.ask("recover", footage=str(clip), out=str(tmp_path / "out"), job="mine")
    assert result["job"] == "mine"
    assert result["folder"] == str(tmp_path / "out" / "clip.job")
    assert result["body"] is None
    assert result["seconds"] > 0
    assert [Motion.load(Path(path)).frame_count for path in result["motions"]] == [12, 10]
    steps = client.steps()
    assert {step["job"] for step in steps} == {"mine"}
    assert set(steps[0]) == {"job", "stage", "done", "total", "eta_s"}
    stages = list(dict.fromkeys(step["stage"] for step in steps))
    assert stages == ["probe", "people", "fit", "place", "write"]
    for before, after in itertools.pairwise(steps):
        assert after["stage"] != before["stage"] or after["done"] >= before["done"]
    assert any(notice["method"] == "log" and notice["params"]["job"] == "mine" for notice in client.notices)


def test_models_stay_loaded_between_jobs(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_SAY_LOADS="1")
    for number in range(3):
        client.ask("recover", footage=str(clip), out=str(tmp_path / f"out{number}"))
    client.end()
    assert client.log.read_text().count("load detector") == 1
    assert client.log.read_text().count("load body open") == 1


def test_people_with_thumbnails_also_when_no_folder_is_named(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start()
    result = client.ask("people", footage=str(clip), out=str(tmp_path / "out"), job="look")
    assert [one["person"] for one in result["people"]] == [1, 2]
    assert Path(result["people"][0]["thumbnail"]).parent == tmp_path / "out" / "clip.job"
    assert {step["job"] for step in client.steps()} == {"look"}
    elsewhere = client.ask("people", footage=str(clip))
    thumbnail = Path(elsewhere["people"][0]["thumbnail"])
    assert thumbnail.exists()
    assert client.end() == 0
    assert not thumbnail.exists()


def test_probe_and_hello_are_answered_while_a_job_runs(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="5")
    client.send("recover", footage=str(clip), out=str(tmp_path / "out"), job="long")
    client.wait_for_stage("probe")
    began = time.monotonic()
    info = client.ask("probe", footage=str(clip))
    assert (info["width"], info["height"], info["frame_count"], info["kind"]) == (64, 48, 12, "video")
    assert info["path"] == str(clip)
    client.ask("hello")
    assert time.monotonic() - began < 5


def test_a_running_job_is_cancelled_and_the_next_one_goes_on_from_there(
    start: Any, clip: Path, tmp_path: Path
) -> None:
    client = start(FAKE_PACE="0.2")
    job = client.send("recover", footage=str(clip), out=str(tmp_path / "out"), job="a")
    client.wait_for_stage("people")
    cancel = client.send("cancel", job="a")
    answers = {}
    while len(answers) < 2:
        message = client.next()
        if "id" in message:
            answers[message["id"]] = message
    assert answers[cancel]["result"] == {"cancelled": True}
    error = answers[job]["error"]
    assert (error["code"], error["data"]) == (-32800, {"exit_code": 130, "kind": "Cancelled"})
    assert client.ask("cancel", job="a") == {"cancelled": False}
    assert client.ask("recover", footage=str(clip), out=str(tmp_path / "out"), job="a")["motions"]


def test_a_waiting_job_is_cancelled_at_once(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="5")
    client.send("recover", footage=str(clip), out=str(tmp_path / "one"), job="one")
    two = client.send("recover", footage=str(clip), out=str(tmp_path / "two"), job="two")
    client.wait_for_stage("probe")
    began = time.monotonic()
    cancel = client.send("cancel", job="two")
    assert client.error(two)["code"] == protocol.CANCELLED
    assert client.answer(cancel)["result"] == {"cancelled": True}
    assert time.monotonic() - began < 5
    assert not (tmp_path / "two").exists()


def test_a_job_without_a_name_is_known_by_its_request(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="0.2")
    job = client.send("recover", footage=str(clip), out=str(tmp_path / "out"))
    client.wait_for_stage("people")
    assert {step["job"] for step in client.steps()} == {job}
    client.send("cancel", job=job)
    codes = []
    while len(codes) < 2:
        message = client.next()
        codes += [message.get("error", {}).get("code")] if "id" in message else []
    assert set(codes) == {None, -32800}


def test_two_jobs_of_one_name_at_a_time_are_refused(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="1")
    client.send("recover", footage=str(clip), out=str(tmp_path / "out"), job="a")
    second = client.send("recover", footage=str(clip), out=str(tmp_path / "out"), job="a")
    assert client.error(second)["code"] == -32602


def test_a_crash_of_a_job_is_told_and_the_worker_goes_on(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_CRASH="1")
    error = client.error(client.send("recover", footage=str(clip), out=str(tmp_path / "out")))
    assert error["code"] == -32603
    assert error["data"] == {"exit_code": 1, "kind": "RuntimeError"}
    assert "the fit fell over" in error["message"]
    assert "Traceback" in client.log.read_text()
    assert "Traceback" in (tmp_path / "out" / "clip.job" / "log.txt").read_text()
    assert client.ask("hello")["name"] == "fasthmr"
    assert len(client.ask("people", footage=str(clip), out=str(tmp_path / "out"))["people"]) == 2


@pytest.mark.parametrize(
    ("params", "code", "exit_code", "kind"),
    [
        ({"footage": "nowhere.mp4"}, -32003, 3, "BadInput"),
        ({"person": "9"}, -32002, 2, "BadCall"),
        ({"model": "hmr2"}, -32005, 5, "MissingModel"),
        ({"model": "hmr2", "checkpoint": "nowhere.ckpt"}, -32005, 5, "MissingModel"),
        ({"model": "hmr2", "checkpoint": "nowhere.ckpt", "tokens": 7}, -32002, 2, "BadCall"),
        ({"precision": "int4"}, -32002, 2, "BadCall"),
    ],
)
def test_errors_carry_the_exit_code_of_the_command_line(
    params: dict[str, str], code: int, exit_code: int, kind: str, start: Any, clip: Path, tmp_path: Path
) -> None:
    client = start()
    values = {"footage": str(clip), "out": str(tmp_path / "out")} | params
    error = client.error(client.send("recover", **values))
    assert error["code"] == code
    assert error["data"] == {"exit_code": exit_code, "kind": kind}
    assert len(error["message"]) > 20


def test_nobody_found(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_NOBODY="1")
    error = client.error(client.send("recover", footage=str(clip), out=str(tmp_path / "out")))
    assert (error["code"], error["data"]["exit_code"]) == (-32004, 4)


def test_garbage_is_answered_and_the_worker_goes_on(start: Any) -> None:
    client = start()
    request = '"jsonrpc": "2.0", "id": 7'
    garbage = {
        b"not json": (None, -32700),
        b"\xff\xfe\x00": (None, -32700),
        b'{"jsonrpc": "2.0", "id": 1, "method": "hello"': (None, -32700),
        b"[" * 100_000: (None, -32700),
        b"x" * (1 << 20) + b"yz": (None, -32700),
        b"[]": (None, -32600),
        b"42": (None, -32600),
        b'{"id": 7, "method": "hello"}': (7, -32600),
        b'{"jsonrpc": "1.0", "id": 7, "method": "hello"}': (7, -32600),
        b'{"jsonrpc": "2.0", "id": [1], "method": "hello"}': (None, -32600),
        f'{{{request}, "method": 5}}'.encode(): (7, -32600),
        f'{{{request}, "method": "dance"}}'.encode(): (7, -32601),
        f'{{{request}, "method": "recover"}}'.encode(): (7, -32602),
        f'{{{request}, "method": "recover", "params": [1, 2]}}'.encode(): (7, -32602),
        f'{{{request}, "method": "recover", "params": {{"footage": 1, "out": ""}}}}'.encode(): (7, -32602),
        f'{{{request}, "method": "probe", "params": {{"footage": "a", "foo": 1}}}}'.encode(): (7, -32602),
    }
    for line, (number, code) in garbage.items():
        client.write(line + b"\n")
        message = client.next()
        assert (message["id"], message["error"]["code"]) == (number, code), line[:80]
        assert message["error"]["message"]
    client.write(b"\n  \n")  # empty lines are nothing
    assert client.ask("hello")["protocol"] == 1
    assert client.end() == 0


def test_bad_parameters_are_named(start: Any) -> None:
    client = start()
    error = client.error(client.send("recover", footage="a.mp4", out="b", camera_fov="wide"))
    assert "camera_fov" in error["message"]


def test_recover_takes_all_that_a_request_can_say() -> None:
    assert set(protocol.Recover.__struct_fields__) - {"job", "preview"} == {
        field.name for field in dataclasses.fields(RecoverRequest)
    }


def test_a_request_without_id_is_done_and_not_answered(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start()
    out = tmp_path / "out"
    params = {"footage": str(clip), "out": str(out)}
    client.write(json.dumps({"jsonrpc": "2.0", "method": "recover", "params": params}).encode() + b"\n")
    client.wait_for_stage("write")
    client.ask("hello")
    assert (out / "clip.person01.npz").exists()


def test_nothing_but_messages_comes_out_whatever_libraries_print(
    start: Any, clip: Path, tmp_path: Path
) -> None:
    client = start(FAKE_NOISE="1")
    client.ask("recover", footage=str(clip), out=str(tmp_path / "out"))  # every line read was JSON-RPC
    client.end()
    log = client.log.read_text()
    assert "noise from Python" in log
    assert "noise from a native library" in log


def test_shutdown_answers_and_ends(start: Any) -> None:
    client = start()
    assert client.ask("shutdown") == {}
    assert client.process.wait(PATIENCE) == 0


def test_the_end_of_the_input_ends_it_in_the_middle_of_a_job(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="60")
    client.send("recover", footage=str(clip), out=str(tmp_path / "out"))
    client.wait_for_stage("probe")
    began = time.monotonic()
    assert client.end() == 0
    assert time.monotonic() - began < 10


def test_the_end_of_the_input_cancels_the_job_properly(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="0.1")
    client.send("recover", footage=str(clip), out=str(tmp_path / "out"))
    client.wait_for_stage("people")
    assert client.end() == 0
    assert json.loads((tmp_path / "out/clip.job/job.json").read_text())["state"] == "cancelled"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="watches the child through /proc or signals")
def test_its_children_end_with_it(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_CHILD=str(tmp_path / "child.pid"), FAKE_PACE="60")
    client.send("recover", footage=str(clip), out=str(tmp_path / "out"))
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "child.pid").exists() or not (tmp_path / "child.pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "child.pid").read_text())
    assert client.end() == 0
    while _is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_client_that_is_gone_without_reading_ends_it(clip: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    params = {"footage": str(clip), "out": str(tmp_path / "out")}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "recover", "params": params})
    process.stdin.write(line.encode() + b"\n")
    process.stdin.close()
    assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_worker_loses_only_the_stage_it_was_in(start: Any, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    client = start(FAKE_FIT_SECONDS="60")
    client.send("recover", footage=str(clip), out=str(out), person="1")
    client.wait_for_stage("fit", done=0)
    client.process.send_signal(signal.SIGKILL)
    client.process.wait(PATIENCE)
    assert (out / "clip.job/people.npz").exists()
    assert not list(out.rglob("*.part"))
    assert json.loads((out / "clip.job/job.json").read_text())["state"] == "running"

    again = start(FAKE_SAY_LOADS="1")
    result = again.ask("recover", footage=str(clip), out=str(out), person="1")
    assert Motion.load(Path(result["motions"][0])).frame_count == 12
    assert "load detector" not in again.log.read_text()
    assert "ended without a word" in (out / "clip.job/log.txt").read_text()
    assert json.loads((out / "clip.job/job.json").read_text())["state"] == "done"
