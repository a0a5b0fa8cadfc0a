# SPDX-License-Identifier: Apache-2.0
"""The whole job with nothing replaced: real footage in, motions out; and footage with too little in it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fasthmr.errors import MissingModel
from fasthmr.evaluation.evaluate import evaluate_job
from fasthmr.motion import Motion
from fasthmr.people.bundle import find_bundle
from tests.real_clip import demo_clip

from .conftest import write_clip

RUNNER = Path(__file__).resolve().parent.parent.parent / "shared/data/video/tfjs_pose/pose_1.mp4"
COMMAND = [sys.executable, "-c", "import sys; from fasthmr.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    try:
        find_bundle()
    except MissingModel:
        pytest.skip("the person detector's weights are not prepared: run `python build.py setup`")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody alone: 576x576, 30 frames a second. The demo's man on the roof stands in for the runner."""
    if RUNNER.is_file():
        return RUNNER
    out = tmp_path_factory.mktemp("footage") / "roof.mp4"
    with av.open(str(demo_clip())) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 576, 576, "yuv420p"
        for frame in itertools.islice(source.decode(video=0), 75):
            square = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:576, 350:926])
            target.mux(stream.encode(av.VideoFrame.from_ndarray(square)))
        target.mux(stream.encode(None))
    return out


def fasthmr(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)


def as_full_hd(clip: Path, out: Path, frames: int) -> Path:
    """Write the beginning of a square clip at 1920x1080, grey at both sides."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for frame in itertools.islice(source.decode(video=0), frames):
            square = frame.reformat(width=1080, height=1080).to_ndarray(format="rgb24")
            picture = np.pad(square, ((0, 0), (420, 420), (0, 0)), constant_values=90)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        target.mux(stream.encode(None))
    return out


@pytest.mark.slow
def test_a_runner_is_recovered_and_covers_the_picture(runner: Path, tmp_path: Path) -> None:
    ended = fasthmr("recover", runner, "--out", tmp_path, "--start", 1, "--end", 2, "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    (path,) = map(Path, result["motions"])
    motion = Motion.load(path)
    assert motion.frame_count >= 28
    assert motion.frame_indices[0] in (29, 30, 31)
    assert motion.meta["footage"]["name"] == runner.name
    assert motion.trans[:, 2].min() > -0.5  # near the floor, the right way up
    (figures,) = evaluate_job(Path(result["folder"]))
    assert figures["coverage"] > 0.9
    assert figures["reprojection_share"] < 4.0
    assert figures["flips"] == figures["explosions"] == 0

    again = fasthmr("recover", runner, "--out", tmp_path, "--start", 1, "--end", 2, "--json")
    assert json.loads(again.stdout)["reused"] == ["people", "fit.person01", "place"]


@pytest.mark.slow
def test_the_worker_does_the_same(runner: Path, tmp_path: Path) -> None:
    span = {"footage": str(runner), "out": str(tmp_path), "start": 1.0, "end": 1.6}
    requests: list[dict[str, Any]] = [
        {"method": "hello", "params": {"client": "test"}},
        {"method": "people", "params": span},
        {"method": "recover", "params": {**span, "person": "1"}},
    ]
    lines = "".join(json.dumps({"jsonrpc": "2.0", "id": i, **r}) + "\n" for i, r in enumerate(requests))
    process = subprocess.Popen(
        [*COMMAND, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines)
    process.stdin.flush()
    answers: dict[int, Any] = {}
    while len(answers) < len(requests):
        message = json.loads(process.stdout.readline())  # whatever the libraries print, this is a message
        if "id" in message:
            answers[message["id"]] = message
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (person,) = answers[1]["result"]["people"]
    assert person["coverage"] > 0.9
    assert Path(person["thumbnail"]).stat().st_size > 1000
    (motion,) = answers[2]["result"]["motions"]
    assert Motion.load(Path(motion)).frame_count == person["last_frame"] - person["first_frame"] + 1


@pytest.mark.slow
def test_memory_does_not_grow_with_length(runner: Path, tmp_path: Path) -> None:
    large = as_full_hd(runner, tmp_path / "large.mp4", frames=50)
    ended = fasthmr("bench", "pipeline", large, "--loop", 5, "--json")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["frames"], figures["height"]) == (250, 1080)
    peaks = figures["peak_memory_mb_by_tenth"]
    assert len(peaks) == 10
    assert peaks[-1] - peaks[2] < 50  # 175 frames of 6.2 MB have passed in between
    assert figures["peak_memory_mb"] < 2000


@pytest.mark.slow
def test_three_frames_of_a_person_are_nobody(runner: Path, tmp_path: Path) -> None:
    ended = fasthmr("recover", runner, "--out", tmp_path, "--start", 1, "--end", 1.09)
    assert ended.returncode == 4, ended.stderr
    assert str(runner) in ended.stderr
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
    ("frames", "size"), [(12, (64, 48)), (1, (320, 240)), (12, (8, 8))], ids=["grey", "1 frame", "8x8"]
)
def test_footage_without_anybody_ends_with_4(frames: int, size: tuple[int, int], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "empty.mp4", frames, size=size)
    ended = fasthmr("recover", clip, "--out", tmp_path / "out")
    assert ended.returncode == 4, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_missing_weights_end_with_5(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    ended = subprocess.run(
        [*COMMAND, "recover", str(clip), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FASTHMR_PERCEPTION": str(tmp_path / "nowhere.task")},
    )
    assert ended.returncode == 5
    assert "nowhere.task" in ended.stderr
    assert "build.py setup" in ended.stderr


def test_a_missing_body_ends_with_5_before_anything_is_written(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    ended = fasthmr("recover", clip, "--out", tmp_path / "out", "--body", tmp_path / "SMPL_NEUTRAL.pkl")
    assert ended.returncode == 5
    assert "SMPL_NEUTRAL.pkl" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_body_that_is_none_ends_with_3(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    np.savez(tmp_path / "body.npz", v_template=np.zeros((5, 3)))
    ended = fasthmr("recover", clip, "--out", tmp_path / "out", "--body", tmp_path / "body.npz")
    assert ended.returncode == 3
    assert "body.npz" in ended.stderr
    assert "Traceback" not in ended.stderr
