# SPDX-License-Identifier: Apache-2.0
"""What takes long to load, loaded once: the worker keeps it from one job to the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fasthmr.jobs import sha256_of_file

if TYPE_CHECKING:
    from fasthmr.body import BodyModel
    from fasthmr.people import PersonDetector


class Models:
    """Loads models when they are first asked for and keeps them; used by one thread at a time."""

    def __init__(self) -> None:
        self._detector: PersonDetector | None = None
        self._bodies: dict[tuple[str, float], BodyModel] = {}

    def detector(self) -> PersonDetector:
        """The person detector out of the box.

        Raises:
            MissingModel: its files were not prepared (``python build.py setup`` does it).
        """
        if self._detector is None:
            from fasthmr.people import BlazePoseDetector

            self._detector = BlazePoseDetector()
        return self._detector

    def detector_digest(self) -> str:
        """Digest of the detector's files, without loading them.

        Raises:
            MissingModel: they were not prepared.
        """
        from fasthmr.people.bundle import find_bundle

        return sha256_of_file(find_bundle())

    def body(self, name: str) -> BodyModel:
        """A body model: "open", or the path of a user's own.

        Raises:
            MissingModel: there is no such file.
            BadInput: the file is damaged or no body model.
        """
        from fasthmr.body import load_body

        path = Path(name)
        changed = path.stat().st_mtime if path.is_file() else 0.0  # a file that changed is read again
        if (name, changed) not in self._bodies:
            self._bodies[name, changed] = load_body(name)
        return self._bodies[name, changed]

    def close(self) -> None:
        """Free what was loaded; it is loaded again when asked for."""
        if self._detector is not None:
            self._detector.close()
        self._detector = None
        self._bodies.clear()
