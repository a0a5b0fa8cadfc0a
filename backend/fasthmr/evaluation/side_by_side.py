# SPDX-License-Identifier: Apache-2.0
"""Time several ways to do a thing in one run, turn by turn: they share the machine's good and bad moments.

A machine's speed drifts (heat, neighbours, memory); a ratio of two runs one after the other measures the
drift as well. Here every round times each way once, every other round in the opposite order, and a speed-up
is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fasthmr.progress import Progress


def time_side_by_side(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int,
    device: torch.device,
    progress: Progress | None = None,
    stage: str = "bench",
) -> dict[str, list[float]]:
    """Time each way ``repeats`` times, turn by turn.

    Args:
        ways: name and call of each; on a GPU the call may return before its work is done.
        repeats: rounds that are timed.
        warm_up: rounds before them that are not (first touch of memory, compilation, clocks).
        device: where the work is done; on CUDA it is timed by events on the current stream.
        progress: told after each round; can cancel.
        stage: the name that progress gets.

    Returns:
        Seconds of each round, by name, in the order of the rounds.

    Raises:
        ValueError: nothing to repeat.
        Cancelled: the progress was cancelled.
    """
    if repeats < 1:
        raise ValueError(f"{repeats} repeats")
    progress = progress or Progress()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    timer = _time_on_cuda if device.type == "cuda" else _time_here
    for turn in range(warm_up + repeats):
        names = list(ways) if turn % 2 == 0 else list(ways)[::-1]
        for name in names:
            progress.report(stage, turn, warm_up + repeats)
            taken = timer(ways[name])
            if turn >= warm_up:
                seconds[name].append(taken)
    progress.report(stage, warm_up + repeats, warm_up + repeats)
    return seconds


def _time_here(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def _time_on_cuda(way: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    way()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median, least, and the quartiles of some figures.

    Args:
        values: one or more.
        digits: rounded to so many after the point.
    """
    lower, middle, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    )
    return {
        "median": round(middle, digits),
        "least": round(min(values), digits),
        "lower_quartile": round(lower, digits),
        "upper_quartile": round(upper, digits),
    }


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times faster the second was, round by round."""
    return [one / other for one, other in zip(slow, fast, strict=True)]


def environment(device: torch.device) -> dict[str, Any]:
    """What a figure of speed depends on beside the program: processor, threads, versions."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(device),
    }
    if hasattr(os, "getloadavg"):
        found["load_before"] = round(os.getloadavg()[0], 2)
    if device.type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "compute_capability": "{}.{}".format(*torch.cuda.get_device_capability(device)),
            "cuda": torch.version.cuda,
            "tf32": torch.backends.cuda.matmul.allow_tf32,
        }
    return found


def processor_name() -> str:
    """The processor's name, as the system tells it; its architecture where it does not."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
