# SPDX-License-Identifier: Apache-2.0
"""A folder of captured motion: a manifest, and archives or folders of clips in several formats.

``manifest.csv`` lists the clips, one a line: path, format ("amc", "bvh", "expmap", "deepmimic"), fps,
cmu_trial ("131_03"), label. The path's first part is the source; it is a folder beside the manifest, or an
archive ``<source>.tar.xz`` there. A folder without a manifest is searched for AMASS files (``.npz``), and its
own folders are the sources.
"""

from __future__ import annotations

import csv
import logging
import lzma
import math
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from fasthmr.errors import BadInput
from fasthmr.training.mocap.amass import read_amass
from fasthmr.training.mocap.asf_amc import read_amc, read_asf
from fasthmr.training.mocap.bvh import ACRNN, CC_BASE, read_bvh
from fasthmr.training.mocap.deepmimic import read_character, read_deepmimic
from fasthmr.training.mocap.expmap import read_expmap
from fasthmr.training.mocap.source_motion import SourceMotion

_log = logging.getLogger(__name__)

# The salsa files say 120 frames a second, and were captured at 60: people would dance twice as fast.
_TRUE_RATES: Final = {"cmu_acrnn/salsa/": 60.0}
_SKELETON_FILES: Final = (".asf",)
_CHARACTER: Final = "humanoid3d.txt"

Failure = Callable[[str, object], None]
"""Told the name of a clip that could not be read, and why."""


@dataclass(frozen=True)
class ListedClip:
    """A line of the manifest."""

    path: str
    format: str
    frame_rate: float
    subject: int | None
    trial: int | None
    label: str

    @property
    def source(self) -> str:
        """The folder or archive that it lies in."""
        return self.path.split("/")[0]


def read_manifest(folder: Path) -> list[ListedClip]:
    """The clips that a folder's manifest lists.

    Raises:
        BadInput: there is no manifest, it lacks a column, or a line makes no sense.
    """
    path = folder / "manifest.csv"
    line = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            clips, rows = [], csv.DictReader(file)
            for row in rows:
                line = rows.line_num
                clips.append(_listed(row))
            return clips
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}).") from error
    except KeyError as error:
        raise BadInput(f"{path} is no list of clips: it has no column {error}.") from error
    except (ValueError, AttributeError, csv.Error) as error:
        raise BadInput(f"{path} is no list of clips: line {line} makes no sense ({error}).") from error


def read_sources(
    folder: Path, only: Iterable[str] | None = None, failed: Failure | None = None
) -> Iterator[SourceMotion]:
    """Every clip of a folder, one after the other.

    Args:
        folder: with a manifest and archives, or with AMASS files.
        only: sources to read; all of them if left out.
        failed: told of clips that cannot be read; they are passed over.

    Raises:
        BadInput: the folder holds nothing that can be read, or a source is not in it.
    """
    failed = failed or (lambda name, reason: _log.warning("%s cannot be read: %s", name, reason))
    wanted = set(only or ())
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}. Name the one with manifest.csv or with AMASS files.")
    if not (folder / "manifest.csv").is_file():
        yield from _amass_files(folder, wanted, failed)
        return
    clips = read_manifest(folder)
    _check_wanted(folder, wanted, {clip.source for clip in clips})
    for source in dict.fromkeys(clip.source for clip in clips):
        if wanted and source not in wanted:
            continue
        own = [clip for clip in clips if clip.source == source]
        try:
            texts = _texts(folder, source, {clip.path for clip in own})
        except BadInput as error:
            failed(source, error)
            continue
        for clip in own:
            try:
                yield _read(clip, texts)
            except BadInput as error:
                failed(clip.path, error)


def _check_wanted(folder: Path, wanted: set[str], there: set[str]) -> None:
    if unknown := wanted - there:
        raise BadInput(
            f"{folder} has no {', '.join(sorted(unknown))}. It has: {', '.join(sorted(there)) or 'nothing'}."
        )


def _listed(row: Mapping[str, str]) -> ListedClip:
    parts = PurePosixPath(row["path"]).parts
    if len(parts) < 2 or ".." in parts or parts[0] == "/":
        raise ValueError(f"the path '{row['path']}' is not one of <source>/...")
    if not 0 < float(row["fps"]) < math.inf:
        raise ValueError(f"{row['fps']} frames a second")
    trial = re.fullmatch(r"0*(\d+)_0*(\d+)", row["cmu_trial"].strip())
    rate = next((rate for start, rate in _TRUE_RATES.items() if row["path"].startswith(start)), None)
    return ListedClip(
        path=row["path"],
        format=row["format"],
        frame_rate=rate or float(row["fps"]),
        subject=int(trial[1]) if trial else None,
        trial=int(trial[2]) if trial else None,
        label=row["label"].strip(),
    )


