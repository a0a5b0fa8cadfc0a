# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for a moment: what is exported must be called as the user's own, which get theirs back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def called(wanted: list[tuple[bpy.types.ID, bpy.types.bpy_prop_collection, str]]) -> Iterator[None]:
    """Give data-blocks the names that others may have; the others have theirs back after the block.

    Args:
        wanted: data-blocks, the collections of `bpy.data` that they are in, and their names.
    """
    moved: list[tuple[bpy.types.ID, str]] = []
    given: list[tuple[bpy.types.ID, str]] = []
    try:
        for block, among, name in wanted:
            # a linked data-block keeps its name, which a local one may have too
            holder = next((one for one in among if one.name == name and one.library is None), None)
            if holder is not None and holder != block:
                holder.name = f"{name[:40]}.during_export"
                moved.append((holder, name))
            given.append((block, block.name))
            block.name = name
        yield
    finally:
        for block, name in reversed(given):
            block.name = name
        for holder, name in reversed(moved):
            holder.name = name
