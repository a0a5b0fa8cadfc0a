# SPDX-License-Identifier: Apache-2.0
"""How long work tells what it is doing, and how it is told to stop.

The flow calls :meth:`Progress.report` once a frame or a batch. The base class is silent; the
command line draws bars, the worker sends notifications and the job folder keeps a record, each in
a subclass of its own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fasthmr.errors import Cancelled

if TYPE_CHECKING:
    from fasthmr.live_preview import Sketcher


class Progress:
    """Silent progress that can be cancelled from another thread.

    Args:
        cancelled: set it to make the next :meth:`report` raise :class:`Cancelled`; a fresh
            event is made when it is left out.
    """

    def __init__(self, cancelled: threading.Event | None = None) -> None:
        self.cancelled = cancelled or threading.Event()

    def report(self, stage: str, done: int, total: int | None = None) -> None:
        """Tell how far a stage is, and stop here if the user cancelled.

        Args:
            stage: short name of the stage ("people", "encode", "fit", "place", "write").
            done: units finished; never goes back within a stage.
            total: units in all; None while unknown.

        Raises:
            Cancelled: the event was set since the last call.
        """
        if self.cancelled.is_set():
            raise Cancelled("Cancelled. Finished stages are kept: the same job goes on from there.")
        self.show(stage, done, total)

    def show(self, stage: str, done: int, total: int | None) -> None:
        """Show the progress (subclasses); called only while the job is not cancelled."""

    def offer(self, make: Sketcher, folder: Path | None = None) -> None:
        """Offer a picture of the frame at work (subclasses); most of the time nobody wants one.

        Args:
            make: gives what is to be seen; called at once or not at all.
            folder: the job's folder, which the job adds.
        """

    def log(self, message: str) -> None:
        """Say something a user may want to read later (subclasses)."""
