# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences of pictures: which files a folder, a pattern or a first picture means, in their order.

The backend counts a sequence's frames by this order. It takes a folder or a pattern (``shot_####.png``); a
single picture is a clip of one frame to it, while Blender means the sequence that begins there.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import bpy

_DIGITS = re.compile(r"(\d+)")

WILDCARD = re.compile(r"%(?:0?(\d+))?d|(#+)|(\*)|(\?)")

_MEMORY = 3.0
"""Seconds until the folder is asked whether it has changed: the panel asks many times a second."""

_PATIENCE = 30.0
"""A folder that changes all the time is listed at most for a share of 1 in so much of the time."""


@dataclass
class _Listing:
    """What was found, until when it holds, and the folder's time of change then."""

    names: list[str]
    until: float
    changed: int


_listings: dict[Path, _Listing] = {}


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name."""
    return path.suffix.lower() in bpy.path.extensions_image


def as_regex(name: str) -> str:
    """A pattern (``%04d``, ``####``, ``*``, ``?``) as a regular expression."""
    parts, position = [], 0
    for token in WILDCARD.finditer(name):
        width, hashes, star, single = token.groups()
        digits = rf"\d{{{width or len(hashes or '#')},}}"
        parts += [re.escape(name[position : token.start()]), ".*" if star else "." if single else digits]
        position = token.end()
    return "".join(parts) + re.escape(name[position:])


def by_number(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which digits count as numbers: 2.png before 10.png."""
    parts = _DIGITS.split(name)
    return [(1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts if part]


def pattern_of(picture: Path) -> Path:
    """The pattern of the sequence that a picture belongs to: its last number may be any of as many digits.

    A picture without a number in its name is itself.
    """
    found = re.fullmatch(r"(.*?)(\d+)(\D*)", picture.stem, flags=re.DOTALL)
    if found is None or WILDCARD.search(picture.name):
        return picture
    head, digits, tail = found.groups()
    return picture.with_name(f"{head}{'#' * len(digits)}{tail}{picture.suffix}")


def pictures_of(sequence: Path) -> list[str]:
    """Names of a sequence's pictures, in their order; looks at most every few seconds.

    Args:
        sequence: a folder, a pattern or a picture.

    Returns:
        Nothing when the folder is not there or no picture fits.
    """
    now, known = time.monotonic(), _listings.get(sequence)
    if known is not None and now < known.until:
        return known.names
    folder = sequence if sequence.is_dir() else sequence.parent
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        changed = 0
    if known is not None and changed == known.changed != 0:
        known.until = now + _MEMORY
        return known.names
    names = _list(sequence)
    if len(_listings) > 20:  # files of long ago
        _listings.clear()
    took = time.monotonic() - now
    _listings[sequence] = _Listing(names, now + max(_MEMORY, _PATIENCE * took), changed)
    return names


def forget() -> None:
    """Look anew the next time."""
    _listings.clear()


def _list(sequence: Path) -> list[str]:
    folder, pattern = sequence, ".*"
    if not sequence.is_dir():
        folder, pattern = sequence.parent, as_regex(sequence.name)
    try:
        with os.scandir(folder) as entries:  # tells files from folders without asking for each
            names = [entry.name for entry in entries if entry.is_file() and entry.name[0] != "."]
    except OSError:
        return []
    fits, endings = re.compile(pattern).fullmatch, tuple(bpy.path.extensions_image)
    fitting = [name for name in names if name.lower().endswith(endings) and fits(name)]
    return sorted(fitting, key=by_number)
