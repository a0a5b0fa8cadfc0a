# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones of a control rig go into a file for a game, and whose children they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..retarget.mapping import RigBone

_SAME_PLACE = 1e-4
"""Bones whose heads are closer than this share of the bone's length begin at the same place."""

_SAME_WAY = 0.9999
"""Cosine between bones that point the same way."""


def kept_bones(bones: Sequence[RigBone], weighted: frozenset[str] = frozenset()) -> dict[str, str]:
    """The deforming bones and the rig's root, with their parents.

    A deforming bone often hangs under a control or a mechanism. Its parent is then the nearest deforming bone
    above it, or one that lies where a bone above it lies: Rigify's `DEF-spine` for `ORG-spine`.

    Args:
        bones: of the rig, at rest; parents before their children.
        weighted: bones to keep although they deform nothing, as those that objects are parented to.

    Returns:
        Names of the kept bones and of their parents, empty for a root; in the order of `bones`.
    """
    known = {bone.name: bone for bone in bones}
    kept = [bone.name for bone in bones if bone.deforms or bone.name in weighted]
    places = _Places([known[name] for name in kept])
    parents: dict[str, str] = {}
    for name in kept:
        parents[name] = _parent(known, places, parents, name)
    root = _root(known, kept)
    if root:
        parents = {name: parent or root for name, parent in parents.items()}
    result = {root: "", **parents} if root else parents
    return {bone.name: result[bone.name] for bone in bones if bone.name in result}


class _Places:
    """Where bones lie, to find one that lies as another does.

    Args:
        bones: the bones to find.
    """

    def __init__(self, bones: Sequence[RigBone]) -> None:
        self.names = {bone.name: index for index, bone in enumerate(bones)}
        self._heads = np.array([bone.head for bone in bones], np.float64).reshape(-1, 3)
        self._ways = np.array([bone.tail for bone in bones], np.float64).reshape(-1, 3) - self._heads
        self._ways /= np.maximum(np.linalg.norm(self._ways, axis=1, keepdims=True), 1e-9)

    def like(self, bone: RigBone) -> list[str]:
        """Those that begin where a bone begins, and point the same way."""
        way = np.subtract(bone.tail, bone.head)
        length = max(float(np.linalg.norm(way)), 1e-9)
        near = np.linalg.norm(self._heads - np.array(bone.head), axis=1) < _SAME_PLACE * length
        alike = near & (self._ways @ way > _SAME_WAY * length)
        names = list(self.names)
        return [names[index] for index in np.flatnonzero(alike)]


def in_order(parents: Mapping[str, str]) -> list[str]:
    """The bones, parents before their children."""
    order: list[str] = []
    left = list(parents)
    while left:
        known = set(order)
        ready = [name for name in left if not parents[name] or parents[name] in known]
        if not ready:
            raise ValueError(f"{left[0]} hangs on nothing")
        order += ready
        left = [name for name in left if name not in set(ready)]
    return order


def _parent(known: Mapping[str, RigBone], places: _Places, parents: Mapping[str, str], name: str) -> str:
    """The kept bone that a kept bone belongs to; empty when there is none above it."""
    above = known[name].parent
    while above:
        if above in places.names and not _is_under(parents, above, name):
            return above
        for other in places.like(known[above]):
            # neither below it as the rig has it, nor as it has been hung up so far
            if not _is_below(known, other, name) and not _is_under(parents, other, name):
                return other
        above = known[above].parent
    return ""


def _root(known: Mapping[str, RigBone], kept: Sequence[str]) -> str:
    """The bone that carries the whole rig; empty when the kept bones have one among themselves.

    It is the one called root, or else the one with most of the kept bones below it: some mechanisms, as those
    of Rigify's torso, hang on nothing but constraints.
    """
    tops = [_top(known, name) for name in kept]
    if set(tops) <= set(kept):
        return ""
    named = [bone.name for bone in known.values() if not bone.parent and bone.name.lower() == "root"]
    root = named[0] if named else max(dict.fromkeys(tops), key=tops.count)
    return "" if root in kept else root


def _top(known: Mapping[str, RigBone], name: str) -> str:
    while known[name].parent:
        name = known[name].parent
    return name


def _is_below(known: Mapping[str, RigBone], name: str, other: str) -> bool:
    """Whether a bone is another one, or below it in the rig."""
    while name and name != other:
        name = known[name].parent
    return bool(name)


def _is_under(parents: Mapping[str, str], name: str, other: str) -> bool:
    """Whether a bone is another one, or below it among those whose parents are found already."""
    while name:
        if name == other:
            return True
        name = parents.get(name, "")
    return False
