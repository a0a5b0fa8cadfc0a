# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a whole job is, and how long it will still take, from how far its present stage is.

The backend tells of one stage at a time. How much of the whole each stage is was measured once (`SHARES`);
with other footage or on another machine it is something else, so the bar may run quicker in one stage than in
the next. It never runs back, and the time that is left is worked out from the pace of the present stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

SHARES = {"probe": 0.01, "people": 0.60, "fit": 0.37, "place": 0.015, "write": 0.005}
"""Share of the time that each stage takes, in order. Measured on two cores without a graphics card, frames of
768 x 432 pixels: 107 ms a frame for the people, 67 ms a frame and person for the fit, 1 ms for the rest; so
for one person who is always in the picture."""

SHARES_OF_PEOPLE = {"probe": 0.02, "people": 0.98}
"""The same for a job that only finds the people."""

SHARES_WITH_ENCODER = {
    "probe": 0.01,
    "people": 0.2,
    "encode": 0.65,
    "fit": 0.12,
    "place": 0.015,
    "write": 0.005,
}
"""The same where a network of the user's own looks at every person in every frame. That network takes from a
hundredth to many times the rest, depending on the machine: this is no more than a guess."""

_SETTLED = 2.0
"""Seconds after which a stage's pace says something about how long the rest takes."""


class WholeJob:
    """Progress of one job over all of its stages.

    Args:
        shares: share of each stage, in order. A stage that is not among them counts nothing.
        now: the clock, seconds.
    """

    def __init__(
        self, shares: Mapping[str, float] = SHARES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._shares, self._now = shares, now
        self._fraction = 0.0
        self._stage = ""
        self._began = (0.0, 0.0)  # when this stage began, and the fraction of the stage at that time
        self._ends: float | None = None  # when the job will be done, by the clock

    @property
    def fraction(self) -> float:
        """How much of the job is done, 0 to 1; never less than before."""
        return self._fraction

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the job is done; None while nothing is known of its pace."""
        return None if self._ends is None else max(self._ends - self._now(), 0.0)

    def note(self, stage: str, done: int, total: int | None) -> None:
        """Take a stage's progress.

        Args:
            stage: its name.
            done: units finished.
            total: units in all; None while unknown.
        """
        share = self._shares.get(stage, 0.0)
        part = min(done / total, 1.0) if total else 0.0
        now = self._now()
        if stage != self._stage:
            self._stage, self._began = stage, (now, part)
        if stage in self._shares:
            before = sum(list(self._shares.values())[: list(self._shares).index(stage)])
            self._fraction = max(self._fraction, min(before + part * share, 1.0))
        elapsed, advanced = now - self._began[0], (part - self._began[1]) * share
        if elapsed >= _SETTLED and advanced > 0.0:
            self._ends = now + (1.0 - self._fraction) * elapsed / advanced
