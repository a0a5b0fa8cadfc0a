# SPDX-License-Identifier: Apache-2.0
"""From footage and tracks to encodings: the same as one crop after the other, while a thread works ahead."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fasthmr.encoder.config import CAMERAHMR_INPUT, EncoderConfig
from fasthmr.encoder.crop_camera import box_information
from fasthmr.encoder.crop_geometry import CAMERAHMR_CROP, HMR2_CROP, rule_for, square_of
from fasthmr.encoder.crops import crop_people
from fasthmr.encoder.encode import encode_people
from fasthmr.encoder.encoding import Encoding
from fasthmr.encoder.model import HMRModel, HMROutput
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.runner import EncoderRunner
from fasthmr.encoder.token_merging import TokenMerging
from fasthmr.errors import BadInput, Cancelled
from fasthmr.footage import Frame, open_footage
from fasthmr.live_preview import Sketch, Sketcher
from fasthmr.people import PackedMask, Track
from fasthmr.progress import Progress
from tests.real_clip import demo_clip

SIZE = (160, 120)
INTRINSICS = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])
TINY = EncoderConfig(
    dim=24, depth=2, heads=2, head_dim=20, head_depth=1, head_heads=1, head_head_dim=8, head_mlp=16
)
CONFIGS = {
    "hmr2": TINY,
    "open": dataclasses.replace(TINY, kind="open"),
    "camerahmr": dataclasses.replace(TINY, kind="camerahmr", token_input=CAMERAHMR_INPUT),
}


class Clip:
    """Footage in memory that notes what is done with it.

    Args:
        count: frames; each shows noise of its own.
        first: index of the first one.
        fails_at: index of the frame instead of which an error comes.
    """

    def __init__(
        self, count: int, first: int = 0, fails_at: int | None = None, error: Exception | None = None
    ):
        self.info = SimpleNamespace(path=Path("clip.mp4"))
        self.first, self.count, self.fails_at, self.error = first, count, fails_at, error
        self.read: list[int] = []
        self.closed = False

    def picture(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.first, self.first + self.count):
            if index == self.fails_at and self.error is not None:
                raise self.error
            self.read.append(index)
            yield Frame(index, index / 25, self.picture(index))

    def close(self) -> None:
        self.closed = True


class Notes(Progress):
    def __init__(self, cancelled: threading.Event | None = None) -> None:
        super().__init__(cancelled)
        self.shown: list[tuple[str, int, int | None]] = []
        self.said: list[str] = []

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.shown.append((stage, done, total))

    def log(self, message: str) -> None:
        self.said.append(message)


def track_of(person: int, frames: list[int], masks: bool = True) -> Track:
    """A person who walks across the picture, with an upright rectangle for a mask."""
    count = len(frames)
    left = 10.0 + 40 * person + np.array(frames, np.float32)
    boxes = np.stack([left, 0 * left + 20, left + 30 + person, 0 * left + 110], axis=1).astype(np.float32)
    packed = []
    for box in boxes.astype(int):
        cells = np.zeros((SIZE[1], SIZE[0]), bool)
        cells[box[1] : box[3], box[0] : box[2]] = True
        packed.append(PackedMask.pack(cells) if masks else None)
    return Track(
        person=person,
        shot=0,
        frame_indices=np.array(frames, np.int64),
        timestamps=np.array(frames, np.float64) / 25,
        boxes=boxes,
        landmarks_image=np.ones((count, 33, 3), np.float32),
        landmarks_world=np.zeros((count, 33, 3), np.float32),
        visibility=np.ones((count, 33), np.float32),
        masks=tuple(packed),
    )


TRACKS = [track_of(1, [2, 3, 4, 7, 8, 9, 10]), track_of(2, [4, 5, 7, 12])]
PEOPLE: Any = SimpleNamespace(image_size=SIZE)


def runner_of(kind: str = "hmr2", batch_size: int = 4, merging: TokenMerging | None = None) -> EncoderRunner:
    model = HMRModel.from_state(CONFIGS[kind], random_state(CONFIGS[kind])).simplify_()
    model.reduction = merging
    return EncoderRunner(model, precision="fp32", batch_size=batch_size, name="tiny.ckpt")


def encoded(
    clip: Any,
    tracks: list[Track],
    runner: EncoderRunner,
    progress: Progress | None = None,
    overlapped: bool | None = True,
) -> list[Encoding]:
    return encode_people(clip, PEOPLE, tracks, INTRINSICS, runner, progress, overlapped=overlapped)


def one_after_the_other(clip: Clip, track: Track, runner: EncoderRunner) -> dict[str, np.ndarray]:
    """The plain way: frame by frame, crop by crop, without a queue or a batch."""
    kind = runner.model.config.kind
    rule = {"hmr2": HMR2_CROP, "open": HMR2_CROP, "camerahmr": CAMERAHMR_CROP}[kind]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("rotmat", "betas", "camera", "token")}
    forced, squares = [], []
    for index, box, mask in zip(track.frame_indices.tolist(), track.boxes, track.masks, strict=True):
        (square,) = square_of(box[None], rule)
        crop = crop_people([clip.picture(index)], [square], rule)
        info = torch.from_numpy(box_information([square], INTRINSICS)) if kind == "camerahmr" else None
        with torch.inference_mode():
            output = runner.model(
                crop, box_info=info, protection=torch.from_numpy(patch_levels([mask], [square]))
            )
        for name, values in rows.items():
            values.append(getattr(output, name)[0].numpy())
        squares.append(square)
        forced.append(0 if output.state is None else int(output.state.forced[0]))
    return {name: np.stack(values) for name, values in rows.items()} | {
        "squares": np.array(squares, np.float32),
        "forced": np.array(forced, np.int32),
    }


def no_thread_is_left() -> bool:
    return not any(thread.name == "fasthmr-crops" for thread in threading.enumerate())


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("overlapped", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_encodings_are_those_of_single_crops(kind: str, batch_size: int, overlapped: bool) -> None:
    clip, runner = Clip(20), runner_of(kind, batch_size, TokenMerging((70, 30)))
    found = encoded(clip, TRACKS, runner, overlapped=overlapped)
    assert [len(one) for one in found] == [7, 4]
    assert no_thread_is_left()
    assert clip.closed
    for encoding, track in zip(found, TRACKS, strict=True):
        np.testing.assert_array_equal(encoding.frame_indices, track.frame_indices)
        assert encoding.kind == kind
        for name, expected in one_after_the_other(clip, track, runner).items():
            np.testing.assert_allclose(getattr(encoding, name), expected, rtol=0, atol=2e-5, err_msg=name)


def test_only_frames_up_to_the_last_one_needed_are_read() -> None:
    clip = Clip(50)
    encoded(clip, TRACKS, runner_of())
    assert clip.read == list(range(13))


def test_frames_are_numbered_from_the_start_of_the_clip() -> None:
    clip = Clip(8, first=2)  # read from its third frame on
    (one,) = encoded(clip, [track_of(1, [3, 6])], runner_of())
    expected = one_after_the_other(clip, track_of(1, [3, 6]), runner_of())
    np.testing.assert_allclose(one.token, expected["token"], rtol=0, atol=2e-5)


def test_real_footage_gives_the_frames_that_it_gives_one_by_one() -> None:
    with open_footage(demo_clip(), 0.2, 0.5) as footage:
        pictures = {frame.index: frame.image for frame in footage}
        track = track_of(1, sorted(pictures)[1::2])
        size = (footage.info.width, footage.info.height)
        track = dataclasses.replace(track, boxes=track.boxes * 8, masks=(None,) * len(track))
        people: Any = SimpleNamespace(image_size=size)
        runner = runner_of()
        (found,) = encode_people(footage, people, [track], INTRINSICS, runner)
    squares = square_of(track.boxes, HMR2_CROP)
    crops = crop_people([pictures[int(index)] for index in track.frame_indices], squares, HMR2_CROP)
    np.testing.assert_allclose(found.token, runner.encode(crops).token, rtol=0, atol=2e-5)


def test_nobody_is_encoded_in_no_time() -> None:
    clip = Clip(5)
    assert encoded(clip, [], runner_of()) == []
    assert clip.read == []


def test_progress_counts_each_person_in_each_frame() -> None:
    notes = Notes()
    encoded(Clip(20), TRACKS, runner_of(), notes)
    assert notes.shown[0] == ("encode", 0, 11)
    assert notes.shown[-1] == ("encode", 11, 11)
    done = [one[1] for one in notes.shown]
    assert done == sorted(done)
    assert {4, 8} <= set(done)


def test_pictures_of_the_frames_at_work_are_offered() -> None:
    class Watched(Progress):
        def __init__(self) -> None:
            super().__init__()
            self.sketches: list[Sketch] = []

        def offer(self, make: Sketcher, folder: Path | None = None) -> None:
            sketch = make(())
            assert sketch is not None
            self.sketches.append(sketch)

    progress, clip = Watched(), Clip(20)
    encode_people(clip, PEOPLE, TRACKS, INTRINSICS, runner_of(), progress)  # type: ignore[arg-type]
    seen = sorted({index for track in TRACKS for index in track.frame_indices.tolist()})
    assert [sketch.frame for sketch in progress.sketches] == seen
    here = [sum(index in track.frame_indices for track in TRACKS) for index in seen]
    assert [len(sketch.boxes) for sketch in progress.sketches] == here


def test_the_log_says_when_background_ran_out() -> None:
    notes = Notes()
    runner = runner_of(merging=TokenMerging((96, 48)))
    found = encoded(Clip(20), TRACKS, runner, notes)
    forced = np.concatenate([one.forced for one in found])
    assert (forced > 0).any()
    (line,) = notes.said
    assert line.startswith(f"Background ran out in {int((forced > 0).sum())} of 11 crops")
    quiet = Notes()
    encoded(Clip(20), TRACKS, runner_of(merging=TokenMerging((8,))), quiet)
    assert quiet.said == []


# --- the thread


class Waiting:
    """Stands in for a network: calls something before it answers."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.batches = 0

    def __call__(self, crops: torch.Tensor, **_: Any) -> HMROutput:
        self.batches += 1
        self.before(self.batches)
        count = len(crops)
        return HMROutput(
            torch.zeros(count, 24, 3, 3),
            torch.zeros(count, 10),
            torch.zeros(count, 3),
            torch.zeros(count, TINY.head_dim),
        )


