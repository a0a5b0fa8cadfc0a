# SPDX-License-Identifier: GPL-3.0-or-later
"""A job for the backend, from the click to its result: what state it is in and what it tells the user.

A :class:`Job` is driven by calling :meth:`Job.advance` again and again; who calls it (a timer in a
window, a loop in the background) is not its concern, and it knows nothing of Blender.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from .backend_client import CANCELLED, Ended, Failure, Greeting, Log, Progress, Result, Worker
from .whole_job import SHARES, SHARES_OF_PEOPLE, SHARES_WITH_ENCODER, WholeJob

START_PATIENCE = 180.0
"""Seconds that a worker may take to answer its first message: it loads large libraries, from a cold disk."""

CANCEL_PATIENCE = 15.0
"""Seconds that a cancelled job may take to stop before its worker is stopped for it."""


class State(StrEnum):
    """Where a job is. The values are also what the window manager's property shows."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    IMPORTING = "importing"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    NOT_IMPORTED = "recovered, import failed"
    TO_IMPORT = "recovered, waiting to be imported"


_WITH_WORKER = (State.STARTING, State.RUNNING, State.CANCELLING)
_ACTIVE = (State.QUEUED, *_WITH_WORKER, State.IMPORTING)

_STAGES = {
    "probe": "Opening the footage, loading the networks",
    "people": "Finding people",
    "encode": "Looking at poses",
    "fit": "Fitting the body",
    "place": "Placing in the scene",
    "write": "Writing the motion",
}


