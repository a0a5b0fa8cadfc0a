# SPDX-License-Identifier: Apache-2.0
"""The command in a process of its own: signals, and what standard output carries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import write_clip

PROGRAM = Path(__file__).with_name("fake_parts.py")


def start(*words: object, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    )


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} never said {text}"
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent Ctrl-C alone on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_stops_at_that_clip_and_ends_with_130(
    number: signal.Signals, clip: Path, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "other.mp4")
    process = start("recover", clip, other, "--out", tmp_path / "out", FAKE_PACE="0.3")
    wait_for(tmp_path / "out/clip.job/progress.jsonl", '"people"')
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Cancelling" in err
    assert json.loads((tmp_path / "out/clip.job/job.json").read_text())["state"] == "cancelled"
    assert not (tmp_path / "out/other.job").exists()


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent Ctrl-C alone on Windows")
def test_a_second_ctrl_c_stops_in_the_middle_of_a_frame(clip: Path, tmp_path: Path) -> None:
    process = start("recover", clip, "--out", tmp_path / "out", FAKE_PACE="60")
    wait_for(tmp_path / "out/clip.job/log.txt", "clip.mp4")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads((tmp_path / "out/clip.job/job.json").read_text())["state"] == "cancelled"


def test_a_process_prints_nothing_but_the_result_in_json(clip: Path, tmp_path: Path) -> None:
    process = start("recover", clip, "--out", tmp_path / "out", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["ok"]


def test_two_processes_in_one_job_folder(clip: Path, tmp_path: Path) -> None:
    first = start("recover", clip, "--out", tmp_path / "out", FAKE_PACE="0.25")
    wait_for(tmp_path / "out/clip.job/log.txt", "clip.mp4")
    second = start("recover", clip, "--out", tmp_path / "out")
    _, err = second.communicate(timeout=30)
    assert second.returncode == 1
    assert "Another FastHMR is working" in err
    assert "Traceback" not in err
    first.communicate(timeout=60)
    assert first.returncode == 0