def until(condition: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_the_next_batch_is_cut_while_the_network_works() -> None:
    clip, runner = Clip(40), runner_of()
    ahead: list[bool] = []
    # The network does not go on before the frames of its next batch were read.
    runner._forward = Waiting(
        lambda batch: ahead.append(until(lambda: len(clip.read) >= min(4 * batch + 4, 16)))
    )
    encoded(clip, [track_of(1, list(range(16)))], runner)
    assert ahead == [True] * 4


def test_a_slow_network_does_not_let_the_queue_grow() -> None:
    clip, runner = Clip(200), runner_of()
    most: list[int] = []

    def wait(batch: int) -> None:
        if batch <= 3:
            time.sleep(0.3)  # frames take less than a millisecond each
            most.append(len(clip.read) - 4 * batch)

    runner._forward = Waiting(wait)
    encoded(clip, [track_of(1, list(range(200)))], runner)
    # Two batches wait, and one is ready to be put.
    assert max(most) <= 3 * 4


def test_on_a_cpu_there_is_no_thread() -> None:
    runner = runner_of()
    runner._forward = Waiting(lambda batch: seen.append(no_thread_is_left()))
    for overlapped, alone in ((None, True), (True, False)):
        seen: list[bool] = []
        encoded(Clip(20), TRACKS, runner, overlapped=overlapped)
        assert seen[0] == alone


@pytest.mark.parametrize("overlapped", [True, False])
def test_cancelled_while_frames_are_awaited(overlapped: bool) -> None:
    cancelled = threading.Event()

    class Slow(Clip):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                time.sleep(0.02)
                if frame.index == 3:
                    cancelled.set()
                yield frame

    clip = Slow(10_000)
    with pytest.raises(Cancelled):
        encoded(clip, [track_of(1, [1, 9000])], runner_of(), Notes(cancelled), overlapped)
    assert len(clip.read) < 1000
    assert no_thread_is_left()
    assert clip.closed


def test_cancelled_within_a_batch() -> None:
    cancelled = threading.Event()
    runner = runner_of()
    layers: list[int] = []

    def note(*_: Any) -> None:
        layers.append(1)
        cancelled.set()

    runner.model.backbone.blocks[0].get_submodule("mlp").register_forward_pre_hook(note)
    with pytest.raises(Cancelled):
        encoded(Clip(20), TRACKS, runner, Notes(cancelled))
    assert len(layers) == 1
    assert no_thread_is_left()


@pytest.mark.parametrize("overlapped", [True, False])
@pytest.mark.parametrize("error", [BadInput("the file vanished"), ZeroDivisionError("a bug")])
def test_an_error_while_decoding_is_raised_and_nothing_hangs(error: Exception, overlapped: bool) -> None:
    clip = Clip(20, fails_at=8, error=error)
    with pytest.raises(type(error), match=str(error)):
        encoded(clip, TRACKS, runner_of(batch_size=2), overlapped=overlapped)
    assert no_thread_is_left()
    assert clip.closed


def test_an_error_of_the_network_ends_the_thread() -> None:
    def fail(batch: int) -> None:
        raise ZeroDivisionError("a bug")

    clip, runner = Clip(200), runner_of()
    runner._forward = Waiting(fail)
    with pytest.raises(ZeroDivisionError):
        encoded(clip, [track_of(1, list(range(200)))], runner)
    assert no_thread_is_left()
    assert len(clip.read) < 100


def test_footage_that_is_shorter_than_before_is_refused() -> None:
    with pytest.raises(BadInput, match=r"clip\.mp4 .* 2 frames are missing, the first is 10"):
        encoded(Clip(10), TRACKS, runner_of())
    assert no_thread_is_left()


def test_footage_of_another_size_is_refused() -> None:
    people: Any = SimpleNamespace(image_size=(320, 240))
    with pytest.raises(BadInput, match="frame 2 has another size"):
        encode_people(Clip(20), people, TRACKS, INTRINSICS, runner_of())  # type: ignore[arg-type]


def test_the_rule_can_be_given() -> None:
    wide = [dataclasses.replace(TRACKS[0], boxes=np.tile(np.array([10, 20, 150, 100], np.float32), (7, 1)))]
    default = encoded(Clip(20), wide, runner_of("open"))[0]
    given = encode_people(
        Clip(20),  # type: ignore[arg-type]
        PEOPLE,
        wide,
        INTRINSICS,
        runner_of("open"),
        rule=rule_for("camerahmr"),
    )[0]
    assert default.squares[0].tolist() == pytest.approx([80, 60, 140 * 256 / 192])
    assert given.squares[0].tolist() == [80, 60, 140]
