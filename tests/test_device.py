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
from fasthmr.device import choose_device, choose_precision, expected_device, precision_with_reason
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


# --- precision

INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx512f {}\nbugs\t\t: mds\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd {}\n"


@pytest.mark.parametrize(
    ("facts", "expected", "because"),
    [
        (INTEL.format("avx512_bf16 amx_bf16 amx_tile"), torch.bfloat16, "amx_bf16"),
        (INTEL.format("avx512_bf16"), torch.bfloat16, "avx512_bf16"),
        (INTEL.format("avx512_vnni"), torch.float32, "no instructions"),
        (ARM.format("svebf16 i8mm bf16"), torch.bfloat16, "bf16"),
        (ARM.format("svebf16"), torch.float32, "no instructions"),
        ("", torch.float32, "no instructions"),
    ],
)
def test_cpu_takes_bf16_where_it_has_instructions(
    facts: str, expected: torch.dtype, because: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(facts)
    monkeypatch.setattr(device, "_CPU_FACTS", tmp_path / "cpuinfo")
    assert choose_precision("cpu") == expected
    assert because in precision_with_reason("cpu")[1]


def test_without_linux_pytorch_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_CPU_FACTS", tmp_path / "nothing")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert choose_precision("cpu") == torch.bfloat16
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert choose_precision("cpu") == torch.float32


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((12, 0), "bf16")],
)
def test_gpu_takes_what_its_tensor_cores_know(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    name, reason = precision_with_reason("cuda")
    assert name == expected
    assert "Some GPU" in reason


def test_other_devices_are_taken_for_what_was_tried() -> None:
    assert precision_with_reason("mps")[0] == "fp32"


def test_what_is_asked_for_is_taken() -> None:
    for name, number in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        assert choose_precision("cpu", name) == number
    with pytest.raises(BadCall, match="auto, fp32, bf16, fp16"):
        choose_precision("cpu", "int8")


def test_this_machine_runs_what_is_chosen_for_it() -> None:
    kind = choose_device("auto")
    number = choose_precision(kind)
    ones = torch.ones((8, 8), dtype=number, device=kind)
    assert (ones @ ones).float().cpu().unique().tolist() == [8.0]
