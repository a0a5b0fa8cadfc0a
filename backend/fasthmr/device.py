# SPDX-License-Identifier: Apache-2.0
"""Which processor the networks run on, and with numbers of which precision."""

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
PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")

# What multiplies bf16 faster than fp32, as Linux names it: Intel's and AMD's extensions, and ARM's.
_BF16_FLAGS: Final = ("amx_bf16", "avx512_bf16", "bf16")
_CPU_FACTS: Final = Path("/proc/cpuinfo")
# Compute capabilities of NVIDIA's GPUs: tensor cores know fp16 from Volta on, and bf16 from Ampere on.
_FP16_FROM: Final = (7, 0)
_BF16_FROM: Final = (8, 0)


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


def choose_precision(device: torch.device | str, wanted: str = "auto") -> torch.dtype:
    """With which numbers a network runs.

    ``auto`` takes what the device multiplies fast: on NVIDIA's GPUs bf16, or fp16 before Ampere; on CPUs bf16
    where they have instructions for it; fp32 elsewhere. bf16 goes before fp16 because it cannot overflow.
    What is asked for by name is taken, fast or not.

    Args:
        device: where it runs.
        wanted: "auto", "fp32", "bf16" or "fp16".

    Raises:
        BadCall: there is no such precision.
    """
    import torch

    if wanted not in PRECISIONS:
        raise BadCall(f"Unknown precision '{wanted}'. Choose one of {', '.join(PRECISIONS)}.")
    name = precision_with_reason(device)[0] if wanted == "auto" else wanted
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def precision_with_reason(device: torch.device | str) -> tuple[str, str]:
    """What ``auto`` takes on a device, and why.

    Returns:
        "fp32", "bf16" or "fp16", and the reason as a part of a sentence.
    """
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        name = f"{torch.cuda.get_device_name(device)} (compute capability {capability[0]}.{capability[1]})"
        if capability >= _BF16_FROM:
            return "bf16", f"{name} has tensor cores for it"
        if capability >= _FP16_FROM:
            return "fp16", f"{name} has tensor cores for it, and none for bf16"
        return "fp32", f"{name} has no tensor cores"
    if device.type == "cpu":
        if flag := _bf16_instructions():
            return "bf16", f"the processor has instructions for it ({flag})"
        return "fp32", "the processor has no instructions for bf16"
    return "fp32", f"half precision was not tried on '{device.type}'"


def _bf16_instructions() -> str:
    """The processor's extension for bf16, as Linux names it; empty where there is none."""
    if _CPU_FACTS.exists():
        lines = _CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            name, _, flags = line.partition(":")
            if name.strip().lower() in {"flags", "features"}:
                return next((flag for flag in _BF16_FLAGS if flag in flags.split()), "")
        return ""
    import torch

    known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # Windows; not public so far
    return "avx512_bf16" if known() else ""


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
