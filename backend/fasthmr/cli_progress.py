# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from fasthmr.progress import Progress
from fasthmr.stage_clock import StageClock, Step

if TYPE_CHECKING:
    import threading

TITLES: Final = {
    "probe": "Looking at the footage",
    "people": "Finding people",
    "encode": "Reading the bodies",
    "fit": "Fitting the body",
    "place": "Placing in the world",
    "write": "Writing",
    "preview": "Rendering the preview",
}

_LINE_EVERY: Final = 10.0  # seconds


class _Display(Protocol):
    """Where steps and messages go."""

    def show(self, step: Step) -> None: ...
    def say(self, message: str) -> None: ...
    def close(self) -> None: ...


class CommandProgress(Progress):
    """The progress of a command, shown on standard error while the ``with`` block lasts.

    Args:
        cancelled: set when the user presses Ctrl-C.
        stream: where to write; standard error when left out.
    """

    def __init__(self, cancelled: threading.Event | None = None, stream: TextIO | None = None) -> None:
        super().__init__(cancelled)
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._clock = StageClock()
        self._display: _Display = _Lines(self._stream)

    def __enter__(self) -> Self:
        self._clock = StageClock()
        self._display = _Bars(self._stream) if self._terminal else _Lines(self._stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()

    def show(self, stage: str, done: int, total: int | None) -> None:  # noqa: D102 (as in the base)
        step = self._clock.step(stage, done, total)
        if step is not None:
            self._display.show(step)

    def log(self, message: str) -> None:  # noqa: D102 (as in the base)
        self._display.say(message)


class _Lines:
    """For logs and pipes: the beginning and the end of a stage, and a line every few seconds between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""
        self._said_at = 0.0

    def show(self, step: Step) -> None:
        now = time.monotonic()
        new = step.stage != self._stage
        finished = step.done == step.total and step.done > 0
        if new or finished or now - self._said_at >= _LINE_EVERY:
            self._stage, self._said_at = step.stage, now
            self.say(_line(step))

    def say(self, message: str) -> None:
        self._stream.write(f"{message}\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class _Bars:
    """For people at a terminal: one bar a stage."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(file=stream),
        )
        self._stages: dict[str, int] = {}
        self._bars.start()

    def show(self, step: Step) -> None:
        from rich.progress import TaskID

        if step.stage not in self._stages:
            title = TITLES.get(step.stage, step.stage.capitalize())
            self._stages[step.stage] = int(self._bars.add_task(title, total=step.total, left=""))
        task = TaskID(self._stages[step.stage])
        self._bars.update(task, completed=step.done, total=step.total, left=_time_left(step))

    def say(self, message: str) -> None:
        self._bars.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._bars.stop()


def _line(step: Step) -> str:
    title = TITLES.get(step.stage, step.stage.capitalize())
    count = f"{step.done}" if step.total is None else f"{step.done}/{step.total}"
    return f"{title}: {count} {_time_left(step)}".rstrip()


def _time_left(step: Step) -> str:
    if step.eta_s is None or step.eta_s < 1:
        return ""
    minutes, seconds = divmod(round(step.eta_s), 60)
    return f"{minutes}:{seconds:02d} left"
