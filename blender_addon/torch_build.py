# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of PyTorch suits this machine, and the ways to get it; decided as `build.py` does."""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
from collections.abc import Callable, Sequence

TORCH = "2.13.0"
TORCH_INDEX = "https://download.pytorch.org/whl/"


def cuda_build(answer: Callable[[Sequence[object], float], str]) -> str | None:
    """Which CUDA build of PyTorch suits the NVIDIA driver and cards; None without a driver.

    Args:
        answer: gives what a command prints within some seconds; nothing when it cannot be run.
    """
    smi = shutil.which("nvidia-smi")
    if smi:
        rows = answer([smi, "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"], 30)
        cards = re.findall(r"^(\d+)[\d.]*, *([\d.]+)", rows, flags=re.MULTILINE)
        if cards:
            modern = all(int(driver) >= 580 and float(capability) >= 7.5 for driver, capability in cards)
            return "cu130" if modern else "cu126"
    return "cu130" if ctypes.util.find_library("nvcuda" if os.name == "nt" else "cuda") else None


def torch_attempts(system: str, cuda: str | None) -> list[tuple[str, list[str]]]:
    """The ways to install PyTorch, best first, as (what it is, pip's arguments)."""
    plain = [f"torch=={TORCH}"]
    index = ["--timeout=20", "--retries=1", "--extra-index-url"]  # unreachable must not mean minutes
    if cuda and system != "Darwin":
        exact = [*index, TORCH_INDEX + cuda, f"torch=={TORCH}+{cuda}"]
        else_what = "the standard build" + (", which is for the CPU" if system == "Windows" else "")
        return [(f"the build for {cuda} (several GB)", exact), (else_what, plain)]
    if system == "Linux":
        exact = [f"torch=={TORCH}+cpu"]
        return [
            ("the CPU build (about 200 MB)", exact),
            ("the CPU build from PyTorch's index (about 200 MB)", [*index, TORCH_INDEX + "cpu", *exact]),
            ("the standard build (several GB: it holds CUDA too, but works on the CPU as well)", plain),
        ]
    return [("the standard build (about 200 MB)", plain)]
