# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a motion comes from, kept with the data in the .blend file as custom properties."""

from __future__ import annotations

import json
from typing import Final

import bpy

from .body_file import Body
from .motion_file import MotionFile

KEY: Final = "recovered_from"
"""Custom property of the armature, the action and the collection."""


def provenance(motion: MotionFile, body: Body) -> dict[str, str]:
    """Version, model, settings, footage and licences as text, ready for a custom property.

    Values that are not text already are written as JSON: custom properties cannot hold mixed lists or
    empty values.
    """
    known = {
        **motion.meta,
        "motion_file": motion.path.name,
        "body": motion.meta.get("body", body.name),
        "body_shown": body.name,
        "body_licence": body.licence,
    }
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for name, value in known.items()
        if value not in (None, "")
    }


def stamp(block: bpy.types.ID, origin: dict[str, str]) -> None:
    """Write the provenance on a data-block."""
    block[KEY] = origin
