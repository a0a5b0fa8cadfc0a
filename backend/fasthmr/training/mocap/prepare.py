# SPDX-License-Identifier: Apache-2.0
"""A folder of motion capture to a set to learn from: read, check, fit, find the floor, pack.

Three steps, each of which keeps what it made in a work folder beside the set, so that the same call
goes on where it was stopped:

1. read: the joints of every clip at 30 frames a second, cut where they jump;
2. calibrate: what is constant for each skeleton;
3. fit: poses, floor and contacts, checked once more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays, written_whole
from fasthmr.progress import Progress
from fasthmr.training.mocap.archives import is_held_out, read_sources
from fasthmr.training.mocap.calibrate import Calibration, anchor_positions, calibrate
from fasthmr.training.mocap.fit_skeleton import FittedMotion, fit_skeleton
from fasthmr.training.mocap.floor import find_contacts, floor_height, sole_points, spans
from fasthmr.training.mocap.joint_maps import Anchor, joint_map, stick_edges
from fasthmr.training.mocap.packed import (
    FRAME_RATE,
    MocapSet,
    PackedMotion,
    split_of,
    write_mocap_set,
)
from fasthmr.training.mocap.quality import (
    SHORTEST,
    Broken,
    as_table,
    check_fit,
    check_source,
    sound_spans,
    total_seconds,
)
from fasthmr.training.mocap.resample import resample
from fasthmr.training.mocap.smpl_source import from_smpl
from fasthmr.training.mocap.source_motion import SourceMotion

_log = logging.getLogger(__name__)

_VERSION: Final = 1  # of what lies in the work folder
# Bones of clips of one skeleton differ by less, metres; these are the joints that carry such bones.
_SAME_SKELETON: Final = 0.003
_RIGID: Final = ("hip", "knee", "shoulder", "elbow")


@dataclass(frozen=True)
class PrepareRequest:
    """What to convert.

    Attributes:
        data: folder with the captured motion (``manifest.csv`` and archives, or unpacked).
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


@dataclass(frozen=True)
class _Piece:
    """A sound span of a clip, as it lies in the work folder."""

    name: str
    clip: str
    skeleton: str
    subject: int | None
    label: str
    held_out: bool
    trial: str
    frame_rate: float
    first_second: float
    file: str
    frames: int
    joints: tuple[str, ...] = ()
    broken: list[dict[str, Any]] = field(default_factory=list)


def prepare(request: PrepareRequest, progress: Progress | None = None) -> PrepareResult:
    """Convert; a set that is there already is not written again.

    Raises:
        BadInput: nothing could be read, or the place cannot be written to.
        Cancelled: the user stopped it; the same call goes on.
    """
    progress = progress or Progress()
    if request.out.exists() and any(request.out.iterdir()):
        raise BadInput(f"{request.out} is there already. Choose a new folder, or delete the old set.")
    torch.set_num_threads(1)
    body = load_body("open")
    pieces, broken, unreadable = _read(request, progress)
    if not pieces:
        raise BadInput(f"No motion could be read from {request.data}. Is it the right folder?")
    calibrations = _calibrate(request.work, pieces, body, progress)
    results = list(_fit_all(request, pieces, calibrations, progress))
    errors: dict[str, list[np.ndarray]] = {}
    motions: list[PackedMotion] = []
    for piece, (fitted, found, seen_errors) in zip(pieces, results, strict=True):
        broken += found
        motions += fitted
        if len(seen_errors):
            errors.setdefault(piece.skeleton, []).append(seen_errors)
    packed = write_mocap_set(request.out, motions)
    by_skeleton = {}
    for skeleton, rows in errors.items():
        values = np.concatenate([row.ravel() for row in rows]) * 1000
        by_skeleton[skeleton] = (float(np.median(values)), float(np.percentile(values, 95)))
    return _write_report(request, packed, by_skeleton, broken, unreadable)


