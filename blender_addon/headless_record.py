# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run without a window has done: a report for machines, and the record by which it goes on later.

The record lies beside the .blend, as ``<name>.blend.json``. It holds for each clip what its part of the
.blend was made from, so that the same command does not do it again. Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1

Status = Literal["done", "already there", "failed", "cancelled", "not started"]

_SEVERITY = (0, 4, 3, 2, 5, 1, 130)
"""Exit codes from the best to the worst, as the backend's own command orders them."""


@dataclass
class Person:
    """A person that was imported.

    Attributes:
        name: of the armature.
        file: the motion file, absolute.
        first_frame, last_frame: keyed frames of the scene.
    """

    name: str
    file: str
    first_frame: int
    last_frame: int


@dataclass
class Outcome:
    """What came of one clip.

    Attributes:
        footage: absolute path; empty when motion files were imported without their footage.
        status: see :data:`Status`.
        exit_code: what a run for this clip alone would end with.
        message: what happened, or what was wrong and what to do.
        notes: what there is to know about a result that came.
        people: who is in the scene.
        blend: the saved scene, absolute; empty when there is none.
        seconds: what it took.
    """

    footage: str
    status: Status = "not started"
    exit_code: int = 0
    message: str = ""
    notes: list[str] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    blend: str = ""
    seconds: float = 0.0


def worst(codes: Sequence[int]) -> int:
    """The exit code that stands for several: the one that asks most for attention."""
    return max(codes, key=_SEVERITY.index, default=0)


class Report:
    """The report of one run; :meth:`write` may be called as often as there is news.

    Args:
        path: where to write it; None for nowhere.
        about: what stands at its top: the command, versions, what was asked for.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._path = path
        self._about = dict(about)
        self.clips: list[Outcome] = []
        self.problem = ""
        """What ended the run as a whole, as no backend that could be found."""

    def write(self, exit_code: int | None = None, seconds: float = 0.0) -> None:
        """Write what is known.

        Args:
            exit_code: None while the run goes on.
            seconds: since it began.

        Raises:
            OSError: the file cannot be written.
        """
        if self._path is None:
            return
        value = {
            "schema": SCHEMA,
            **self._about,
            "exit_code": exit_code,
            "message": self.problem,
            "seconds": round(seconds, 2),
            "clips": [asdict(outcome) for outcome in self.clips],
        }
        write_whole(self._path, value)


class Record:
    """The record beside one .blend.

    Args:
        blend: the .blend; neither it nor the record need be there.
    """

    def __init__(self, blend: Path) -> None:
        self.blend = blend
        self.path = blend.with_name(f"{blend.name}.json")
        self._clips: dict[str, dict[str, Any]] = _read(self.path) if blend.is_file() else {}

    @property
    def exists(self) -> bool:
        """Whether the .blend is there and was made by this command."""
        return bool(self._clips)

    def find(self, footage: str, made_from: str) -> Outcome | None:
        """What is there of a clip already; None when it is not, or was made from something else.

        Args:
            footage: absolute path.
            made_from: :func:`digest` of what it would be made from now.
        """
        known = self._clips.get(footage, {})
        if known.get("made_from") != made_from:
            return None
        try:
            people = [Person(**person) for person in known["people"]]
            notes = [str(note) for note in known["notes"]]
        except (KeyError, TypeError):  # written by another version
            return None
        if not all(Path(person.file).is_file() for person in people):
            return None
        return Outcome(
            footage, "already there", 0, "Already there.", notes, people, str(self.blend.absolute())
        )

    def add(self, outcome: Outcome, made_from: str, *, alone: bool) -> None:
        """Note a clip that is in the .blend now.

        Args:
            outcome: what came of it.
            made_from: :func:`digest` of what it was made from.
            alone: nothing else is in the .blend any more.

        Raises:
            OSError: the record cannot be written.
        """
        entry = {"made_from": made_from, **asdict(outcome)}
        self._clips = {**({} if alone else self._clips), outcome.footage: entry}
        write_whole(self.path, {"schema": SCHEMA, "clips": self._clips})


def digest(made_from: object) -> str:
    """SHA-256 of a value that JSON can hold, the same for any order of keys."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def write_whole(path: Path, value: object) -> None:
    """Write JSON beside its place and then move it there, so that nobody reads half of it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The clips of a record; none when there is no record that can be used."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return {}
    clips = value.get("clips")
    return (
        {key: one for key, one in clips.items() if isinstance(one, dict)} if isinstance(clips, dict) else {}
    )
