# SPDX-License-Identifier: Apache-2.0
"""A name for footage that depends on its content alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fasthmr.footage.faults import check_readable
from fasthmr.footage.images import find_images, is_sequence


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a video file, or of all pictures of a sequence, in hexadecimal.

    For a folder or a pattern it is taken over the pictures' names and contents, sorted by name: the
    same pictures in another folder have the same fingerprint, a picture more or less changes it.

    Raises:
        BadInput: nothing is there, or it may not be read.
    """
    path = Path(path)
    if not is_sequence(path):
        check_readable(path)
        return _file_digest(path).hexdigest()
    total = hashlib.sha256()
    for image in sorted(find_images(path), key=lambda image: image.name):
        check_readable(image)
        total.update(image.name.encode("utf-8", "surrogateescape") + b"\0")
        total.update(_file_digest(image).digest())
    return total.hexdigest()


def _file_digest(path: Path) -> hashlib._Hash:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")