def _read(clip: ListedClip, texts: Mapping[str, str]) -> SourceMotion:
    if clip.path not in texts:
        raise BadInput(f"{clip.path} is listed in the manifest and is not there.")
    name = str(PurePosixPath(clip.path).with_suffix(""))
    text = texts[clip.path]
    about = {"subject": clip.subject, "trial": clip.trial, "label": clip.label}
    if clip.format == "amc":
        path = _skeleton_of(clip, texts)
        return read_amc(text, read_asf(texts[path], path), name, clip.frame_rate, **about)
    if clip.format == "bvh":
        kind = CC_BASE if "CC_Base_Hip" in text[:200] else ACRNN
        return read_bvh(text, kind, name, clip.frame_rate, **about)
    if clip.format == "expmap":
        return read_expmap(text, name, clip.frame_rate, **about)
    if clip.format == "deepmimic":
        character = next((one for path, one in texts.items() if path.endswith(_CHARACTER)), None)
        if character is None:
            raise BadInput(f"{clip.source} has no {_CHARACTER}: the skeleton of its clips.")
        return read_deepmimic(text, read_character(character, _CHARACTER), name, **about)
    raise BadInput(f"{clip.path} is of the format '{clip.format}', which is not known.")


def _skeleton_of(clip: ListedClip, texts: Mapping[str, str]) -> str:
    """The ASF file of an AMC file: the subject's own, the folder's, or the only one there is.

    CMU's subjects differ by some centimetres. A motion on another's skeleton is a motion of that body; only
    its height over the floor is wrong, which is found anew later.
    """
    skeletons = sorted(path for path in texts if path.endswith(_SKELETON_FILES))
    here = PurePosixPath(clip.path).parent
    own = [
        path
        for path in skeletons
        if clip.subject is not None and re.fullmatch(rf"0*{clip.subject}", PurePosixPath(path).stem)
    ]
    of_folder = [path for path in skeletons if PurePosixPath(path).stem == here.name]
    beside = [path for path in skeletons if PurePosixPath(path).parent == here]
    if certain := own or of_folder:
        return certain[0]
    for only in (beside, skeletons):
        if len(only) == 1:
            return only[0]
    if not skeletons:
        raise BadInput(f"{clip.path} has no ASF skeleton beside it: there is none in {clip.source}.")
    raise BadInput(
        f"{clip.path} may be of several ASF skeletons: {', '.join(skeletons)}. "
        f"Name its own after its folder ({here.name}.asf) or its subject."
    )


def _texts(folder: Path, source: str, paths: set[str]) -> dict[str, str]:
    """The clips of a source and the skeletons beside them, by path."""

    def wanted(path: str) -> bool:
        return path in paths or path.endswith((*_SKELETON_FILES, _CHARACTER))

    texts: dict[str, str] = {}
    unpacked = folder / source
    if unpacked.is_dir():
        for path in sorted(unpacked.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if wanted(name) and path.is_file():
                try:
                    texts[name] = path.read_text(encoding="utf-8", errors="replace")
                except OSError as error:
                    _log.warning("%s cannot be read: %s", path, error.strerror or error)
        return texts
    archive = folder / f"{source}.tar.xz"
    if not archive.is_file():
        raise BadInput(f"{folder} has neither a folder {source} nor an archive {archive.name}.")
    try:
        with tarfile.open(archive, "r|xz") as packed:
            for member in packed:
                name = PurePosixPath(member.name).as_posix()
                if member.isfile() and wanted(name) and (file := packed.extractfile(member)) is not None:
                    texts[name] = file.read().decode("utf-8", errors="replace")
    except (OSError, tarfile.TarError, EOFError, lzma.LZMAError) as error:
        raise BadInput(f"{archive} cannot be read ({error}). Get it again.") from error
    return texts


def _amass_files(folder: Path, wanted: set[str], failed: Failure) -> Iterator[SourceMotion]:
    paths = sorted(folder.rglob("*.npz"))
    if not paths:
        raise BadInput(f"{folder} holds no manifest.csv and no AMASS files (.npz).")
    names = {path: path.relative_to(folder).with_suffix("") for path in paths}
    _check_wanted(folder, wanted, {name.parts[0] for name in names.values()})
    for path, name in names.items():
        if wanted and name.parts[0] not in wanted:
            continue
        try:
            yield read_amass(path, name.as_posix())
        except BadInput as error:
            failed(name.as_posix(), error)
