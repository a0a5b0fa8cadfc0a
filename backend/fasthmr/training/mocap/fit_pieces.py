# SPDX-License-Identifier: Apache-2.0
"""Second and third step of a conversion: what is constant for each skeleton, then the poses of all pieces."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.progress import Progress
from fasthmr.training.mocap.calibrate import Calibration, calibrate
from fasthmr.training.mocap.fit_skeleton import FittedMotion, fit_skeleton
from fasthmr.training.mocap.floor import find_contacts, floor_height, sole_points
from fasthmr.training.mocap.held_out import is_held_out, is_left_out
from fasthmr.training.mocap.joint_maps import Anchor, joint_map, stick_edges
from fasthmr.training.mocap.packed import FRAME_RATE, PackedMotion, split_of
from fasthmr.training.mocap.pieces import Piece
from fasthmr.training.mocap.quality import Broken, check_fit, sound_spans

_VERSION: Final = 1  # of what lies in the work folder's "fit"
# Bones of clips of one skeleton differ by less, metres; these are the joints that carry such bones.
_SAME_SKELETON: Final = 0.003
_RIGID: Final = ("hip", "knee", "shoulder", "elbow")


@dataclass(frozen=True)
class FittedPiece:
    """What became of a piece.

    Attributes:
        motions: on the floor, ready for a set; none if nothing of it may be used.
        broken: what was thrown out, in seconds of the clip.
        errors: (T, P) metres between each anchor and where it was seen; P is 0 for motion that was on an
            SMPL body already.
    """

    motions: list[PackedMotion]
    broken: list[Broken]
    errors: NDArray[np.float32]


def calibrate_pieces(
    work: Path, pieces: Sequence[Piece], body: BodyModel, progress: Progress
) -> list[Calibration | None]:
    """One calibration a piece; pieces of one skeleton share it, motion on an SMPL body has none.

    Args:
        work: work folder with the pieces in "read".
        pieces: all that are to be fitted.
        body: to be fitted.
        progress: told of each skeleton.

    Raises:
        BadInput: a piece is not there any more.
        Cancelled: the user stopped it.
    """
    groups: list[tuple[str, tuple[str, ...], NDArray[np.float64], list[int]]] = []
    seen = [load_arrays(work / "read" / piece.file).get("seen") for piece in pieces]
    for index, (piece, positions) in enumerate(zip(pieces, seen, strict=True)):
        if positions is None:
            continue
        lengths = limb_lengths(joint_map(piece.skeleton, piece.joints), positions)
        for skeleton, joints, other, members in groups:
            if (skeleton, joints) == (piece.skeleton, piece.joints) and (
                np.abs(lengths - other).max() < _SAME_SKELETON
            ):
                members.append(index)
                break
        else:
            groups.append((piece.skeleton, piece.joints, lengths, [index]))
    result: list[Calibration | None] = [None] * len(pieces)
    for number, (skeleton, joints, _, members) in enumerate(groups):
        progress.report("calibrate", number, len(groups))
        clips = [positions for index in members if (positions := seen[index]) is not None]
        calibration = calibrate(joint_map(skeleton, joints), clips, body)
        for index in members:
            result[index] = calibration
    return result


def limb_lengths(anchors: Sequence[Anchor], seen: np.ndarray) -> NDArray[np.float64]:
    """Median lengths of the bones of arms and legs, metres: a skeleton's fingerprint.

    Args:
        anchors: P of them.
        seen: (T, P, 3) metres.
    """
    pairs = [(a, b) for a, b in stick_edges(anchors) if anchors[b].carrier.endswith(_RIGID)]
    upper, lower = (seen[:, list(ends)] for ends in zip(*pairs, strict=True))
    return np.median(np.linalg.norm(lower - upper, axis=-1), axis=0)


def fit_pieces(
    work: Path,
    pieces: Sequence[Piece],
    calibrations: Sequence[Calibration | None],
    jobs: int,
    progress: Progress,
) -> Iterator[FittedPiece]:
    """Every piece fitted, one after the other; a fit that is in the work folder is not made again.

    Args:
        work: work folder with the pieces in "read"; fits go to "fit".
        pieces: to be fitted.
        calibrations: one for each.
        jobs: processes; the result does not depend on their number.
        progress: told of frames.

    Raises:
        BadInput: a piece is not there any more, or the work folder cannot be written to.
        Cancelled: the user stopped it; fits that were made stay.
    """
    tasks = [(work, piece, calibration) for piece, calibration in zip(pieces, calibrations, strict=True)]
    total, done = sum(piece.frames for piece in pieces), 0
    progress.report("fit poses", 0, total)

    def tell(results: Iterable[FittedPiece]) -> Iterator[FittedPiece]:
        nonlocal done
        for piece, result in zip(pieces, results, strict=True):
            done += piece.frames
            progress.report("fit poses", done, total)
            yield result

    if jobs <= 1:
        yield from tell(map(_fit_piece, tasks))
        return
    # Not forked: a fork of a process whose libraries have threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _begin_process) as pool:
        try:
            yield from tell(pool.map(_fit_piece, tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or all pieces would be fitted before it ends
            raise


def _begin_process() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process says when to stop


def _fit_piece(task: tuple[Path, Piece, Calibration | None]) -> FittedPiece:
    """One piece: fitted, on the floor, checked; from the work folder if it is there."""
    work, piece, calibration = task
    arrays = load_arrays(work / "read" / piece.file)
    body = load_body("open")
    fit = _fit(work / "fit" / piece.file, arrays, calibration, body)
    if is_left_out(piece.clip, piece.subject):
        start = piece.first_second
        return FittedPiece(
            [], [Broken(piece.clip, start, start + piece.frames / FRAME_RATE, "copy")], fit.errors
        )
    soles = sole_points(body, fit.betas, fit.rotations, fit.pelvis)
    floor = floor_height(soles)
    contacts = find_contacts(soles, floor)
    sound, broken = check_fit(piece.clip, arrays.get("seen", fit.pelvis[:, None]), fit)
    kept, short = sound_spans(piece.clip, sound)
    motions = [
        PackedMotion(
            name=f"{piece.name}+{start}" if number else piece.name,
            skeleton=piece.skeleton,
            subject=piece.subject,
            label=piece.label,
            split=split_of(piece.trial, is_held_out(piece.clip, piece.subject)),
            source_frame_rate=piece.frame_rate,
            betas=fit.betas,
            rotations=fit.rotations[start:end],
            pelvis=fit.pelvis[start:end] - np.array([0, 0, floor], np.float32),
            contacts=contacts[start:end],
        )
        for number, (start, end) in enumerate(kept)
    ]
    moved = [
        replace(row, start=row.start + piece.first_second, end=row.end + piece.first_second)
        for row in broken + short
    ]
    return FittedPiece(motions, moved, fit.errors)


def _fit(
    file: Path, arrays: dict[str, np.ndarray], calibration: Calibration | None, body: BodyModel
) -> FittedMotion:
    key = _fit_key(arrays, calibration)
    if (kept := _kept(file, key)) is not None:
        return kept
    if calibration is None:
        none = np.zeros((len(arrays["pelvis"]), 0), np.float32)
        fit = FittedMotion(arrays["rotations"], arrays["pelvis"], arrays["betas"], none)
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
    return fit


def _kept(file: Path, key: str) -> FittedMotion | None:
    """The fit in the work folder, if it was made from the same and is whole."""
    if not file.is_file():
        return None
    try:
        kept = load_arrays(file)
        if str(kept["key"]) != key:
            return None
        return FittedMotion(kept["rotations"], kept["pelvis"], kept["betas"], kept["errors"])
    except (BadInput, KeyError):
        return None


def _fit_key(arrays: dict[str, np.ndarray], calibration: Calibration | None) -> str:
    """What a fit was made from: another calibration or other joints make another fit."""
    digest = hashlib.sha256(str(_VERSION).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    if calibration is not None:
        digest.update(calibration.betas.tobytes() + calibration.offsets.tobytes())
        digest.update(repr(calibration.anchors).encode())
    return digest.hexdigest()
