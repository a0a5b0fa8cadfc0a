# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fasthmr.encoder import merge_operator

KERNELS = Path(__file__).resolve().parents[2] / "cuda_ext"
NVCC = shutil.which("nvcc")
# Turing (RTX 20), Ampere (A100, RTX 30), Ada (RTX 40), Hopper, Blackwell (B200, RTX 50).
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_extension", KERNELS / "build_extension.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cuda_kernel_compiles(architecture: int, tmp_path: Path) -> None:
    made = tmp_path / "kernel.o"
    done = subprocess.run(
        [
            *(str(NVCC), "-std=c++17", "-O3", "-Werror", "all-warnings", "-Xptxas", "-v"),
            *(f"-gencode=arch=compute_{architecture},code=sm_{architecture}", "-c"),
            *(str(KERNELS / "merge_tokens_cuda.cu"), "-o", str(made)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unsupported gpu architecture" in done.stderr:
        pytest.skip(f"this nvcc does not know sm_{architecture}")
    assert done.returncode == 0, done.stderr
    assert made.stat().st_size > 0
    spills = [line for line in done.stderr.splitlines() if "spill" in line]
    assert spills
    assert all("0 bytes spill stores, 0 bytes spill loads" in line for line in spills)


@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
def test_cuda_part_of_the_binding_compiles(tmp_path: Path) -> None:
    """With the headers that every PyTorch carries; linking it needs a PyTorch for CUDA."""
    from torch.utils import cpp_extension

    (tmp_path / "empty.cu").touch()
    plan = subprocess.run(
        [str(NVCC), "--dryrun", "-c", str(tmp_path / "empty.cu")], capture_output=True, text=True, check=True
    )
    top = re.search(r"^#\$ TOP=(.*)$", plan.stderr, flags=re.MULTILINE)
    assert top
    home = Path(top[1])
    places = [home / "include", *sorted((home / "targets").glob("*/include"))]
    include = next((place for place in places if (place / "cuda_runtime_api.h").exists()), None)
    if include is None:
        pytest.skip("nvcc is there without the headers of the CUDA runtime")
    if not (Path(torch.__file__).parent / "include/c10/cuda/impl/cuda_cmake_macros.h").exists():
        (tmp_path / "c10/cuda/impl").mkdir(parents=True)  # only a PyTorch for CUDA has this one, of defines
        (tmp_path / "c10/cuda/impl/cuda_cmake_macros.h").write_text("#pragma once\n")
    flags = [f"-I{path}" for path in [*cpp_extension.include_paths(), str(include), str(tmp_path)]]
    compiler = shutil.which("c++") or "g++"
    done = subprocess.run(
        [
            *(compiler, "-std=c++20", "-fsyntax-only", "-DFASTHMR_WITH_CUDA"),
            *(*flags, str(KERNELS / "operator.cpp")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:3000]


def test_compiled_library_is_that_of_these_sources(builder: ModuleType) -> None:
    if not builder.has_compiler():
        pytest.skip("there is no C++ compiler")
    stamp = json.loads((merge_operator.COMPILED / "stamp.json").read_text(encoding="utf-8"))
    assert stamp["sources"] == builder.source_hash(), "run `python build.py setup`"
    assert stamp["torch"] == torch.__version__
    assert merge_operator.operator_state().startswith("compiled for the CPU")


def test_builder_and_loader_agree_on_the_sources(builder: ModuleType) -> None:
    assert builder.source_hash() == merge_operator.source_hash(merge_operator.SOURCES)
    assert merge_operator.SOURCES == KERNELS


def test_another_pytorch_or_toolkit_is_another_build(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed() -> str:
        assert builder.main(["--made-from"]) == 0
        return capsys.readouterr().out

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    before = printed()
    assert before == printed()
    assert torch.__version__ in before
    nvcc = tmp_path / "cuda/bin/nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.touch(mode=0o755)
    with_nvcc = printed()
    assert with_nvcc != before
    monkeypatch.setattr(builder.importlib.metadata, "version", lambda name: "9.9")
    assert printed() != with_nvcc


def test_without_a_compiler_one_line_says_what_that_means(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builder, "has_compiler", lambda: False)
    assert builder.main(["--into", str(tmp_path / "compiled")]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "plain PyTorch" in said.err
    assert not (tmp_path / "compiled").exists()


def test_where_cuda_fails_the_cpu_part_is_made(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def compile_apart(into: Path, cuda: bool, verbose: bool) -> subprocess.CompletedProcess[str]:
        tried.append(cuda)
        return subprocess.CompletedProcess([], int(cuda), "", "nvcc fatal: no such thing\n")

    monkeypatch.setattr(builder, "has_compiler", lambda: True)
    monkeypatch.setattr(builder, "why_no_cuda", lambda: None)
    monkeypatch.setattr(builder, "_compile_apart", compile_apart)
    assert builder.main(["--into", str(tmp_path)]) == 0
    assert tried == [True, False]
    assert "nvcc fatal" in capsys.readouterr().err


def test_a_compiler_that_fails_leaves_no_library(builder: ModuleType, tmp_path: Path) -> None:
    if not builder.has_compiler():
        pytest.skip("there is no C++ compiler")
    folder = tmp_path / "cuda_ext"
    shutil.copytree(KERNELS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "merge_tokens_cpu.cpp").write_text("#error broken on purpose\n")
    (folder / "operator.cpp").write_text("int nothing;\n")
    into = tmp_path / "compiled"
    spec = importlib.util.spec_from_file_location("broken_build", folder / "build_extension.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(["--into", str(into)]) == 1
    assert list(into.iterdir()) == []
