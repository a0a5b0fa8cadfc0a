# SPDX-License-Identifier: GPL-3.0-or-later
"""Files beside their place first, and all of them in it at once: nobody ever finds half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAILED = ".failed-check"
"""Ending of the folder in which files are kept that did not read back as they should."""


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A folder on the same disk, to write a file and what belongs to it; it is gone after the block.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_failed(folder: Path, path: Path) -> Path:
    """Keep what was written, in a folder that says that it failed; what was kept so before is removed.

    Args:
        folder: where it was written.
        path: where it was to go.
    """
    kept = path.with_name(path.name + FAILED)
    shutil.rmtree(kept, ignore_errors=True)
    folder.rename(kept)
    return kept


def move_into_place(folder: Path, path: Path) -> tuple[Path, ...]:
    """Move what was written to its place: the file last, and all of it or nothing.

    Args:
        folder: where the file and what belongs to it were written.
        path: where the file goes; the others keep their places beside it.

    Returns:
        What belongs to it.

    Raises:
        OSError: a file cannot be moved; those that were there before are back.
    """
    written = sorted(one.relative_to(folder) for one in folder.rglob("*") if one.is_file())
    written.sort(key=lambda one: one == Path(path.name))  # False first
    done: list[tuple[Path, Path | None]] = []
    try:
        for one in written:
            goal = path.parent / one
            goal.parent.mkdir(parents=True, exist_ok=True)
            earlier = None
            if goal.exists():
                earlier = goal.with_name(f".{goal.name}.{os.getpid()}.earlier")
                goal.replace(earlier)
            done.append((goal, earlier))
            (folder / one).replace(goal)
    except OSError:
        for goal, earlier in reversed(done):
            if earlier is not None:
                earlier.replace(goal)
            else:
                goal.unlink(missing_ok=True)
        raise
    for _, earlier in done:
        if earlier is not None:
            earlier.unlink(missing_ok=True)
    return tuple(path.parent / one for one in written if one != Path(path.name))
