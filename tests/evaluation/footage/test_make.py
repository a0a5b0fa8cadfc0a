# SPDX-License-Identifier: Apache-2.0
"""The driver makes every sequence whole, goes on where it stopped, and does nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fasthmr.errors import BadInput, Cancelled
from fasthmr.evaluation.footage import make
from fasthmr.evaluation.footage.make import FootageRequest, make_footage, read_list
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.evaluation.truth_table import rendered_clips
from fasthmr.progress import Progress
from tests.evaluation.filmed_walk import little_set


class Painter:
    """Renders grey pictures of the right sizes; may stop after some."""

    version = "painter"

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.painted = most, 0

    def render(self, scene: Path, folder: Path, frame_done: Callable[[int], None]) -> None:
        with np.load(scene) as file:
            boxes, still, (width, height) = file["boxes"], bool(file["still"]), file["image_size"]
        folder.mkdir(parents=True, exist_ok=True)
        if still:
            cv2.imwrite(str(folder / "background.png"), np.full((height, width, 3), 90, np.uint8))
        for frame, (left, top, right, bottom) in enumerate(boxes):
            path = folder / f"{frame:04}.png"
            size = (bottom - top, right - left) if still else (height, width)
            if not path.exists():
                if self.painted >= self.most:
                    raise BadInput("the painter fell ill")
                self.painted += 1
                cv2.imwrite(str(path), np.full((*size, 3), 200, np.uint8))
            frame_done(frame + 1)


class Watcher(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int | None]] = []

    def show(self, stage: str, done: int, total: int | None) -> None:
        assert stage == "footage"
        self.steps.append((done, total))


@pytest.fixture
def request_(tmp_path: Path) -> FootageRequest:
    little_set(tmp_path / "mocap", 4, 40)
    return FootageRequest(tmp_path / "mocap", tmp_path / "out", 3, 0.3, 2)


def test_everything_is_there_and_fits_together(request_: FootageRequest) -> None:
    watcher = Watcher()
    made = make_footage(request_, Painter(), watcher)
    clips = rendered_clips(request_.out)
    assert [clip.name for clip in clips] == [one.name for one in made]
    assert [one.set_up for one in made] == ["still", "high", "moving"]
    for clip, one in zip(clips, made, strict=True):
        with av.open(str(clip.video)) as container:
            decoded = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert len(decoded) == one.frames == clip.truth.frame_count == 9
        assert decoded[0].shape[::-1] == tuple(clip.truth.image_size)
        assert clip.truth.set_up == one.set_up
        assert clip.truth.clip == one.clip
    assert watcher.steps[-1] == (27, 27)
    done = [step for step, _ in watcher.steps]
    assert done == sorted(done)
    assert not any((request_.out / ".work").iterdir())


def test_what_is_finished_is_not_made_again(request_: FootageRequest) -> None:
    first = make_footage(request_, Painter())
    stamps = {path: path.stat().st_mtime_ns for path in request_.out.glob("*.mp4")}
    idle = Painter()
    assert make_footage(request_, idle) == first
    assert idle.painted == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in request_.out.glob("*.mp4")}
    (request_.out / f"{first[1].name}.truth.npz").write_bytes(b"damaged")
    again = Painter()
    make_footage(request_, again)
    assert again.painted == 9
    GroundTruth.load(request_.out / f"{first[1].name}.truth.npz")


def test_stopped_in_the_middle_it_goes_on(request_: FootageRequest) -> None:
    with pytest.raises(BadInput, match="fell ill"):
        make_footage(request_, Painter(13))
    assert len(read_list(request_.out)) == 1
    assert len(rendered_clips(request_.out)) == 1
    rest = Painter()
    assert len(make_footage(request_, rest)) == 3
    assert rest.painted == 27 - 13


def test_pictures_of_another_plan_are_not_used(request_: FootageRequest) -> None:
    with pytest.raises(BadInput):
        make_footage(request_, Painter(5))
    (work,) = (request_.out / ".work").iterdir()
    (work / "digest").write_text("another", encoding="ascii")
    whole = Painter()
    make_footage(request_, whole)
    assert whole.painted == 27


def test_cancelled_work_is_kept(request_: FootageRequest) -> None:
    class Stopped(Progress):
        def show(self, stage: str, done: int, total: int | None) -> None:
            if done >= 12:
                self.cancelled.set()

    with pytest.raises(Cancelled):
        make_footage(request_, Painter(), Stopped())
    rest = Painter()
    make_footage(request_, rest)
    assert rest.painted <= 27 - 12


def test_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "footage.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match=r"footage\.json"):
        read_list(tmp_path)
    (tmp_path / "footage.json").write_text(json.dumps({"format": "x", "version": 1}), encoding="utf-8")
    with pytest.raises(BadInput, match="another kind"):
        read_list(tmp_path)
    assert make.read_list(tmp_path / "nowhere") == {}
