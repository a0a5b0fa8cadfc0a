# SPDX-License-Identifier: Apache-2.0
"""The whole preview of a small clip: what is in it, and what is left when it fails."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput, Cancelled
from fasthmr.footage import open_footage, probe
from fasthmr.preview import render_preview
from fasthmr.progress import Progress

SIZE = (480, 360)
pytestmark = pytest.mark.usefixtures("gl")


@pytest.fixture
def clip(tmp_path, make_video):
    return make_video(tmp_path / "clip.mp4", SIZE, 30)


class Counter(Progress):
    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.seen: list[tuple[str, int, int | None]] = []
        self._stop_at = stop_at

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.seen.append((stage, done, total))
        if done == self._stop_at:
            self.cancelled.set()


def test_a_preview_of_two_people(tmp_path, clip, body, make_walk):
    first, second = make_walk(SIZE, 20), make_walk(SIZE, 18, first=8, sideways=1.2, seed=4)
    first.save(tmp_path / "clip.person01.npz")
    video, image, progress = tmp_path / "preview.mp4", tmp_path / "preview.png", Counter()
    render_preview(clip, [tmp_path / "clip.person01.npz", second], body, video, image, progress)
    # from the first to the last frame in which anybody is: 0 to 25 of 30
    assert progress.seen == [("preview", done, 26) for done in range(1, 27)]
    info = probe(video)
    assert (info.width, info.height, info.frame_count) == (480 + 360, 360, 26)
    originals = [frame.image for frame in open_footage(clip)]
    for frame in open_footage(video):
        overlay = frame.image[:, :480].astype(int)
        overlay[:50] = originals[frame.index][:50]  # not the label
        changed = np.abs(overlay - originals[frame.index]).max(axis=-1) > 24
        for motion in (first, second):
            row = frame.index - int(motion.frame_indices[0])
            visible = 0 <= row < motion.frame_count
            pixels = (
                motion.joints_camera[min(max(row, 0), motion.frame_count - 1)] @ motion.camera_intrinsics.T
            )
            pixels = pixels[:, :2] / pixels[:, 2:]
            inside = pixels[((pixels > (2, 52)) & (pixels < (478, 358))).all(axis=1)].astype(int)
            assert len(inside) > 12
            covered = changed[inside[:, 1], inside[:, 0]].mean()
            assert covered > 0.9 if visible else covered < 0.5
    strip = cv2.imread(str(image))
    assert strip is not None
    assert strip.shape[1] > 800
    assert {path.name for path in tmp_path.iterdir()} == {
        "clip.mp4", "clip.person01.npz", "preview.mp4", "preview.png",
    }  # fmt: skip


def test_a_motion_that_begins_late_is_drawn_on_its_own_frames(tmp_path, clip, body, make_walk):
    motion = make_walk(SIZE, 10, first=15)
    render_preview(clip, [motion], body, tmp_path / "out.mp4", tmp_path / "out.png")
    frames = list(open_footage(tmp_path / "out.mp4"))
    assert len(frames) == 10
    for number, frame in enumerate(frames):  # the corner of the footage tells its frame: 60 + 2 i
        assert frame.image[-4, 4].mean() == pytest.approx(60 + 2 * (15 + number), abs=2.5)


def test_an_image_sequence_at_a_rate_of_its_own(tmp_path, body, make_walk):
    folder = tmp_path / "shots"
    folder.mkdir()
    for index in range(12):
        cv2.imwrite(str(folder / f"shot_{index:03d}.png"), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    motion = make_walk(SIZE, 8, first=2, rate=10.0)
    render_preview(folder, [motion], body, tmp_path / "out.mp4", tmp_path / "out.png")
    info = probe(tmp_path / "out.mp4")
    assert (info.frame_count, info.frame_rate) == (8, pytest.approx(10.0))


def test_a_clip_of_one_frame(tmp_path, make_video, body, make_walk):
    clip = make_video(tmp_path / "one.mp4", SIZE, 1)
    render_preview(clip, [make_walk(SIZE, 1)], body, tmp_path / "out.mp4", tmp_path / "out.png")
    assert probe(tmp_path / "out.mp4").frame_count == 1


@pytest.mark.parametrize("size", [(64, 480), (8, 8), (1280, 720)])
def test_odd_shapes_of_footage(tmp_path, make_video, body, make_walk, size):
    clip = make_video(tmp_path / "clip.mp4", size, 3)
    render_preview(clip, [make_walk(size, 3)], body, tmp_path / "out.mp4", tmp_path / "out.png")
    assert max(probe(tmp_path / "out.mp4").height, 480) <= 960


def test_cancelling_leaves_what_was_there(tmp_path, clip, body, make_walk):
    video, image = tmp_path / "out.mp4", tmp_path / "out.png"
    video.write_bytes(b"an earlier video")
    image.write_bytes(b"an earlier picture")
    with pytest.raises(Cancelled):
        render_preview(clip, [make_walk(SIZE, 20)], body, video, image, Counter(stop_at=5))
    assert video.read_bytes() == b"an earlier video"
    assert image.read_bytes() == b"an earlier picture"
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "out.mp4", "out.png"}


def test_requests_that_cannot_be_met(tmp_path, clip, body, make_walk):
    out = tmp_path / "out.mp4", tmp_path / "out.png"
    with pytest.raises(BadCall, match="no motion"):
        render_preview(clip, [], body, *out)
    with pytest.raises(BadInput, match=r"640x480 pixels, but .* has 480x360"):
        render_preview(clip, [make_walk((640, 480), 5)], body, *out)
    with pytest.raises(BadInput, match="no motion file"):
        render_preview(clip, [tmp_path / "nobody.npz"], body, *out)
    with pytest.raises(BadInput, match="There is no footage"):
        render_preview(tmp_path / "gone.mp4", [make_walk(SIZE, 5)], body, *out)
    with pytest.raises(BadInput, match="cannot be written"):
        render_preview(clip, [make_walk(SIZE, 5)], body, clip / "out.mp4", out[1])
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4"}
