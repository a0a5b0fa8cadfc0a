# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a motion comes from, kept with the data in the .blend file as custom properties."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bpy

from .body_file import Body
from .motion_file import MotionFile, clip_and_person

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
        "person": motion.person,
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


def identity(origin: Mapping[str, str]) -> tuple[str, str]:
    """Who a motion is of: the footage and the person in it.

    Args:
        origin: a `provenance`, or what `stamp` wrote.

    Returns:
        The footage's SHA-256, or the motion file's name when it does not say, and "person01" and so on.
    """
    try:
        footage = json.loads(origin.get("footage", "{}")).get("sha256")
    except (ValueError, AttributeError):  # somebody's own file, with a mere name for the footage
        footage = None
    file = str(origin.get("motion_file", ""))
    return str(footage or file), str(origin.get("person") or clip_and_person(Path(file))[1])