def _read(request: PrepareRequest, progress: Progress) -> tuple[list[_Piece], list[Broken], list[str]]:
    folder = request.work / "read"
    listing = request.work / "read.json"
    key = {"version": _VERSION, "data": str(request.data.resolve()), "only": sorted(request.only)}
    if listing.is_file():
        content = json.loads(listing.read_text(encoding="utf-8"))
        if content["key"] == key:
            return (
                [_Piece(**row) for row in content["pieces"]],
                [Broken(**row) for row in content["broken"]],
                content["unreadable"],
            )
    pieces: list[_Piece] = []
    broken: list[Broken] = []
    unreadable: list[str] = []

    def failed(name: str, reason: object = "") -> None:
        unreadable.append(f"{name}: {reason}")
        _log.warning("%s could not be read: %s", name, reason)

    for number, source in enumerate(_sources(request, failed)):
        progress.report("read", number)
        found, rejected = _cut(source, folder)
        pieces += found
        broken += rejected
    content = {
        "key": key,
        "pieces": [asdict(piece) for piece in pieces],
        "broken": [row.to_json() for row in broken],
        "unreadable": unreadable,
    }
    _write_json(listing, content)
    return pieces, broken, unreadable


def _sources(request: PrepareRequest, failed: Callable[..., None]) -> Iterator[SourceMotion]:
    return read_sources(request.data, request.only or None, failed)


def _cut(source: SourceMotion, folder: Path) -> tuple[list[_Piece], list[Broken]]:
    """The sound spans of a clip at 30 frames a second, written to the work folder."""
    sound, broken = check_source(source)
    pieces: list[_Piece] = []
    for start, end in spans(sound):
        if (end - start) / source.frame_rate < SHORTEST / FRAME_RATE:
            # A first frame in a T-pose leaves nothing before it that would be worth a line.
            if start:
                broken.append(
                    Broken(source.name, start / source.frame_rate, end / source.frame_rate, "short")
                )
            continue
        arrays: dict[str, np.ndarray] = {}
        anchors: tuple[Anchor, ...] = ()
        if source.rotations is None:
            anchors = joint_map(source.skeleton, source.joint_names)
            seen = anchor_positions(anchors, source.joint_names, source.positions[start:end])
            arrays["seen"] = resample(seen, source.frame_rate)
        else:
            arrays = from_smpl(source, start, end)
        count = len(arrays.get("seen", arrays.get("pelvis", np.zeros(0))))
        name = source.name if not pieces else f"{source.name}+{start}"
        file = folder / f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', name)}-{_short_hash(name)}.npz"
        save_arrays(file, arrays)
        trial = source.name
        if source.subject is not None and source.trial is not None:
            trial = f"{source.subject:02d}_{source.trial:02d}"
        pieces.append(
            _Piece(
                name=name,
                clip=source.name,
                skeleton=source.skeleton,
                subject=source.subject,
                label=source.label,
                held_out=is_held_out(source),
                trial=trial,
                frame_rate=source.frame_rate,
                first_second=start / source.frame_rate,
                file=file.name,
                frames=count,
                joints=tuple(name for anchor in anchors for name in anchor.sources),
            )
        )
    return pieces, broken


def _calibrate(
    work: Path, pieces: list[_Piece], body: BodyModel, progress: Progress
) -> list[Calibration | None]:
    """One calibration a piece; pieces of one skeleton share it."""
    groups: list[tuple[str, tuple[str, ...], NDArray[np.float64], list[int]]] = []
    seen = [load_arrays(work / "read" / piece.file).get("seen") for piece in pieces]
    for index, (piece, positions) in enumerate(zip(pieces, seen, strict=True)):
        if positions is None:
            continue
        lengths = _limb_lengths(joint_map(piece.skeleton, piece.joints), positions)
        for skeleton, joints, other, members in groups:
            if (skeleton, joints) == (piece.skeleton, tuple(piece.joints)) and (
                np.abs(lengths - other).max() < _SAME_SKELETON
            ):
                members.append(index)
                break
        else:
            groups.append((piece.skeleton, tuple(piece.joints), lengths, [index]))
    result: list[Calibration | None] = [None] * len(pieces)
    for number, (skeleton, joints, _, members) in enumerate(groups):
        progress.report("calibrate", number, len(groups))
        clips = [positions for index in members if (positions := seen[index]) is not None]
        calibration = calibrate(joint_map(skeleton, joints), clips, body)
        for index in members:
            result[index] = calibration
    return result


def _limb_lengths(anchors: Sequence[Anchor], seen: np.ndarray) -> NDArray[np.float64]:
    """Lengths of the bones of arms and legs: a skeleton's fingerprint."""
    pairs = [(a, b) for a, b in stick_edges(anchors) if anchors[b].carrier.endswith(_RIGID)]
    upper, lower = (seen[:, list(ends)] for ends in zip(*pairs, strict=True))
    return np.median(np.linalg.norm(lower - upper, axis=-1), axis=0)


_Fitted = tuple[list[PackedMotion], list[Broken], NDArray[np.float32]]


