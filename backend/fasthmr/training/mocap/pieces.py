# SPDX-License-Identifier: Apache-2.0
"""First step of a conversion: clips read, cut where they are broken, kept at 30 frames a second."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fasthmr.errors import BadInput
from fasthmr.files import save_arrays, written_whole
from fasthmr.progress import Progress
from fasthmr.training.mocap.archives import read_sources
from fasthmr.training.mocap.calibrate import anchor_positions
from fasthmr.training.mocap.floor import spans
from fasthmr.training.mocap.held_out import trial_key
from fasthmr.training.mocap.joint_maps import Anchor, joint_map
from fasthmr.training.mocap.packed import FRAME_RATE
from fasthmr.training.mocap.quality import SHORTEST, Broken, check_source
from fasthmr.training.mocap.resample import resample
from fasthmr.training.mocap.smpl_source import from_smpl
from fasthmr.training.mocap.source_motion import SourceMotion

_log = logging.getLogger(__name__)

_LONGEST_NAME: Final = 150  # file systems end at 255
_VERSION: Final = 2  # of what lies in the work folder's "read"


@dataclass(frozen=True)
class Piece:
    """A sound span of a clip, as it lies in the work folder.

    Attributes:
        name: unique: the clip's, with the first frame of the span for all spans but the first.
        clip: name of the clip.
        skeleton: naming of its joints.
        subject: number of the captured person, where it is known.
        label: what is done.
        trial: what all versions of the recording share.
        frame_rate: of the clip, frames per second.
        first_second: of the clip, where the span begins.
        file: ``.npz`` in the folders "read" and, once it is fitted, "fit".
        frames: at 30 a second.
        joints: source joints of its anchors, in their order; none for motion on an SMPL body.
    """

    name: str
    clip: str
    skeleton: str
    subject: int | None
    label: str
    trial: str
    frame_rate: float
    first_second: float
    file: str
    frames: int
    joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a folder of captured motion held.

    Attributes:
        pieces: sound spans.
        broken: what was thrown out.
        unreadable: clips that could not be read, each with the reason.
    """

    pieces: list[Piece]
    broken: list[Broken]
    unreadable: list[str]


def read_pieces(data: Path, only: Iterable[str], work: Path, progress: Progress) -> Reading:
    """Read a folder, or what an earlier call has read of the same files.

    Args:
        data: the folder.
        only: names of the sources to take; all of them when empty.
        work: work folder; gets ``read.json`` and the folder "read".
        progress: told of each clip.

    Raises:
        BadInput: nothing is there to be read, or the work folder cannot be written to.
        Cancelled: the user stopped it.
    """
    listing = work / "read.json"
    key = {"version": _VERSION, "data": _fingerprint(data), "only": sorted(only)}
    if (kept := _kept(listing, key)) is not None:
        return kept
    reading = Reading([], [], [])

    def failed(name: str, reason: object) -> None:
        reading.unreadable.append(f"{name}: {reason}")
        _log.warning("%s could not be read: %s", name, reason)

    taken: set[str] = set()
    for number, source in enumerate(read_sources(data, key["only"] or None, failed)):
        progress.report("read", number)
        if source.name in taken:
            failed(source.name, "there is another clip of that name.")
            continue
        taken.add(source.name)
        try:
            anchors = () if source.rotations is not None else joint_map(source.skeleton, source.joint_names)
        except BadInput as error:
            failed(source.name, error)
            continue
        found, rejected = _cut(source, anchors, work / "read")
        reading.pieces.extend(found)
        reading.broken.extend(rejected)
    content = {
        "key": key,
        "pieces": [asdict(piece) for piece in reading.pieces],
        "broken": [row.to_json() for row in reading.broken],
        "unreadable": reading.unreadable,
    }
    with written_whole(listing) as stream:
        stream.write(json.dumps(content, indent=1).encode())
    return reading


def _kept(listing: Path, key: dict[str, Any]) -> Reading | None:
    """What was read before, if it was from the same files and is all there."""
    try:
        content = json.loads(listing.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        pieces = [Piece(**{**row, "joints": tuple(row["joints"])}) for row in content["pieces"]]
        broken = [Broken(**row) for row in content["broken"]]
        unreadable = list(content["unreadable"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not all((listing.parent / "read" / piece.file).is_file() for piece in pieces):
        return None
    return Reading(pieces, broken, unreadable)


def _fingerprint(data: Path) -> str:
    """Of the names, sizes and times of all files of a folder: other files must be read anew."""
    digest = hashlib.sha256(str(data.resolve()).encode())
    for path in sorted(data.rglob("*")):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.relative_to(data)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cut(source: SourceMotion, anchors: tuple[Anchor, ...], folder: Path) -> tuple[list[Piece], list[Broken]]:
    """The sound spans of a clip at 30 frames a second, written to the work folder."""
    sound, broken = check_source(source)
    pieces: list[Piece] = []
    for start, end in spans(sound):
        if (end - start) / source.frame_rate < SHORTEST / FRAME_RATE:
            # A first frame in a T-pose leaves nothing before it that would be worth a line.
            if start:
                broken.append(
                    Broken(source.name, start / source.frame_rate, end / source.frame_rate, "short")
                )
            continue
        if source.rotations is None:
            seen = anchor_positions(anchors, source.joint_names, source.positions[start:end])
            arrays = {"seen": resample(seen, source.frame_rate)}
            count = len(arrays["seen"])
        else:
            arrays = from_smpl(source, start, end)
            count = len(arrays["pelvis"])
        name = source.name if not pieces else f"{source.name}+{start}"
        file = _file_name(name)
        save_arrays(folder / file, arrays)
        pieces.append(
            Piece(
                name=name,
                clip=source.name,
                skeleton=source.skeleton,
                subject=source.subject,
                label=source.label,
                trial=trial_key(source.name, source.subject, source.trial),
                frame_rate=source.frame_rate,
                first_second=start / source.frame_rate,
                file=file,
                frames=count,
                joints=tuple(name for anchor in anchors for name in anchor.sources),
            )
        )
    return pieces, broken


def _file_name(name: str) -> str:
    """A file name that no other piece has, whatever its own name is made of."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[-_LONGEST_NAME:]
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.npz"
