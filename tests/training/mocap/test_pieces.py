# SPDX-License-Identifier: Apache-2.0
"""Clips are cut, resampled and kept; a clip that nothing can be done with is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fasthmr.errors import BadInput, Cancelled
from fasthmr.files import load_arrays
from fasthmr.progress import Progress
from fasthmr.training.mocap.archives import read_sources
from fasthmr.training.mocap.calibrate import anchor_positions
from fasthmr.training.mocap.joint_maps import joint_map
from fasthmr.training.mocap.pieces import Reading, read_pieces

from .tiny_data import BROKEN, HEADER, SOUND, write_data
from .written_formats import expmap_rows, expmap_text


def read(data: Path, work: Path, only: tuple[str, ...] = ()) -> Reading:
    return read_pieces(data, only, work, Progress())


def test_all_that_can_be_read_is_there(tmp_path: Path) -> None:
    reading = read(write_data(tmp_path / "data"), tmp_path / "work")
    assert [piece.name for piece in reading.pieces] == [*(name for name, _, _ in SOUND), "jumps/135/135_03"]
    assert len(reading.unreadable) == len(BROKEN)
    for row in reading.unreadable:
        name, reason = row.split(": ", 1)
        assert BROKEN[name.rsplit(".", 1)[0]] in reason


def test_pieces_are_the_anchors_at_thirty_a_second(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    reading = read(data, tmp_path / "work", ("maps",))
    (piece,) = reading.pieces
    (source,) = read_sources(data, ["maps"], lambda *_: None)
    anchors = joint_map("cmu_expmap", source.joint_names)
    wanted = anchor_positions(anchors, source.joint_names, source.positions)[::4]
    seen = load_arrays(tmp_path / "work/read" / piece.file)["seen"]
    assert (piece.frames, piece.frame_rate, piece.first_second) == (len(seen), 120.0, 0.0)
    assert len(seen) == 70
    np.testing.assert_allclose(seen[4:-4], wanted[4:-4], atol=0.003)
    assert joint_map(piece.skeleton, piece.joints) == anchors


def one_clip(folder: Path, rows: np.ndarray, line: str = "a/b.txt,a,expmap,120,,,05_13,walk\n") -> Path:
    (folder / "a").mkdir(parents=True)
    (folder / "a/b.txt").write_text(expmap_text(rows))
    (folder / "manifest.csv").write_text(f"{HEADER}\n{line}")
    return folder


def test_a_jump_makes_two_pieces_of_a_clip(tmp_path: Path) -> None:
    rows = expmap_rows(400)
    rows[201:, 0] += 40
    reading = read(one_clip(tmp_path / "data", rows), tmp_path / "work")
    assert [piece.name for piece in reading.pieces] == ["a/b", "a/b+200"]
    assert [piece.clip for piece in reading.pieces] == ["a/b", "a/b"]
    assert {piece.trial for piece in reading.pieces} == {"05_13"}
    assert reading.pieces[1].first_second == pytest.approx(200 / 120)
    assert [row.reason for row in reading.broken] == ["jump"]
    assert len({piece.file for piece in reading.pieces}) == 2


def test_a_rest_that_is_too_short_is_told(tmp_path: Path) -> None:
    rows = expmap_rows(400)
    rows[361:, 0] += 40
    reading = read(one_clip(tmp_path / "data", rows), tmp_path / "work")
    assert [piece.name for piece in reading.pieces] == ["a/b"]
    assert [row.reason for row in reading.broken] == ["jump", "short"]
    assert reading.broken[1].start == pytest.approx(3.0)


def test_two_clips_of_one_name(tmp_path: Path) -> None:
    line = "a/b.txt,a,expmap,120,,,05_13,walk\n"
    reading = read(one_clip(tmp_path / "data", expmap_rows(120), 2 * line), tmp_path / "work")
    assert [piece.name for piece in reading.pieces] == ["a/b"]
    assert reading.unreadable == ["a/b: there is another clip of that name."]


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, work = write_data(tmp_path / "data"), tmp_path / "work"
    first = read(data, work)

    def forbidden(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        patched.setattr("fasthmr.training.mocap.pieces.read_sources", forbidden)
        assert read(data, work) == first
        with pytest.raises(AssertionError, match="read again"):
            read(data, work, ("maps",))


def test_other_files_and_lost_pieces_are_read_anew(tmp_path: Path) -> None:
    data, work = write_data(tmp_path / "data"), tmp_path / "work"
    first = read(data, work)
    (work / "read" / first.pieces[0].file).unlink()
    assert read(data, work) == first
    assert (work / "read" / first.pieces[0].file).is_file()
    (work / "read.json").write_text("{ damaged")
    assert read(data, work) == first
    mended = data / "maps/train/cut.txt"
    mended.write_text(expmap_text(expmap_rows(200, 5)))
    os.utime(mended, (1, 1))
    assert len(read(data, work).pieces) == len(first.pieces) + 1


def test_cancelling_leaves_no_list(tmp_path: Path) -> None:
    progress = Progress()
    progress.cancelled.set()
    with pytest.raises(Cancelled):
        read_pieces(write_data(tmp_path / "data"), (), tmp_path / "work", progress)
    assert not (tmp_path / "work/read.json").exists()


def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(BadInput, match="work"):
        read(write_data(tmp_path / "data"), tmp_path / "work")
