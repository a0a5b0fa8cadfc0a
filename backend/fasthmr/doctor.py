# SPDX-License-Identifier: Apache-2.0
"""``fasthmr doctor``: is everything here that a job needs, and what to do about what is not.

Each check tries the thing itself (opens the video library, runs the person detector on a picture,
loads the body) instead of looking whether files exist: what fails in a job fails here first.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from fasthmr.errors import FastHMRError
from fasthmr.setup_advice import in_checkout, install_again

_ENOUGH_DISK: Final = 2e9  # bytes
_ENOUGH_MEMORY: Final = 3e9

# System libraries that Python wheels load but do not bring, with Debian's and Ubuntu's packages for them.
_SYSTEM_PACKAGES: Final = {
    "libGL.so": "libgl1",
    "libEGL.so": "libegl1",
    "libGLESv2.so": "libgles2",
    "libGLX": "libglx0",
    "libX11.so": "libx11-6",
    "libxcb": "libxcb1",
    "libgthread-2.0.so": "libglib2.0-0",
    "libglib-2.0.so": "libglib2.0-0",
    "libSM.so": "libsm6",
    "libXext.so": "libxext6",
    "libXrender.so": "libxrender1",
    "libgomp.so": "libgomp1",
    "libstdc++.so": "libstdc++6",
}


class Check(msgspec.Struct, frozen=True):
    """What one check found.

    Args:
        name: what was checked.
        ok: whether it works.
        detail: what was found, or what went wrong.
        advice: what to do; empty when it works.
        required: whether a job can be done without it.
    """

    name: str
    ok: bool
    detail: str
    advice: str
    required: bool


class Findings(msgspec.Struct, frozen=True):
    """All checks; ``ok`` when everything that is required works."""

    ok: bool
    checks: list[Check]


class Trouble(Exception):  # noqa: N818
    """A check failed; carries what to do about it.

    Args:
        detail: what was found.
        advice: what to do.
    """

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice


@dataclass(frozen=True)
class Examination:
    """One check: what to try, and what to advise when it fails in a way of its own.

    Args:
        name: what is checked.
        look: tries it; returns what was found; raises when it does not work.
        advice: what to do when an error carries no advice.
        required: whether a job needs it.
    """

    name: str
    look: Callable[[], str]
    advice: str
    required: bool = True


def examine(examinations: Sequence[Examination] | None = None) -> Findings:
    """Try everything that a job needs.

    Args:
        examinations: the checks; all of them when left out.
    """
    checks = [_check(one) for one in (EXAMINATIONS if examinations is None else examinations)]
    return Findings(all(check.ok for check in checks if check.required), checks)


def _check(one: Examination) -> Check:
    try:
        return Check(one.name, True, one.look(), "", one.required)
    except Trouble as trouble:
        return Check(one.name, False, str(trouble), trouble.advice, one.required)
    except FastHMRError as error:  # its message says what to do
        return Check(one.name, False, str(error), one.advice, one.required)
    except Exception as error:  # noqa: BLE001 (whatever is wrong, the doctor goes on and says it)
        text = f"{type(error).__name__}: {error}"
        return Check(one.name, False, text, missing_library(text) or one.advice, one.required)


def missing_library(message: str) -> str:
    """Advice for an error that names a system library which could not be loaded; empty for another error."""
    if not ("cannot open shared object" in message or "DLL load failed" in message):
        return ""
    if "DLL load failed" in message:
        return "Install Microsoft's Visual C++ Redistributable (x64), then try again."
    found = re.search(r"\b(lib[\w.+-]+\.so)[.\d]*", message)
    name = found.group(1) if found else ""
    for start, package in _SYSTEM_PACKAGES.items():
        if name.startswith(start):
            return f"Install the system package {package} (Debian, Ubuntu: sudo apt install {package})."
    return f"Install the system package that brings {name or 'this library'}."


# --- the checks


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 (somebody may start it with another Python all the same)
        raise Trouble(f"Python {platform.python_version()}", "Use Python 3.11 or newer.")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> str:
    import torch

    matrix = torch.ones(8, 8)
    if float((matrix @ matrix).sum()) != 512.0:
        raise Trouble(f"{torch.__version__} multiplies matrices wrongly", install_again())
    return str(torch.__version__)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        bf16 = _can("bf16", torch.cuda.is_bf16_supported())
        return f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB, {bf16}"
    cores = f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    cores += _can("bf16", any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16")))
    return cores + (", Apple GPU on request (mps)" if torch.backends.mps.is_available() else "")


def _video() -> str:
    import av

    names = {"h264": "H.264", "hevc": "HEVC", "prores": "ProRes", "vp9": "VP9", "av1": "AV1"}
    readable = [title for name, title in names.items() if name in av.codecs_available]
    if "H.264" not in readable:
        raise Trouble(f"PyAV {av.__version__} cannot read H.264", install_again())
    return f"PyAV {av.__version__}, reads {', '.join(readable)}"


def _images() -> str:
    import cv2
    import numpy as np

    encoded, data = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))
    if not encoded or cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
        raise Trouble(f"OpenCV {cv2.__version__} cannot write and read a PNG", install_again())
    return f"OpenCV {cv2.__version__}"


def _perception() -> str:
    import numpy as np

    from fasthmr.people import BlazePoseDetector
    from fasthmr.people.bundle import find_bundle

    detector = BlazePoseDetector()
    try:
        detector.detect([np.zeros((64, 64, 3), np.uint8)], [0.0])
    finally:
        detector.close()
    return f"{find_bundle()}"


def _body() -> str:
    from fasthmr.body import load_body

    body = load_body("open")
    return f"{body.name}, {len(body.v_template)} vertices, {body.licence.partition('. ')[0]}"


def _encoder() -> str:
    from fasthmr.encoder.checkpoint import read_weights
    from fasthmr.encoder.checkpoint_check import check_fit, config_for
    from fasthmr.encoder.config import WEIGHTS

    if not WEIGHTS.is_file():
        raise Trouble(f"{WEIGHTS} is not there", "Bodies are estimated from landmarks alone instead.")
    weights, metadata = read_weights(WEIGHTS)
    config = config_for(WEIGHTS, "open", {name: tuple(one.shape) for name, one in weights.items()}, metadata)
    check_fit(WEIGHTS, config, weights)
    return f"{WEIGHTS}: {config.depth} layers, {WEIGHTS.stat().st_size / 1e6:.0f} MB"


def _operator() -> str:
    import torch

    from fasthmr.encoder.merge_operator import merge_tokens, operator_state

    # Of four equal tokens the first merges into the second, the lower index going first.
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        equal, sizes = torch.ones(1, 4, 2, device=device), torch.ones(1, 4, device=device)
        try:
            places = merge_tokens(equal, equal, sizes, sizes.new_zeros(1, 4).byte(), 1).assignment.tolist()
        except RuntimeError as error:  # a kernel compiled for another GPU, say
            places = str(error).partition("\n")[0]
        if places != [[0, 0, 1, 2]]:
            what = f"{operator_state()}, but merges wrongly on '{device}' ({places})"
            first = "Delete the folder backend/fasthmr/encoder/compiled. " if in_checkout() else ""
            raise Trouble(what, first + install_again())
    if not operator_state().startswith("compiled"):
        raise Trouble(operator_state(), "Tokens are merged all the same, only more slowly.")
    return operator_state()


def _disk() -> str:
    found = []
    for place in {str(Path.cwd()): None, tempfile.gettempdir(): None}:
        free = shutil.disk_usage(place).free
        found.append(f"{free / 1e9:.1f} GB free in {place}")
        if free < _ENOUGH_DISK:
            raise Trouble(found[-1], "Free some space: a job keeps a few MB for a minute of footage.")
    return ", ".join(found)


def _memory() -> str:
    total, free = memory_bytes()
    text = f"{total / 2**30:.1f} GiB" + ("" if free is None else f", {free / 2**30:.1f} GiB available")
    if (total if free is None else free) < _ENOUGH_MEMORY:
        raise Trouble(text, "Close other programs: a job needs up to 2 GB.")
    return text


def _preview() -> str:
    from fasthmr.preview import open_context

    context = open_context()
    try:
        return f"OpenGL {context.version_code / 100:.1f}, {context.info['GL_RENDERER']}"
    finally:
        context.release()


def memory_bytes() -> tuple[int, int | None]:
    """Memory of this machine and what of it is available now (None where the system does not tell)."""
    if sys.platform == "win32":
        status = _MemoryStatus(size=ctypes.sizeof(_MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status.total, status.available
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    table = Path("/proc/meminfo")
    if not table.exists():
        return total, None
    available = re.search(r"^MemAvailable:\s+(\d+) kB", table.read_text(), re.MULTILINE)
    return total, int(available.group(1)) * 1024 if available else None


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_: Final[list[tuple[str, Any]]] = [  # pyright: ignore[reportIncompatibleVariableOverride]
        ("size", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    ]


def _can(what: str, able: bool) -> str:
    return what if able else f"no {what}"


_INSTALL: Final = install_again()
EXAMINATIONS: Final = (
    Examination("python", _python, _INSTALL),
    Examination("torch", _torch, _INSTALL),
    Examination("device", _device, _INSTALL),
    Examination("video", _video, _INSTALL),
    Examination("images", _images, _INSTALL),
    Examination("perception", _perception, _INSTALL),
    Examination("body", _body, _INSTALL),
    Examination("encoder", _encoder, _INSTALL, required=False),
    Examination("operator", _operator, _INSTALL, required=False),
    Examination("disk", _disk, "Free some space.", required=False),
    Examination("memory", _memory, "Close other programs.", required=False),
    Examination("preview", _preview, "Previews cannot be rendered; everything else works.", required=False),
)
