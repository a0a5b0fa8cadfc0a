# SPDX-License-Identifier: Apache-2.0
"""The file of a clip's people: what is written is read, and damage is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.people import LANDMARK_COUNT, PackedMask, People, Track


def random_track(rng: np.random.Generator, person: int, frames: int = 12) -> Track:
    indices = np.sort(rng.choice(40, frames, replace=False)).astype(np.int64)
    masks = [
        PackedMask.pack(rng.random((20, 10)) < 0.3, (320, 240), (30, 40), 2) if i % 4 else None
        for i in range(frames)
    ]
    return Track(
        person=person,
        shot=person % 2,
        frame_indices=indices,
        timestamps=indices / 25.0,
        boxes=rng.normal(100, 40, (frames, 4)).astype(np.float32),
        landmarks_image=rng.normal(100, 40, (frames, LANDMARK_COUNT, 3)).astype(np.float32),
        landmarks_world=rng.normal(0, 0.4, (frames, LANDMARK_COUNT, 3)).astype(np.float32),
        visibility=rng.random((frames, LANDMARK_COUNT)).astype(np.float32),
        masks=tuple(masks),
    )


@pytest.fixture
def people() -> People:
    rng = np.random.default_rng(5)
    return People(
        tracks=(random_track(rng, 1), random_track(rng, 2)),
        image_size=(320, 240),
        frame_rate=25.0,
        frame_indices=np.arange(40, dtype=np.int64),
        timestamps=np.arange(40) / 25.0,
        cuts=(20,),
        thumbnails={1: rng.integers(0, 255, (64, 32, 3), dtype=np.uint8)},
    )


def test_round_trip(people: People, tmp_path: Path) -> None:
    people.save(tmp_path / "people.npz")
    again = People.load(tmp_path / "people.npz")
    assert (again.image_size, again.frame_rate, again.cuts) == ((320, 240), 25.0, (20,))
    np.testing.assert_array_equal(again.frame_indices, people.frame_indices)
    np.testing.assert_array_equal(again.timestamps, people.timestamps)
    np.testing.assert_array_equal(again.thumbnails[1], people.thumbnails[1])
    for before, after in zip(people.tracks, again.tracks, strict=True):
        assert (before.person, before.shot, before.masks) == (after.person, after.shot, after.masks)
        for name in (
            "frame_indices",
            "timestamps",
            "boxes",
            "landmarks_image",
            "landmarks_world",
            "visibility",
        ):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert os.listdir(tmp_path) == ["people.npz"]  # noqa: PTH208 - hidden leftovers count


def test_nobody_round_trips(tmp_path: Path) -> None:
    nobody = People((), (64, 48), 30.0, np.arange(3, dtype=np.int64), np.arange(3) / 30.0)
    nobody.save(tmp_path / "people.npz")
    assert People.load(tmp_path / "people.npz").tracks == ()


def test_coverage_counts_decoded_frames_only(people: People) -> None:
    track = people.tracks[0]
    assert people.coverage(track) == pytest.approx(len(track) / (track.last_frame - track.first_frame + 1))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing\.npz"):
        People.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped"])
def test_damaged_file_is_refused(people: People, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "people.npz"
    people.save(path)
    data = bytearray(path.read_bytes())
    if damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(b"hello")
    elif damage == "truncated":
        data = data[: len(data) // 2]
    else:
        middle = len(data) // 2
        data[middle : middle + 200] = bytes(byte ^ 0x5A for byte in data[middle : middle + 200])
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"people\.npz"):
        People.load(path)


def rewrite(path: Path, **changes: np.ndarray) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **(arrays | changes))  # pyright: ignore[reportArgumentType]


def test_newer_schema_is_told(people: People, tmp_path: Path) -> None:
    path = tmp_path / "people.npz"
    people.save(path)
    rewrite(path, header=np.array(json.dumps({"schema": 99})))
    with pytest.raises(BadInput, match="newer version"):
        People.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("person1.boxes", np.zeros((3, 4), np.float32)),
        ("person1.visibility", np.full((12, LANDMARK_COUNT), np.nan, np.float32)),
        ("person1.frame_indices", np.zeros(12, np.int64)),
        ("person1.mask_offsets", np.zeros(13, np.int64)),
        ("person1.mask_places", np.full((12, 5), 1 << 20, np.int32)),
        ("header", np.array("[]")),
        ("header", np.array("{")),
        ("timestamps", np.zeros(3)),
    ],
)
def test_contradictions_are_refused(people: People, tmp_path: Path, name: str, value: np.ndarray) -> None:
    path = tmp_path / "people.npz"
    people.save(path)
    rewrite(path, **{name: value})
    with pytest.raises(BadInput, match=r"people\.npz"):
        People.load(path)


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.trace,))


def test_a_pickle_in_the_file_is_never_run(people: People, tmp_path: Path) -> None:
    path, trace = tmp_path / "people.npz", tmp_path / "trace"
    people.save(path)
    header = np.array([Trap(trace)], dtype=object)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "header"}
    np.savez(path, header=header, **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadInput, match=r"people\.npz"):
        People.load(path)
    assert not trace.exists()


def test_a_failed_write_keeps_the_earlier_file(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people.npz"
    people.save(path)
    before = path.read_bytes()

    def full_disk(stream: IO[bytes], **_: object) -> None:
        stream.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(BadInput, match="disk is full"):
        people.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.npz"]
