# SPDX-License-Identifier: Apache-2.0
"""The step "people" with a detector that reads its people off the frames."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fasthmr.errors import Cancelled, NobodyFound
from fasthmr.footage import FootageInfo, Frame
from fasthmr.people import LANDMARK_MIRROR, Detection, People, find_people
from fasthmr.people.find import run_length, runs_of_frames
from fasthmr.progress import Progress

from .synthetic import detection

WIDTH, HEIGHT = 1280, 720


class MadeFootage:
    """Frames made on the fly: a block of colour for each person, on one of several backgrounds."""

    def __init__(self, frames: int, cuts: Sequence[int] = (), rate: float = 30.0, first: int = 0) -> None:
        self.info = FootageInfo(
            path=Path("made.mp4"),
            kind="video",
            width=WIDTH,
            height=HEIGHT,
            rotation=0,
            frame_rate=rate,
            variable_rate=False,
            frame_count=frames,
            duration=frames / rate,
            focal_35mm=None,
        )
        self.expected_frames = frames
        rng = np.random.default_rng(0)
        blocks = rng.integers(0, 255, (len(cuts) + 1, 9, 16, 3), dtype=np.uint8)
        self._backgrounds = blocks.repeat(HEIGHT // 9, axis=1).repeat(WIDTH // 16, axis=2)
        self._cuts, self._first = cuts, first

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.expected_frames):
            shot = sum(index >= cut for cut in self._cuts)
            number = self._first + index
            yield Frame(number, number / self.info.frame_rate, self._backgrounds[shot])


class KnownPeople:
    """A detector that knows who is where at a time; remembers how it was called."""

    def __init__(self, *people) -> None:
        self._people = people
        self.resets: list[int] = []
        self.runs: list[int] = []
        self.closed = False

    def reset(self) -> None:
        self.resets.append(sum(self.runs))

    def detect(self, images: Sequence[np.ndarray], timestamps: Sequence[float]) -> list[list[Detection]]:
        assert all(image.shape == (HEIGHT, WIDTH, 3) for image in images)
        self.runs.append(len(images))
        return [
            [found for person in self._people if (found := person(time)) is not None] for time in timestamps
        ]

    def close(self) -> None:
        self.closed = True


def find(footage: MadeFootage, detector: KnownPeople, progress: Progress | None = None) -> People:
    return find_people(footage, detector, progress)  # pyright: ignore[reportArgumentType]


def large(time: float) -> Detection:
    return detection(300 + 60 * time, height=400)


def small(time: float) -> Detection | None:
    return detection(900, height=150) if 1.0 <= time < 2.0 else None


def test_people_are_numbered_by_size_and_length() -> None:
    detector = KnownPeople(small, large)
    people = find(MadeFootage(75), detector)
    assert [track.person for track in people.tracks] == [1, 2]
    assert people.track(1).box_height > people.track(2).box_height
    assert (people.track(1).first_frame, people.track(1).last_frame) == (0, 74)
    assert (people.track(2).first_frame, people.track(2).last_frame) == (30, 59)
    assert people.coverage(people.track(2)) == 1.0
    assert people.image_size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(people.frame_indices, np.arange(75))
    np.testing.assert_allclose(people.timestamps, np.arange(75) / 30)
    assert set(people.thumbnails) == {1, 2}
    assert people.thumbnails[1].shape[0] == 256
    assert max(detector.runs) <= 12
    assert not detector.closed


def test_frames_keep_their_numbers_in_the_whole_clip() -> None:
    people = find(MadeFootage(40, first=100), KnownPeople(large))
    assert people.tracks[0].first_frame == 100
    assert people.frame_indices[0] == 100
    assert people.timestamps[0] == pytest.approx(100 / 30)


def test_cuts_split_tracks() -> None:
    detector = KnownPeople(large)
    people = find(MadeFootage(70, cuts=(25, 47)), detector)
    assert people.cuts == (25, 47)
    spans = {(track.shot, track.first_frame, track.last_frame) for track in people.tracks}
    assert spans == {(0, 0, 24), (1, 25, 46), (2, 47, 69)}
    assert detector.resets == [0, 25, 47]


def test_what_is_saved_is_what_was_found(tmp_path: Path) -> None:
    people = find(MadeFootage(30), KnownPeople(large))
    people.save(tmp_path / "people.npz")
    again = People.load(tmp_path / "people.npz")
    np.testing.assert_array_equal(again.tracks[0].landmarks_image, people.tracks[0].landmarks_image)
    assert again.tracks[0].masks == people.tracks[0].masks


def test_mixed_up_sides_are_put_right() -> None:
    def mixed(time: float) -> Detection:
        found = large(time)
        if 0.9 < time < 1.1:
            order = list(LANDMARK_MIRROR)
            return Detection(
                found.box, found.landmarks_image[order], found.landmarks_world[order], found.visibility, 0.9
            )
        return found

    track = find(MadeFootage(60), KnownPeople(mixed)).tracks[0]
    right = np.stack([large(time).landmarks_image for time in track.timestamps])
    np.testing.assert_allclose(track.landmarks_image, right)


def test_nobody_is_told() -> None:
    with pytest.raises(NobodyFound, match=r"made\.mp4: nobody was found in its 20 frames"):
        find(MadeFootage(20), KnownPeople())


def test_somebody_for_three_frames_only_is_told() -> None:
    with pytest.raises(NobodyFound, match="seen in 3 of 20 frames"):
        find(MadeFootage(20), KnownPeople(lambda time: large(time) if 0.1 <= time < 0.19 else None))


def test_one_frame() -> None:
    with pytest.raises(NobodyFound, match="longer part"):
        find(MadeFootage(1), KnownPeople(large))


class Recorder(Progress):
    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__(threading.Event())
        self.steps: list[tuple[int, int | None]] = []
        self._stop_after = stop_after

    def show(self, stage: str, done: int, total: int | None) -> None:
        assert stage == "people"
        self.steps.append((done, total))
        if done >= self._stop_after:
            self.cancelled.set()


def test_progress_grows_to_the_end() -> None:
    progress = Recorder()
    find(MadeFootage(50), KnownPeople(large), progress)
    done = [step for step, _ in progress.steps]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 50)
    assert {total for _, total in progress.steps} == {50}


def test_it_can_be_cancelled() -> None:
    detector = KnownPeople(large)
    with pytest.raises(Cancelled):
        find(MadeFootage(200), detector, Recorder(stop_after=24))
    assert sum(detector.runs) < 60


@pytest.mark.parametrize(("size", "expected"), [((1920, 1080), 12), ((7680, 4320), 2), ((8, 8), 12)])
def test_runs_hold_a_quarter_of_a_gigabyte_at_most(size: tuple[int, int], expected: int) -> None:
    info = dataclasses.replace(MadeFootage(1).info, width=size[0], height=size[1])
    assert run_length(info) == expected


def test_runs_never_span_a_cut() -> None:
    runs = list(runs_of_frames(MadeFootage(50, cuts=(20,)), 8))
    assert [len(run) for run, _ in runs] == [8, 8, 4, 8, 8, 8, 6]
    assert [run[0].index for run, starts in runs if starts] == [20]
    assert [frame.index for run, _ in runs for frame in run] == list(range(50))


def test_memory_stays_at_a_few_kilobytes_a_frame() -> None:
    def kept(frames: int) -> int:
        tracemalloc.start()
        people = find(MadeFootage(frames), KnownPeople(large))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(people.tracks[0]) == frames
        return size

    assert (kept(500) - kept(100)) / 400 < 12_000
