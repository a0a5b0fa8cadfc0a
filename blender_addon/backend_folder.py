# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that the backend is installed in: whose it is, what is noted in it, and how it is taken away.

A stamp in the folder says that it is ours. It is written before anything else; a folder that has none and is
not empty is refused, and removing takes away what was made here and nothing else, nor anything that a link
leads to. Needs the standard library of Python 3.11 alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

STAMP = "recover_motion_backend.json"
ENVIRONMENT = ".venv"  # where `backend_location` looks for the command
LOG = "install.log"
LOCK = "install.lock"
WANTED = "install.txt"
"""What pip is given to read."""

_MADE_BY = "recover_motion"
_WINDOWS = os.name == "nt"

Tell = Callable[..., None]
"""Takes the fields of an event."""


class Failed(Exception):  # noqa: N818 (as the backend's errors: the name says what happened)
    """A step cannot be done; the message is for the user.

    Args:
        message: what was wrong and what to do.
        lines: the last lines that pip said, oldest first.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = list(lines)


def environment_python(folder: Path) -> Path:
    """The Python of the installation in a folder."""
    return folder / ENVIRONMENT / ("Scripts/python.exe" if _WINDOWS else "bin/python")


def environment_command(folder: Path) -> Path:
    """The backend's command of the installation in a folder."""
    return folder / ENVIRONMENT / ("Scripts/fasthmr.exe" if _WINDOWS else "bin/fasthmr")


def read_stamp(folder: Path) -> dict[str, Any] | None:
    """What is noted in a folder of ours; None when it is not ours, or not there."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and stamp.get("made_by") == _MADE_BY else None


def write_stamp(folder: Path, stamp: dict[str, Any]) -> None:
    """Write the stamp, whole or not at all."""
    part = folder / (STAMP + ".part")
    part.write_text(json.dumps(stamp, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(folder / STAMP)


def claim(folder: Path) -> dict[str, Any]:
    """Make a folder ours, or find that it is.

    Returns:
        Its stamp.

    Raises:
        Failed: there is something else in it, or it cannot be written.
    """
    stamp = read_stamp(folder)
    if stamp is not None:
        return stamp
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.name != STAMP + ".part" for path in folder.iterdir()):
            raise Failed(
                f"The folder {folder} is not empty and was not made by this add-on. Nothing in it was"
                " changed. Choose an empty or a new folder."
            )
        stamp = {"made_by": _MADE_BY, "folder": str(folder), "steps": {}}
        write_stamp(folder, stamp)
    except OSError as error:
        raise Failed(
            f"The folder {folder} cannot be written: {error.strerror or error}. Choose another one."
        ) from error
    return stamp


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone; the system lets go of it however the process ends.

    Raises:
        Failed: another process holds it.
    """
    with (folder / LOCK).open("a+b") as file:
        try:
            if _WINDOWS:
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failed(
                f"Another Blender is at work in {folder}. Wait until it is done, then try again."
            ) from error
        yield


def is_link(path: Path) -> bool:
    """Whether a path leads elsewhere: a symbolic link, or a junction of Windows."""
    if path.is_symlink():
        return True
    tag = getattr(path.lstat(), "st_reparse_tag", 0) if path.exists() else 0
    return bool(tag) and tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)


def take_away(path: Path) -> None:
    """Delete a file, a link itself, or a folder with all in it, links in it as such."""
    if is_link(path):
        path.rmdir() if _WINDOWS and path.is_dir() else path.unlink()
    elif path.is_dir():
        shutil.rmtree(path, onerror=_force)
    else:
        path.unlink(missing_ok=True)


def _force(function: Callable[[str], object], path: str, reason: object) -> None:
    """What `rmtree` could not delete because it is read-only, which on Windows is a reason."""
    if not Path(path).exists():
        return
    Path(path).chmod(stat.S_IWRITE | stat.S_IREAD)
    function(path)


def remove(folder: Path, tell: Tell) -> str:
    """Take away what was installed.

    Returns:
        What was done, for the user.

    Raises:
        Failed: the folder is not ours, or something in it cannot be deleted.
    """
    stamp = read_stamp(folder)
    if stamp is None:
        raise Failed(f"The folder {folder} was not made by this add-on. Nothing in it was changed.")
    with locked(folder):
        write_stamp(folder, stamp | {"steps": {}})  # whatever happens now, this is no whole installation
        tell(step="remove", detail=str(folder))
        try:
            take_away(folder / ENVIRONMENT)
        except OSError as error:
            raise Failed(
                f"{error.filename or folder} cannot be deleted: {error.strerror}. Close what uses it, another"
                " Blender perhaps, and remove it again."
            ) from error
    for name in (LOG, WANTED, LOCK, STAMP + ".part", STAMP):
        (folder / name).unlink(missing_ok=True)
    if any(folder.iterdir()):
        return f"Removed. Other files in {folder} were left alone."
    with contextlib.suppress(OSError):  # a link to a folder cannot be removed as one, and need not be
        folder.rmdir()
    return "Removed."
