# SPDX-License-Identifier: Apache-2.0
"""Writing files so that none is ever half there, and reading arrays without running code.

A file is written beside its final place and renamed when it is whole. Arrays are NumPy ``.npz``
without pickles: object arrays are refused on the way in and on the way out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from fasthmr.errors import BadInput


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that appears at ``path`` only if the block ends without an error.

    Args:
        path: where the file goes; its folder is made when missing.

    Raises:
        BadInput: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _apply_default_mode(part)
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as one compressed ``.npz``, whole or not at all.

    Raises:
        BadInput: the place cannot be written to.
        ValueError: an array holds Python objects, which would need a pickle.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"array '{name}' holds Python objects; only plain numbers and text are saved")
    with written_whole(path) as stream:
        # NumPy before 2.1 has no allow_pickle here and would store it; newer stubs take an array for it.
        np.savez_compressed(stream, **dict(arrays))  # pyright: ignore[reportArgumentType]


def load_arrays(path: Path, what: str = "file") -> dict[str, np.ndarray]:
    """Read every array of an ``.npz`` file.

    Args:
        path: the file.
        what: what the file should be ("motion file"), for the messages.

    Raises:
        BadInput: missing, a folder, empty, damaged, not an ``.npz``, or in need of a pickle.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"There is no {what} at {path}. Check the path.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder, not a {what}. Name the .npz file itself.")
    try:
        if path.stat().st_size == 0:
            raise BadInput(f"The {what} {path} is empty. Make it again.")
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise BadInput(f"{path} is not a {what}: it holds a single array instead of an .npz archive.")
            return {name: archive[name] for name in archive.files}
    except BadInput:
        raise
    except PermissionError as error:
        raise BadInput(f"The {what} {path} may not be read. Change its permissions.") from error
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise BadInput(
            f"The {what} {path} cannot be read: it is damaged or of another kind ({error}). "
            "Make it again or restore it from a copy."
        ) from error


def _apply_default_mode(part: Path) -> None:
    """Give the file the mode an ordinary ``open`` would: mkstemp's is readable by its owner only."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)


def _cannot_write(path: Path, error: OSError) -> BadInput:
    if error.errno == errno.ENOSPC:
        return BadInput(f"The disk is full: {path} was not written. Free some space and run the same again.")
    reason = error.strerror or str(error)
    return BadInput(f"{path} cannot be written: {reason}. Choose another folder or change its permissions.")
