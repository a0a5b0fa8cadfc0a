# SPDX-License-Identifier: Apache-2.0
"""How far a job is and how long the stage will still take, as steps that never go back.

Stages report once a frame or a batch, sometimes with totals that are estimates. Whoever shows the
progress (a terminal, Blender, the record in the job folder) wants few steps, in order, with the time
that is left: :class:`StageClock` turns the one into the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

STAGES: Final = ("probe", "people", "encode", "fit", "place", "write", "preview")

# The first moments of a stage load models and say nothing about its pace.
_SETTLED_AFTER: Final = 1.0


class Step(msgspec.Struct, frozen=True):
    """One step of a job's progress.

    Args:
        stage: which stage.
        done: units finished; never less than in an earlier step of the stage.
        total: units in all, at least ``done``; None while unknown.
        eta_s: seconds until the stage is done at its pace so far; None while unknown.
    """

    stage: str
    done: int
    total: int | None
    eta_s: float | None


class StageClock:
    """Turns a stage's reports into steps: in order, not too many, with a time left.

    Args:
        interval: seconds between two steps of a stage; its first and its last always count.
        now: the clock, seconds.
    """

    def __init__(self, interval: float = 0.2, now: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._now = now
        self._stage: str | None = None
        self._started = self._shown_at = 0.0
        self._first = self._done = self._shown = 0
        self._reached = 0  # the furthest stage of the flow so far; others ("export") pass freely

    def step(self, stage: str, done: int, total: int | None) -> Step | None:
        """Take a report; give the step to show, or None when there is nothing new to show.

        Reports of a stage that lies before the current one are dropped, and so are reports that
        say less is done than was said before.
        """
        now = self._now()
        if stage != self._stage:
            if stage in STAGES and STAGES.index(stage) < self._reached:
                return None
            self._reached = STAGES.index(stage) if stage in STAGES else self._reached
            self._stage, self._started = stage, now
            self._first = self._done = done
        elif done < self._done:
            return None
        else:
            self._done = done
            finished = total is not None and self._shown < total <= done
            if not finished and now - self._shown_at < self._interval:
                return None
        self._shown_at, self._shown = now, done
        return Step(stage, done, max(total, done) if total is not None else None, self._time_left(total, now))

    def _time_left(self, total: int | None, now: float) -> float | None:
        elapsed, units = now - self._started, self._done - self._first
        if total is None or units <= 0 or elapsed < _SETTLED_AFTER:
            return None
        return round(max(0, total - self._done) * elapsed / units, 1)
