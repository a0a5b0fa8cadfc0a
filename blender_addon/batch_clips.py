# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clips a folder holds, in which order, and whether one of them is still what it was.

Needs the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"),
    *(".ogv", ".ts", ".webm", ".wmv"),
)
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What the backend reads as an image sequence."""

_RESULTS = (".job", ".preview.mp4")
"""Endings of what a job leaves beside its motion files: no footage."""


def clips_in(folder: Path, *, without: Path | None = None) -> list[Path]:
    """The clips of a folder: each video in it, and each of its folders that holds images.

    Sorted by name, small and capital letters alike, numbers in names as numbers: ``take2`` comes before
    ``take10``. Not looked at: deeper folders, what starts with a dot, and what a job has left there.

    Args:
        folder: the folder.
        without: a folder in it that is no clip: where the results go.

    Raises:
        OSError: the folder cannot be read.
    """
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and not path.name.lower().endswith(_RESULTS)
        and (without is None or path.absolute() != without.absolute())
        and (_holds_images(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES)
    ]
    return sorted(found, key=lambda path: _by_number(path.name))


def twice(names: Sequence[str]) -> str:
    """The first name that is there twice, for file systems that take capitals for small letters; or empty."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return ""


def fingerprint(path: Path) -> list[object]:
    """What tells whether a file, a folder or the files of a pattern (``shot_####.png``) are as they were.

    As in tools that build programs: place, size and time of change of each file. No content is read.
    """
    path = path.absolute()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    elif path.is_file() or not path.parent.is_dir():
        files = [path] if path.is_file() else []
    else:
        files = sorted(file for file in path.parent.iterdir() if file.suffix == path.suffix)
    stats = [(file.name, file.stat()) for file in files]
    return [str(path), [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]]


def _holds_images(folder: Path) -> bool:
    return any(
        file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()
        for file in folder.iterdir()
    )


def _by_number(name: str) -> list[str | int]:
    """Sort key: text and numbers in turn, beginning with text, so that like is compared with like."""
    parts = re.split(r"(\d+)", name.casefold())
    return [*(int(part) if number % 2 else part for number, part in enumerate(parts)), 0, name]
