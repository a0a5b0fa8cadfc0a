# SPDX-License-Identifier: Apache-2.0
"""Which processor the networks run on."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fasthmr.errors import BadCall

if TYPE_CHECKING:
    import torch

DEVICES: Final = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """Give the device for a request's ``device``.

    ``auto`` takes CUDA where it works and the CPU otherwise. Apple's GPU (``mps``) has to be asked
    for: it lacks operations that the fit uses.

    Raises:
        BadCall: there is no such device here, or no such name.
    """
    if name not in DEVICES:
        raise BadCall(f"Unknown device '{name}'. Choose one of {', '.join(DEVICES)}.")
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        reason = "no NVIDIA GPU answers" if torch.version.cuda else "this PyTorch was built without CUDA"
        raise BadCall(
            f"Device 'cuda' cannot be used: {reason}. Use 'auto' or 'cpu'; `fasthmr doctor` says more."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise BadCall("Device 'mps' cannot be used: it needs a Mac with Apple silicon. Use 'auto' or 'cpu'.")
    return torch.device(name)


def expected_device() -> str:
    """What ``auto`` will choose, found out in milliseconds: PyTorch itself is not imported."""
    return "cuda" if _torch_has_cuda() and _nvidia_gpu_count() > 0 else "cpu"


def _torch_has_cuda() -> bool:
    """Whether the installed PyTorch is a CUDA build, read from its own version file."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.exists() else ""
    return re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None


def _nvidia_gpu_count() -> int:
    """Number of GPUs that the NVIDIA driver offers, 0 when there is no driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
