# SPDX-License-Identifier: Apache-2.0
"""The loop around a training: a budget of time, a falling rate, averaged weights, state on disk, a log.

Used by every network that is trained here. The state is written beside and renamed, so that a run that is
stopped at any moment goes on from its last state; the log is a CSV that is only added to.
"""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from fasthmr.errors import BadInput
from fasthmr.files import written_whole
from fasthmr.progress import Progress

_WARM_UP: Final = 200  # steps
_LAST_RATE: Final = 0.02  # of the highest learning rate
_AVERAGE: Final = 0.999
_KEEP_SECONDS: Final = 60.0
_LOG_STEPS: Final = 20
_LONGEST_GRADIENT: Final = 1.0


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        seconds: wall-clock time spent on them, over all calls.
        extra: what else a training keeps.
    """

    step: int = 0
    seconds: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)


class TrainingRun:
    """Optimises some modules for a number of minutes.

    Args:
        name: of the run: ``<name>.state.pt``, ``<name>.log.csv`` and ``<name>.validation.csv`` in ``folder``.
        folder: made if it is not there.
        modules: whose weights are trained and averaged.
        minutes: budget over all calls.
        learning_rate: the highest.
        progress: told of the time; may cancel.
        validate: gives named figures, with the averaged weights in place.
        validate_minutes: time between its calls.
        saved_beside: modules that are kept in the state as they are.

    Raises:
        BadInput: the state in the folder is damaged or of another network.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        modules: Sequence[nn.Module],
        minutes: float,
        learning_rate: float,
        progress: Progress,
        validate: Callable[[], Mapping[str, float]] | None = None,
        validate_minutes: float = 5.0,
        saved_beside: Sequence[nn.Module] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self._folder = name, folder
        self._modules, self._beside = list(modules), list(saved_beside)
        self._budget, self._rate, self._progress = 60 * minutes, learning_rate, progress
        self._validate, self._validate_seconds = validate, 60 * validate_minutes
        self._weights = [weight for module in modules for weight in module.parameters()]
        self._average = [copy.deepcopy(weight.detach()) for weight in self._weights]
        matrices = [weight for weight in self._weights if weight.ndim > 1]
        others = [weight for weight in self._weights if weight.ndim <= 1]
        self._optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=learning_rate,
            betas=(0.9, 0.99),
        )
        self.state = RunState()
        self._sums: dict[str, float] = {}
        self._summed = 0  # steps; fewer than usual after a run went on
        self._resume()
        self._started = self._now()
        self._kept = self._validated = self.state.seconds

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.name}.state.pt"

    @property
    def done(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(1.0, self.state.seconds / max(self._budget, 1e-9))

    def goes_on(self) -> bool:
        """Whether there is time left; keeps the state at the end of it.

        Raises:
            Cancelled: the user cancelled; the state is kept first.
        """
        if self._progress.cancelled.is_set():
            self.keep()
        self._progress.report(
            f"train {self.name}", int(min(self.state.seconds, self._budget)), int(self._budget)
        )
        if self.state.seconds < self._budget:
            return True
        if self._kept < self.state.seconds:
            self.validate()
            self.keep()
        return False

    def step(self, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        """One step down the gradient of a loss.

        Args:
            loss: a scalar.
            parts: to log, by name; the same names each time.
        """
        rate = self._rate * self._share_of_rate()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(self._weights, _LONGEST_GRADIENT)
        if bool(length.isfinite()):
            self._optimiser.step()
        self.state.step += 1
        with torch.no_grad():
            share = min(_AVERAGE, (1 + self.state.step) / (10 + self.state.step))
            for average, weight in zip(self._average, self._weights, strict=True):
                average.lerp_(weight, 1 - share)
        self.state.seconds = self._now() - self._started + self._spent
        self._log({"loss": loss, **parts}, rate)
        if self._validate and self.state.seconds - self._validated > self._validate_seconds:
            self.validate()
        if self.state.seconds - self._kept > _KEEP_SECONDS:
            self.keep()

    def use_average(self) -> None:
        """Put the averaged weights in place, for good."""
        with torch.no_grad():
            for weight, average in zip(self._weights, self._average, strict=True):
                weight.copy_(average)

    def validate(self) -> None:
        """Measure the averaged weights and write a line of the validation log."""
        self._validated = self.state.seconds
        if self._validate is None:
            return
        trained = [weight.detach().clone() for weight in self._weights]
        modes = [module.training for module in self._modules]
        self.use_average()
        figures = self._validate()
        with torch.no_grad():
            for weight, before in zip(self._weights, trained, strict=True):
                weight.copy_(before)
        for module, mode in zip(self._modules, modes, strict=True):
            module.train(mode)
        self._write("validation", {name: f"{value:.5g}" for name, value in figures.items()})
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self._progress.log(f"{self.name}, step {self.state.step}, {self.state.seconds / 60:.1f} min: {text}")

    def keep(self, extra: Mapping[str, float] | None = None) -> None:
        """Write the state."""
        self.state.extra.update(extra or {})
        content = {
            "step": self.state.step,
            "seconds": self.state.seconds,
            "extra": dict(self.state.extra),
            "modules": [module.state_dict() for module in self._modules],
            "beside": [module.state_dict() for module in self._beside],
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
        }
        with written_whole(self._path) as file:
            torch.save(content, file)
        self._kept = self.state.seconds

    def _resume(self) -> None:
        self._spent = 0.0
        if not self._path.is_file():
            return
        try:
            content: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
            for module, state in zip(self._modules, content["modules"], strict=True):
                module.load_state_dict(state)
            for module, state in zip(self._beside, content["beside"], strict=True):
                module.load_state_dict(state)
            self._optimiser.load_state_dict(content["optimiser"])
            for average, kept in zip(self._average, content["average"], strict=True):
                average.copy_(kept)
            self.state = RunState(content["step"], content["seconds"], dict(content["extra"]))
        except Exception as error:
            raise BadInput(
                f"The state {self._path} does not belong to this training, or it is damaged ({error}). "
                "Choose another folder, or delete the file to begin again."
            ) from error
        self._spent = self.state.seconds

    def _share_of_rate(self) -> float:
        """Warm-up, then a cosine over the budget."""
        warm = min(1.0, (self.state.step + 1) / _WARM_UP)
        return warm * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.done)))

    def _log(self, parts: Mapping[str, Tensor], rate: float) -> None:
        for name, value in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        self._summed += 1
        if self.state.step % _LOG_STEPS == 0:
            means = {name: f"{value / self._summed:.5g}" for name, value in self._sums.items()}
            self._write("log", {"rate": f"{rate:.3g}", **means})
            self._sums, self._summed = {}, 0

    def _write(self, kind: str, values: Mapping[str, str]) -> None:
        path = self._folder / f"{self.name}.{kind}.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "seconds", *values])
            writer.writerow([self.state.step, f"{self.state.seconds:.1f}", *values.values()])

    @staticmethod
    def _now() -> float:
        return time.monotonic()