class Job:
    """One request to the backend and what has become of it.

    A job starts as STARTING; one that has to wait for another is set to QUEUED by whoever keeps the queue.

    Args:
        method: the worker's method: "recover", "people" or "doctor".
        params: its parameters; the job's own name is added.
        imports: the result is to be imported; the job then ends in :meth:`imported` or
            :meth:`import_failed` and not by itself.

    Attributes:
        state: see :class:`State`.
        stage, done, total: the last progress of the present stage; `total` is None while unknown.
        whole: how far the whole job is, and how long it will still take.
        wants_preview: let the backend make small pictures of the work, if it can.
        preview: path of the last such picture, and how many there have been; ("", 0) while there is none.
        message: one or two sentences for the user about the last thing that happened.
        details: lines that help to find out why it failed, oldest first.
        result: the worker's answer, once there is one.
        exit_code: what a command line that ran this job should end with.
    """

    def __init__(self, method: str, params: Mapping[str, Any], *, imports: bool = False) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.method = method
        self.params = dict(params)
        self.imports = imports
        self.state = State.STARTING
        self.stage = ""
        self.done = 0
        self.total: int | None = None
        self.whole = WholeJob(_shares(method, params), lambda: time.monotonic())
        self.wants_preview = False
        self.preview = ("", 0)
        self.message = "Starting the backend"
        self.details: tuple[str, ...] = ()
        self.result: dict[str, Any] = {}
        self.exit_code = 0
        self._worker: Worker | None = None
        self._request: int | None = None
        self._cancel_request: int | None = None
        self._deadline = float("inf")

    @property
    def active(self) -> bool:
        """Whether the job still has something to do."""
        return self.state in _ACTIVE

    @property
    def with_worker(self) -> bool:
        """Whether the job has a worker that may still have something to say."""
        return self.state in _WITH_WORKER

    @property
    def can_cancel(self) -> bool:
        """Whether :meth:`cancel` would do anything."""
        return self.state in (State.QUEUED, State.STARTING, State.RUNNING, State.IMPORTING)

    @property
    def fraction(self) -> float:
        """How much of the whole job is done, 0 to 1."""
        return self.whole.fraction

    def stage_text(self) -> str:
        """What is being done, and how many of how many frames (or people) are."""
        if self.state is not State.RUNNING or not self.stage:
            return self.message
        text = _STAGES.get(self.stage, self.stage.replace("_", " ").capitalize())
        if self.total is not None and self.total > 1:
            text += f", {min(self.done, self.total)} of {self.total}"
        elif self.total is None and self.done:
            text += f", {self.done}"
        return text

    def time_text(self) -> str:
        """How long the whole job will still take; empty while that is not known."""
        left = self.whole.seconds_left if self.state is State.RUNNING else None
        return "" if left is None else f"{_duration(left)} left"

    def progress_text(self) -> str:
        """One short line with the stage and the time that is left."""
        return ", ".join(filter(None, (self.stage_text(), self.time_text())))

    def begin(self, worker: Worker) -> None:
        """Give the job to a worker, which may still be starting."""
        self.state = State.STARTING
        self.message = "Starting the backend"
        self._worker = worker
        self._deadline = time.monotonic() + START_PATIENCE
        if worker.greeting is not None:
            self._send(worker)

    def advance(self, patience: float = 0.0) -> None:
        """Take what the worker has said since the last call.

        Args:
            patience: seconds to wait for it to say something.
        """
        if self._worker is None or not self.with_worker:
            return
        for message in self._worker.receive(patience):
            if not self.active:  # what follows the job's end, the answer to a cancel, say, is of no interest
                break
            self._take(message)
        if self.active and time.monotonic() > self._deadline:
            self._run_out_of_patience()

    def cancel(self) -> None:
        """Ask the worker to stop the job; :meth:`advance` finds out when it has."""
        if not self.can_cancel:
            return
        if self.state is State.IMPORTING:  # it waits for the user to come back to Object Mode, say
            self._finish(State.CANCELLED, "Recovered, but not imported.", 130)
            return
        if self._request is None or self._worker is None:  # not sent yet, so there is nothing to stop
            self._finish(State.CANCELLED, "Cancelled.", 130)
            return
        self.state = State.CANCELLING
        self.message = "Cancelling"
        self._deadline = time.monotonic() + CANCEL_PATIENCE
        self._cancel_request = self._worker.request("cancel", {"job": self.id})

    def imported(self, message: str, notes: tuple[str, ...] = ()) -> None:
        """The result is in the scene; the notes are what the user should know about it."""
        self.details = notes
        self._finish(State.DONE, message, 0)

    def wait_to_be_imported(self) -> None:
        """The motion is recovered and on disk, and the user will say when to import it."""
        self._finish(State.TO_IMPORT, "Recovered. Click Import Result to bring it into the scene.", 0)

    def import_failed(self, message: str, exit_code: int = 3) -> None:
        """The motion is recovered and on disk, but could not be brought into the scene."""
        self._finish(State.NOT_IMPORTED, message, exit_code)

    def fail(self, message: str, exit_code: int = 1, details: tuple[str, ...] = ()) -> None:
        """End the job with a reason."""
        self.details = details
        self._finish(State.FAILED, message, exit_code)

    def _send(self, worker: Worker) -> None:
        self.state = State.RUNNING
        self.message = "Getting ready"
        self._deadline = float("inf")
        extra: dict[str, Any] = {"job": self.id} if self._named else {}
        if self._named and self.wants_preview and worker.greeting and "preview" in worker.greeting.features:
            extra["preview"] = True
        self._request = worker.request(self.method, self.params | extra)

    @property
    def _named(self) -> bool:
        """Whether the protocol lets the client name this job."""
        return self.method in ("recover", "people")

    def _take(self, message: object) -> None:
        match message:
            case Ended(text, last_words):
                if self.state is State.CANCELLING:
                    self._finish(State.CANCELLED, "Cancelled.", 130)
                elif self.method == "recover" and self._request is not None:
                    kept = "Finished stages are kept: click Recover Motion again, and it goes on from there."
                    self.fail(f"{text} {kept}", 1, last_words)
                else:
                    self.fail(text, 1, last_words)
            case Failure(request, code, text, exit_code) if request is not None and request == self._request:
                if code == CANCELLED:
                    self._finish(State.CANCELLED, text, 130)
                else:
                    self.fail(text, exit_code or 1)
            case Result(request, value) if request == self._request:
                self._take_result(value)
            case Result(request, value) if request == self._cancel_request and not value.get("cancelled"):
                # the worker does not know the job by name, or it has just ended: do not wait long for it
                self._deadline = min(self._deadline, time.monotonic() + 2.0)
            case Progress(job, stage, done, total) as told if job in ("", self.id) or not self._named:
                self.stage, self.done, self.total = stage, done, total
                self.whole.note(stage, done, total)
                if told.preview:
                    self.preview = (told.preview, self.preview[1] + 1)
            case Log(text):
                self.details = (*self.details[-9:], text)
            case Greeting() if self._request is None and self._worker is not None:
                self._send(self._worker)

    def _take_result(self, value: dict[str, Any]) -> None:
        self.result = value
        if self.state is State.CANCELLING:
            folder = value.get("folder")
            text = f"Cancelled, but it was just done: the result is in {folder}." if folder else "Cancelled."
            self._finish(State.CANCELLED, text, 130)
        elif self.imports:
            self.state = State.IMPORTING
            self.message = "Importing"
        else:
            self._finish(State.DONE, "Done.", 0)

    def _run_out_of_patience(self) -> None:
        assert self._worker is not None  # noqa: S101 (there is no deadline without a worker)
        self._worker.close_aside(0.5)
        if self.state is State.CANCELLING:
            self._finish(State.CANCELLED, "Cancelled. The backend did not answer, so it was stopped.", 130)
        else:
            self.fail(f"The backend did not answer within {START_PATIENCE / 60:.0f} minutes and was stopped.")

    def _finish(self, state: State, message: str, exit_code: int) -> None:
        self.state = state
        self.message = message
        self.exit_code = exit_code


def _shares(method: str, params: Mapping[str, Any]) -> Mapping[str, float]:
    """How the time of a job divides into stages."""
    if method == "people":
        return SHARES_OF_PEOPLE
    return SHARES_WITH_ENCODER if "checkpoint" in params else SHARES


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
