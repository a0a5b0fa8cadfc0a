# SPDX-License-Identifier: Apache-2.0
"""Devices: refused with a reason when they are not there, and guessed without loading PyTorch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from fasthmr import device
from fasthmr.device import choose_device, expected_device
from fasthmr.errors import BadCall


def test_auto_is_cuda_or_the_cpu_and_the_guess_agrees() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")
    assert expected_device() == choose_device("auto").type


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "cuda:0"])
def test_unknown_names_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(BadCall, match="auto, cpu, cuda, mps"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_devices_that_are_not_there_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadCall, match=f"'{name}' cannot be used"):
        choose_device(name)


@pytest.mark.parametrize(
    ("version", "gpus", "expected"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n", 1, "cpu"),
        ("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n", 1, "cuda"),
        ("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n", 0, "cpu"),
        ("__version__ = '2.6.0'\ncuda = '12.4'\n", 2, "cuda"),
        (None, 1, "cpu"),
    ],
)
def test_the_guess_needs_a_cuda_build_and_a_gpu(
    version: str | None, gpus: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = None
    if version is not None:
        (tmp_path / "version.py").write_text(version)
        spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(device, "_nvidia_gpu_count", lambda: gpus)
    assert expected_device() == expected


def test_the_guess_does_not_load_pytorch() -> None:
    program = (
        "import sys; from fasthmr.device import expected_device\n"
        "expected_device(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
