# SPDX-License-Identifier: Apache-2.0
"""Measuring many networks within a wall-clock budget, each once: what the log has is taken from there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from fasthmr.encoder.layer_plan import Groups, Variant, joined, recipe
from fasthmr.progress import Progress
from fasthmr.training.evaluation_log import EvaluationLog
from fasthmr.training.joint_error import JointError

STAGE: Final = "testing layers"


class TimeIsUp(Exception):  # noqa: N818 (no error: the search ends with what it has)
    """The next measurement would go beyond the budget."""


class Measurements:
    """Gives the error of networks with merged layers.

    The network is loaded with the first measurement that is really made; where all are in the log, none is.

    Args:
        log: what was measured before, and where new measurements go.
        load: loads the original network and measures it, given whom to tell how many crops are done.
        layers: of the original network.
        total: measurements in all, for the progress.
        crops: that each of them takes.
        minutes: the budget; None: no limit. One measurement is made whatever it is, so that the same call
            again and again comes to an end.
        progress: told of every crop; may cancel.

    Attributes:
        made: how many measurements were made, and not taken from the log.
    """

    def __init__(
        self,
        log: EvaluationLog,
        load: Callable[[Callable[[int], None]], JointError],
        layers: int,
        total: int,
        crops: int,
        minutes: float | None,
        progress: Progress,
    ) -> None:
        self.made = 0
        self._log, self._load, self._progress = log, load, progress
        self._original = joined(layers, [])
        self._crops, self._total = crops, total * crops
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self._before = 0  # crops of the measurements before this one
        self._seconds: list[float] = []
        self._error: JointError | None = None

    def original(self) -> float:
        """The error of the original network."""
        return self(self._original, "keep_last")

    def __call__(self, groups: Groups, variant: Variant) -> float:
        """The error of the network with its layers in these groups.

        Raises:
            TimeIsUp: the budget does not allow another measurement.
            Cancelled: the user cancelled.
        """
        layers = recipe(groups, variant)
        value = self._log.get(layers)
        if value is None:
            value = self._measure(groups, variant)
        self._before += self._crops
        self._show(0)
        return value

    def finish(self) -> None:
        """Say that nothing more will be measured."""
        self._before = self._total
        self._show(0)

    @property
    def mean_seconds(self) -> float | None:
        """How long a measurement of this run took in the mean (not the original); None: none was made."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else None

    def _measure(self, groups: Groups, variant: Variant) -> float:
        if self.made and time.monotonic() + max(self._seconds[-3:], default=0.0) > self._end:
            raise TimeIsUp
        layers = recipe(groups, variant)
        if self._error is None:
            # The original network runs first, whatever is asked: the others are compared with it, and start
            # from what enters its layers.
            started = time.perf_counter()
            self._error = self._load(self._show)
            original = recipe(self._original, variant)
            if self._log.get(original) is None:
                self._keep(original, self._error.baseline, time.perf_counter() - started)
            if layers == original:
                return self._error.baseline
        started = time.perf_counter()
        value = self._error(groups, variant)
        self._seconds.append(time.perf_counter() - started)
        self._keep(layers, value, self._seconds[-1])
        return value

    def _keep(self, layers: tuple[str, ...], value: float, seconds: float) -> None:
        self._log.add(layers, value, seconds)
        self.made += 1

    def _show(self, done: int) -> None:
        self._progress.report(STAGE, min(self._before + done, self._total), self._total)
