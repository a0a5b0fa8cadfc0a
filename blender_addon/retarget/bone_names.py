# SPDX-License-Identifier: GPL-3.0-or-later
"""What two spellings of a bone's name have in common.

Tools write the same bone as ``mixamorig:LeftUpLeg``, ``mixamorig7:LeftUpLeg``, ``LeftUpLeg`` or
``Left_Up_Leg``. A name is compared at two levels: its *spelling*, in which only case and separators do not
matter, so that families of names such as ``DEF-thigh.L`` and ``thigh.L`` stay apart; and its *canonical*
form, the words and the side, in which ``thigh.L``, ``L_Thigh`` and ``Left thigh`` are one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Side = Literal["left", "right", ""]
Prefix = Literal["any", "namespace", "none"]
"""What may stand in front of a preset's names: anything, something that ends in ":" or "|", or nothing."""

_SEPARATORS: Final = re.compile(r"[\s._\-:|]+")
_NAMESPACES: Final = re.compile(r"[:|]")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_SIDES: Final[dict[str, Side]] = {"l": "left", "left": "left", "r": "right", "right": "right"}
_SIGNS: Final[dict[str, Side]] = {"左": "left", "右": "right"}
_NUMBERED: Final = re.compile(r"_\d{1,4}$")
_REMEMBERED: Final = 1 << 14  # names; every preset asks for the same ones
_MOSTLY: Final = 0.9
"""When this share of a rig's names ends in a number, an exporter (Sketchfab's) has put it there."""


@dataclass(frozen=True)
class CanonicalName:
    """A bone's name without what tools write differently.

    Attributes:
        words: its words in lower case, numbers without leading zeros, namespaces and the side left out.
        side: of the body; empty for the middle or when the name does not say.
    """

    words: tuple[str, ...]
    side: Side = ""

    @property
    def key(self) -> tuple[Side, str]:
        """What to compare: where one word ends and the next begins is often lost with the capitals."""
        return self.side, "".join(self.words)


@lru_cache(_REMEMBERED)
def canonical(name: str) -> CanonicalName:
    """Split a bone's name into words and the side of the body."""
    without = next((part for part in reversed(_NAMESPACES.split(name)) if part.strip()), name)
    side: Side = ""
    for sign, meant in _SIGNS.items():
        if sign in without:
            side, without = meant, without.replace(sign, " ")
    words: list[str] = []
    for found in _WORDS.findall(without):
        word = found.lower()
        if not side:
            if word in _SIDES:
                side = _SIDES[word]
                continue
            glued = next((one for one in ("left", "right") if word.startswith(one)), "")
            if glued:
                side, word = _SIDES[glued], word.removeprefix(glued)
        words.append(str(int(word)) if word.isdecimal() else word)
    return CanonicalName(tuple(words), side)


@lru_cache(_REMEMBERED)
def spelling(name: str) -> str:
    """A name in which case and the kind of separator do not matter any more."""
    return _SEPARATORS.sub("_", name.strip().lower())


def _without_namespace(name: str) -> int:
    """Where a name begins behind its namespace."""
    return max(name.rfind(":"), name.rfind("|")) + 1


class RigNames:
    """The names of a rig's bones, to be looked up in a preset's words."""

    def __init__(self, names: Collection[str]) -> None:
        numbered = sum(_NUMBERED.search(name) is not None for name in names)
        cut = len(names) > 1 and numbered >= _MOSTLY * len(names)
        plain = {name: _NUMBERED.sub("", name) if cut else name for name in names}
        self._names = frozenset(names)
        self._spelled: dict[str, str] = {}
        self._canonical: dict[tuple[Side, str], list[str]] = {}
        for name in names:
            self._spelled.setdefault(spelling(plain[name]), name)
            self._canonical.setdefault(canonical(plain[name]).key, []).append(name)

    def prefix(self, wanted: Iterable[str], kind: Prefix = "any") -> str:
        """What the rig puts in front of a preset's names, as a spelling; empty for nothing.

        It is the one with which most of the names are found: a rig has one.

        Args:
            wanted: the preset's names.
            kind: what may be in front.
        """
        if kind == "none":
            return ""
        endings = {spelling(name) for name in wanted}
        counted: Counter[str] = Counter()
        lengths = {len(end) for end in endings}
        for there, name in self._spelled.items():
            if kind == "any":
                starts = {len(there) - length for length in lengths if length <= len(there)}
            else:
                starts = {len(spelling(name[: _without_namespace(name)]))}
            for start in starts:
                if there[start:] in endings:
                    counted[there[:start]] += 1
        return min(counted, key=lambda one: (-counted[one], len(one), one), default="")

    def spelled(self, name: str, prefix: str = "") -> str:
        """The bone that is spelled like a name, behind a prefix; empty when there is none, or no name."""
        if not name:
            return ""
        if not prefix and name in self._names:
            return name
        wanted = spelling(name)
        found = self._spelled.get(prefix + wanted, "")
        if not found and prefix.endswith(f"{wanted}_"):  # Bip01 stands in front of all names of its rig
            found = self._spelled.get(prefix[:-1], "")
        return found

    def alike(self, name: str) -> str:
        """The only bone with the same canonical name; empty when there is none, or several."""
        found = self._canonical.get(canonical(name).key, ())
        return found[0] if len(found) == 1 else ""
