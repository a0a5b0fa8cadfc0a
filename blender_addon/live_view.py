# SPDX-License-Identifier: GPL-3.0-or-later
"""The small picture of a job at work, as an icon for the panel.

The backend writes it again and again under one name, as a PPM: Blender's own way of loading pictures would
put each one among the user's images or into the system's folder of thumbnails, while these bytes are read
with NumPy. The icon is freed with the job.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from .jobs import Job

MOST_BYTES = 4 << 20
"""A file that is larger is none of ours."""

_collection: bpy.utils.previews.ImagePreviewCollection | None = None
_shown: tuple[str, int] = ("", 0)
"""Id of the job whose picture is shown, and which of its pictures."""

_NAME = "job"


def icon_of(job: Job) -> int:
    """The icon with the last picture of a job; 0 while there is none.

    Called while the panel is drawn: a picture that cannot be read, because the next one is being written or
    the job has just ended, leaves the last one in place.
    """
    global _collection, _shown
    path, number = job.preview
    if not number:
        return 0
    if _shown != (job.id, number):
        pixels = read_picture(Path(path))
        if pixels is not None:
            if _collection is None:
                _collection = bpy.utils.previews.new()
            icon = _collection.get(_NAME) or _collection.new(_NAME)
            _put(icon, pixels)
            _shown = (job.id, number)
    return _collection[_NAME].icon_id if _collection is not None and _shown[0] == job.id else 0


def read_picture(path: Path) -> np.ndarray | None:
    """Read a PPM.

    Args:
        path: the file.

    Returns:
        (height, width, 3) uint8 RGB, the top row first; None if it is not there, or not what it should be.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        head, _, pixels = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    words = head.split()
    if len(words) != 4 or words[0] != b"P6" or words[3] != b"255":
        return None
    try:
        width, height = int(words[1]), int(words[2])
    except ValueError:
        return None
    if width < 1 or height < 1 or len(pixels) != width * height * 3:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def free() -> None:
    """Free the picture."""
    global _collection, _shown
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
    _collection, _shown = None, ("", 0)


def loaded() -> bool:
    """Whether a picture is in memory."""
    return _collection is not None


def _put(icon: bpy.types.ImagePreview, picture: np.ndarray) -> None:
    """Put a picture into an icon, whose rows go from the bottom to the top."""
    height, width = picture.shape[:2]
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = picture[::-1]
    icon.image_size = (width, height)
    icon.image_pixels.foreach_set(pixels.view(np.int32).ravel())


def register() -> None:
    """Nothing to do before the first picture is shown."""


def unregister() -> None:
    """Free the picture."""
    free()
