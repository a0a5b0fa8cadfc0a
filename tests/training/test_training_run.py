# SPDX-License-Identifier: Apache-2.0
"""The loop of a training: budget, state, logs, averaged weights; with a clock that the test sets."""

from __future__ import annotations

import csv
import math
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from fasthmr.errors import BadInput, Cancelled
from fasthmr.progress import Progress
from fasthmr.training import training_run
from fasthmr.training.training_run import TrainingRun


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(TrainingRun, "_now", staticmethod(lambda: made.now))
    return made


def network(seed: int = 0, width: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))


def loss_of(module: nn.Module, step: int) -> torch.Tensor:
    """The same batch for the same step."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
    return (module(x) - x[:, :2].sin()).square().mean()


def run_for(run: TrainingRun, module: nn.Module, clock: Clock, steps: int) -> None:
    for _ in range(steps):
        assert run.goes_on()
        clock.now += 1.0
        loss = loss_of(module, run.state.step)
        run.step(loss, {"part": 2 * loss})


def made(folder: Path, module: nn.Module, seconds: float = 100.0, **others: object) -> TrainingRun:
    return TrainingRun("tiny", folder, [module], seconds / 60, 1e-2, Progress(), **others)  # type: ignore[arg-type]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights_of(module: nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def test_resumed_run_ends_at_the_same_numbers(tmp_path: Path, clock: Clock) -> None:
    whole = network()
    unbroken = made(tmp_path / "whole", whole)
    run_for(unbroken, whole, clock, 50)
    first = network()
    broken = made(tmp_path / "broken", first)
    run_for(broken, first, clock, 23)
    broken.keep({"found": 1.0})
    second = network(seed=5)
    clock.now += 5000  # nobody trained meanwhile
    again = made(tmp_path / "broken", second)
    assert again.state.step == 23
    assert again.state.seconds == 23
    assert again.state.extra == {"found": 1.0}
    run_for(again, second, clock, 27)
    assert again.state.seconds == 50
    for one, other in zip(weights_of(whole), weights_of(second), strict=True):
        assert torch.equal(one, other)
    unbroken.use_average()
    again.use_average()
    for one, other in zip(weights_of(whole), weights_of(second), strict=True):
        assert torch.equal(one, other)


def test_budget_ends_the_run_and_keeps_the_state(tmp_path: Path, clock: Clock) -> None:
    module, measured = network(), []
    run = made(tmp_path, module, 7.0, validate=lambda: measured.append(1) or {"error": 0.5})
    run_for(run, module, clock, 7)
    assert not run.goes_on()
    assert run.done == 1
    assert len(measured) == 1
    again = made(tmp_path, network(1), 7.0)
    assert not again.goes_on()
    assert again.state.step == 7
    longer = made(tmp_path, network(1), 10.0)
    assert longer.goes_on()
    assert longer.done == pytest.approx(0.7)


def test_cancelling_keeps_the_state(tmp_path: Path, clock: Clock) -> None:
    cancelled, module = threading.Event(), network()
    run = TrainingRun("tiny", tmp_path, [module], 10.0, 1e-2, Progress(cancelled))
    run_for(run, module, clock, 3)
    cancelled.set()
    with pytest.raises(Cancelled):
        run.goes_on()
    again = network(1)
    assert made(tmp_path, again).state.step == 3
    assert all(torch.equal(a, b) for a, b in zip(weights_of(module), weights_of(again), strict=True))


def test_state_is_kept_every_minute(tmp_path: Path, clock: Clock) -> None:
    module = network()
    run = made(tmp_path, module, 1000.0)
    run_for(run, module, clock, 60)
    assert not (tmp_path / "tiny.state.pt").exists()
    run_for(run, module, clock, 1)
    assert made(tmp_path, network(), 1000.0).state.step == 61


def test_modules_beside_are_kept_as_they_are(tmp_path: Path, clock: Clock) -> None:
    module, beside = network(), nn.BatchNorm1d(3)
    run = made(tmp_path, module, saved_beside=[beside])
    beside.running_mean = torch.tensor([1.0, 2.0, 3.0])
    run_for(run, module, clock, 2)
    run.keep()
    restored = nn.BatchNorm1d(3)
    made(tmp_path, network(), saved_beside=[restored])
    assert torch.equal(restored.state_dict()["running_mean"], torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("wrong", ["damaged", "width", "modules", "pickle"])
def test_state_of_something_else_is_refused(tmp_path: Path, clock: Clock, wrong: str) -> None:
    module = network()
    run = made(tmp_path, module)
    run_for(run, module, clock, 1)
    run.keep()
    path, modules = tmp_path / "tiny.state.pt", [network()]
    if wrong == "damaged":
        path.write_bytes(path.read_bytes()[:500])
    elif wrong == "pickle":
        torch.save({"step": 1, "seconds": 1.0, "extra": {}, "modules": [module]}, path)
    elif wrong == "width":
        modules = [network(width=5)]
    else:
        modules = [network(), network()]
    with pytest.raises(
        BadInput, match=r"tiny\.state\.pt does not belong to this training(?s:.*)delete the file"
    ):
        TrainingRun("tiny", tmp_path, modules, 1.0, 1e-2, Progress())


def test_state_is_written_whole(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    run = made(tmp_path, module)
    run_for(run, module, clock, 2)
    run.keep()
    before = (tmp_path / "tiny.state.pt").read_bytes()

    def full(_content: object, file) -> None:  # type: ignore[no-untyped-def]
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BadInput, match="disk is full"):
        run.keep()
    assert (tmp_path / "tiny.state.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.state.pt"]


def test_log_holds_means_of_what_was_seen(tmp_path: Path, clock: Clock) -> None:
    module = network()
    losses = []

    def train(run: TrainingRun, steps: int) -> None:
        for _ in range(steps):
            clock.now += 1.0
            loss = loss_of(module, run.state.step)
            losses.append(float(loss.detach()))
            run.step(loss, {"part": 2 * loss})

    run = made(tmp_path, module, 1000.0)
    train(run, 33)
    run.keep()
    train(made(tmp_path, module, 1000.0), 27)
    rows = rows_of(tmp_path / "tiny.log.csv")
    assert list(rows[0]) == ["step", "seconds", "rate", "loss", "part"]
    assert [int(row["step"]) for row in rows] == [20, 40, 60]
    # the second line is of those after the run went on: sums are not part of the state
    for row, part in zip(rows, (losses[:20], losses[33:40], losses[40:]), strict=True):
        assert float(row["loss"]) == pytest.approx(sum(part) / len(part), rel=1e-4)
        assert float(row["part"]) == pytest.approx(2 * sum(part) / len(part), rel=1e-4)
        assert float(row["seconds"]) == float(row["step"])


def test_rate_warms_up_and_falls_along_a_cosine(tmp_path: Path, clock: Clock) -> None:
    module = network()
    run = made(tmp_path, module, 400.0)
    rates = []
    for _ in range(400):
        run_for(run, module, clock, 1)
        rates.append(run._optimiser.param_groups[0]["lr"])
    for step in (0, 50, 199, 200, 300, 399):
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / 400))
        assert rates[step] == pytest.approx(1e-2 * min(1.0, (step + 1) / 200) * cosine, rel=1e-6)
    assert rates[-1] < 0.03 * 1e-2


def test_average_is_that_of_a_plain_loop(tmp_path: Path, clock: Clock) -> None:
    module = network()
    run = made(tmp_path, module)
    average = weights_of(module)
    for step in range(1, 31):
        run_for(run, module, clock, 1)
        share = min(0.999, (1 + step) / (10 + step))
        average = [share * a + (1 - share) * w for a, w in zip(average, weights_of(module), strict=True)]
    run.use_average()
    for one, other in zip(weights_of(module), average, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_validation_sees_averaged_weights_and_leaves_the_others(tmp_path: Path, clock: Clock) -> None:
    module, seen = network(), []

    def validate() -> dict[str, float]:
        seen.append(weights_of(module))
        module.eval()
        return {"error_mm": 12.3456789}

    run = made(tmp_path, module, 1000.0, validate=validate, validate_minutes=0.5)
    run_for(run, module, clock, 30)
    assert not seen
    run_for(run, module, clock, 1)
    assert len(seen) == 1
    assert module.training
    after = weights_of(module)
    assert not all(torch.equal(a, b) for a, b in zip(seen[0], after, strict=True))
    run.use_average()
    assert all(torch.equal(a, b) for a, b in zip(seen[0], weights_of(module), strict=True))
    assert rows_of(tmp_path / "tiny.validation.csv") == [
        {"step": "31", "seconds": "31.0", "error_mm": "12.346"}
    ]


def test_loss_that_is_no_number_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    module = network()
    run = made(tmp_path, module)
    run_for(run, module, clock, 3)
    before = weights_of(module)
    run.step(loss_of(module, 3) * float("nan"), {})
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(module), strict=True))
    run.use_average()
    assert all(weight.isfinite().all() for weight in module.parameters())


def test_long_gradients_are_cut(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    module, lengths = network(), []
    run = made(tmp_path, module)

    def look() -> None:
        gradients = [one.grad for one in module.parameters() if one.grad is not None]
        lengths.append(float(torch.cat([one.flatten() for one in gradients]).norm()))

    monkeypatch.setattr(run._optimiser, "step", look)
    run.step(1e4 * loss_of(module, 0), {})
    assert lengths[0] == pytest.approx(training_run._LONGEST_GRADIENT, rel=1e-3)
