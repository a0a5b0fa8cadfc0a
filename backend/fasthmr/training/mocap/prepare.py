# SPDX-License-Identifier: Apache-2.0
"""A folder of motion capture to a set to learn from: read, check, fit, find the floor, pack.

Three steps, each of which keeps what it made in a work folder beside the set, so that the same call
goes on where it was stopped:

1. read: the joints of every clip at 30 frames a second, cut where they jump;
2. calibrate: what is constant for each skeleton;
3. fit: poses, floor and contacts, checked once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fasthmr.body import load_body
from fasthmr.errors import BadInput
from fasthmr.files import written_whole
from fasthmr.progress import Progress
from fasthmr.training.mocap.fit_pieces import FittedPiece, calibrate_pieces, fit_pieces
from fasthmr.training.mocap.packed import FRAME_RATE, MocapSet, write_mocap_set
from fasthmr.training.mocap.pieces import Piece, Reading, read_pieces
from fasthmr.training.mocap.quality import Broken, as_table, total_seconds


@dataclass(frozen=True)
class PrepareRequest:
    """What to convert.

    Attributes:
        data: folder with the captured motion (``manifest.csv`` and archives or unpacked, or AMASS files).
        out: the set, a new folder; ``<out>.work`` beside it keeps the steps in between.
        only: names of the sources to take ("cmu_acrnn"); all of them when empty.
        jobs: processes that fit.
    """

    data: Path
    out: Path
    only: tuple[str, ...] = ()
    jobs: int = 1

    @property
    def work(self) -> Path:
        """Where the steps in between are kept."""
        return self.out.with_name(f"{self.out.name}.work")


@dataclass(frozen=True)
class PrepareResult:
    """What came out.

    Attributes:
        clips: number of clips in the set.
        minutes: of motion by split.
        errors: millimetres between joints and body by skeleton: median, 95th percentile.
        broken: what was thrown out.
        unreadable: clips that could not be read at all.
        report: the folder's ``report.json``.
    """

    clips: int
    minutes: dict[str, float]
    errors: dict[str, tuple[float, float]]
    broken: list[Broken]
    unreadable: list[str]
    report: Path

    @property
    def thrown_out(self) -> dict[str, float]:
        """Seconds thrown out by reason."""
        return total_seconds(self.broken)


def prepare(request: PrepareRequest, progress: Progress | None = None) -> PrepareResult:
    """Convert; a set that is there already is not written again.

    Raises:
        BadInput: nothing could be read, or the place cannot be written to.
        Cancelled: the user stopped it; the same call goes on.
    """
    progress = progress or Progress()
    _check_places(request)
    body = load_body("open")
    with _one_thread():
        reading = read_pieces(request.data, request.only, request.work, progress)
        if not reading.pieces:
            reasons = f" The first of {len(reading.unreadable)} reasons: {reading.unreadable[0]}"
            raise BadInput(
                f"No motion could be read from {request.data}. Is it the right folder?"
                f"{reasons if reading.unreadable else ''}"
            )
        calibrations = calibrate_pieces(request.work, reading.pieces, body, progress)
        fitted = list(fit_pieces(request.work, reading.pieces, calibrations, request.jobs, progress))
    packed = write_mocap_set(request.out, [motion for one in fitted for motion in one.motions])
    return _write_report(packed, reading, fitted)


def _check_places(request: PrepareRequest) -> None:
    out, data = request.out, request.data
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already. Choose a new folder, or delete the old set.")
    if not data.is_dir():
        raise BadInput(f"There is no folder {data}. Name the one with manifest.csv or with AMASS files.")
    if data.resolve() in out.resolve().parents or out.resolve() == data.resolve():
        raise BadInput(f"{out} lies in the data {data}, which stays as it is. Choose another folder.")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are the same on every machine, and processes do not fight for processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_report(packed: MocapSet, reading: Reading, fitted: list[FittedPiece]) -> PrepareResult:
    broken = reading.broken + [row for one in fitted for row in one.broken]
    minutes = {
        split: sum(clip.count for clip in packed.of_split(split)) / FRAME_RATE / 60
        for split in ("train", "validation", "test")
    }
    errors = _errors(reading.pieces, fitted)
    report = packed.folder / "report.json"
    result = PrepareResult(len(packed.clips), minutes, errors, broken, reading.unreadable, report)
    content = {
        "clips": result.clips,
        "minutes": minutes,
        "error_mm": {name: {"median": a, "p95": b} for name, (a, b) in errors.items()},
        "thrown_out": [row.to_json() for row in broken],
        "unreadable": result.unreadable,
    }
    with written_whole(report) as stream:
        stream.write(json.dumps(content, indent=1).encode())
    with written_whole(packed.folder / "report.txt") as stream:
        stream.write(as_table(broken).encode())
    return result


def _errors(pieces: list[Piece], fitted: list[FittedPiece]) -> dict[str, tuple[float, float]]:
    """Millimetres between joints and body by skeleton: median, 95th percentile."""
    rows: dict[str, list[np.ndarray]] = {}
    for piece, one in zip(pieces, fitted, strict=True):
        if one.errors.size:
            rows.setdefault(piece.skeleton, []).append(1000 * one.errors.ravel())
    joined = {skeleton: np.concatenate(values) for skeleton, values in rows.items()}
    return {
        skeleton: (float(np.median(values)), float(np.percentile(values, 95)))
        for skeleton, values in joined.items()
    }
