# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the people that were found, as icons for the panel.

The files are the backend's. One that is written anew, for another search in the same folder, is another
icon, so that nobody is shown under somebody else's number.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import bpy.utils.previews

_MOST = 200
"""Pictures that are kept; after so many all are let go, and those still shown are read again."""

_pictures: bpy.utils.previews.ImagePreviewCollection | None = None


def icon_of(thumbnail: str) -> int:
    """The icon of a picture; 0 when there is none.

    Args:
        thumbnail: path of the PNG, absolute; may be empty or gone.
    """
    global _pictures
    if not thumbnail:
        return 0
    try:
        written = Path(thumbnail).stat()
    except OSError:
        return 0
    if _pictures is None:
        _pictures = bpy.utils.previews.new()
    name = f"{thumbnail}|{written.st_mtime_ns}|{written.st_size}"
    if name not in _pictures:
        if len(_pictures) >= _MOST:
            _pictures.clear()
        _pictures.load(name, thumbnail, "IMAGE")
    return _pictures[name].icon_id


def loaded() -> int:
    """How many pictures are in memory."""
    return 0 if _pictures is None else len(_pictures)


def register() -> None:
    """Nothing to do before the first picture is shown."""


def unregister() -> None:
    """Free the pictures."""
    global _pictures
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
        _pictures = None