def _fit_all(
    request: PrepareRequest,
    pieces: list[_Piece],
    calibrations: list[Calibration | None],
    progress: Progress,
) -> Iterator[_Fitted]:
    tasks = [
        (request.work, piece, calibration) for piece, calibration in zip(pieces, calibrations, strict=True)
    ]
    total, done = sum(piece.frames for piece in pieces), 0
    progress.report("fit poses", 0, total)

    def tell(results: Iterable[_Fitted]) -> Iterator[_Fitted]:
        nonlocal done
        for piece, result in zip(pieces, results, strict=True):
            done += piece.frames
            progress.report("fit poses", done, total)
            yield result

    if request.jobs <= 1:
        yield from tell(map(_fit_one, tasks))
        return
    with ProcessPoolExecutor(request.jobs) as pool:
        yield from tell(pool.map(_fit_one, tasks))


def _fit_one(task: tuple[Path, _Piece, Calibration | None]) -> _Fitted:
    """One piece: fitted, on the floor, checked; from the work folder if it is there."""
    work, piece, calibration = task
    torch.set_num_threads(1)
    arrays = load_arrays(work / "read" / piece.file)
    key = _fit_key(arrays, calibration)
    file = work / "fit" / piece.file
    body = load_body("open")
    if file.is_file() and str((kept := load_arrays(file))["key"]) == key:
        fit = FittedMotion(kept["rotations"], kept["pelvis"], kept["betas"], kept["errors"])
    else:
        if calibration is None:
            fit = FittedMotion(
                arrays["rotations"],
                arrays["pelvis"],
                arrays["betas"],
                np.zeros((piece.frames, 0), np.float32),
            )
        else:
            fit = fit_skeleton(arrays["seen"], calibration, body)
        save_arrays(
            file,
            {
                "key": np.array(key),
                "rotations": fit.rotations,
                "pelvis": fit.pelvis,
                "betas": fit.betas,
                "errors": fit.errors,
            },
        )
    soles = sole_points(body, fit.betas, fit.rotations, fit.pelvis)
    floor = floor_height(soles)
    contacts = find_contacts(soles, floor)
    sound, broken = check_fit(piece.clip, arrays.get("seen", fit.pelvis[:, None]), fit)
    kept_spans, short = sound_spans(piece.clip, sound)
    broken = [
        Broken(row.clip, row.start + piece.first_second, row.end + piece.first_second, row.reason, row.detail)
        for row in broken + short
    ]
    motions = []
    for start, end in kept_spans:
        motions.append(
            PackedMotion(
                name=piece.name if start == kept_spans[0][0] else f"{piece.name}+{start}",
                skeleton=piece.skeleton,
                subject=piece.subject,
                label=piece.label,
                split=split_of(piece.trial, piece.held_out),
                source_frame_rate=piece.frame_rate,
                betas=fit.betas,
                rotations=fit.rotations[start:end],
                pelvis=fit.pelvis[start:end] - np.array([0, 0, floor], np.float32),
                contacts=contacts[start:end],
            )
        )
    return motions, broken, fit.errors


def _fit_key(arrays: dict[str, np.ndarray], calibration: Calibration | None) -> str:
    """What a fit was made from: another calibration or other joints make another fit."""
    digest = hashlib.sha256(str(_VERSION).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    if calibration is not None:
        digest.update(calibration.betas.tobytes() + calibration.offsets.tobytes())
        digest.update(repr(calibration.anchors).encode())
    return digest.hexdigest()


def _write_report(
    request: PrepareRequest,
    packed: MocapSet,
    errors: dict[str, tuple[float, float]],
    broken: list[Broken],
    unreadable: list[str],
) -> PrepareResult:
    minutes = {
        split: sum(clip.count for clip in packed.clips if clip.split == split) / FRAME_RATE / 60
        for split in ("train", "validation", "test")
    }
    report = request.out / "report.json"
    result = PrepareResult(len(packed.clips), minutes, errors, broken, unreadable, report)
    content = {
        "clips": result.clips,
        "minutes": minutes,
        "error_mm": {name: {"median": a, "p95": b} for name, (a, b) in errors.items()},
        "thrown_out": [row.to_json() for row in broken],
        "unreadable": unreadable,
    }
    _write_json(report, content)
    with written_whole(request.out / "report.txt") as stream:
        stream.write(as_table(broken).encode())
    return result


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as stream:
        stream.write(json.dumps(content, indent=1).encode())


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
