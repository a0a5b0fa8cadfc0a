# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading .npz files that may be damaged or hostile, and the error that the user gets to read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_ZIP_START = b"PK\x03\x04"

# What numpy and zipfile raise for damaged bytes, depending on where the damage is
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class ImportProblem(Exception):  # noqa: N818 (a problem to tell the user, not a bug)
    """What stops an import, in words for the user: which file, what is wrong, what to do."""


def read_arrays(path: Path, kind: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that the file has. Pickled objects are refused, so no code can run.

    Args:
        path: the .npz file.
        kind: what the file is to be, for messages: "motion file".
        names: arrays to read; others in the file are left alone.

    Raises:
        ImportProblem: the file is missing, empty, damaged, or not an .npz.
    """
    if path.is_dir():
        raise ImportProblem(f"{path} is a folder. Choose a {kind} (.npz) in it.")
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_ZIP_START))
            if not start:
                raise ImportProblem(f"The {kind} {path} is empty. Make it again.")
            if start != _ZIP_START:
                raise ImportProblem(f"{path} is not a {kind}: it is no .npz archive.")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in names if name in stored.files}
    except FileNotFoundError as error:
        raise ImportProblem(f"The {kind} {path} is not there. Check the path.") from error
    except PermissionError as error:
        raise ImportProblem(f"The {kind} {path} may not be read. Check its permissions.") from error
    except _DAMAGE as error:
        raise ImportProblem(f"The {kind} {path} is damaged ({error}). Make it again.") from error


def single_text(array: np.ndarray) -> str:
    """The text in a 0-d array; old AMASS files store it as bytes."""
    value = array.item() if array.size == 1 else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
