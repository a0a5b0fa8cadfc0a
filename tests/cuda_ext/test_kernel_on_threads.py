# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernel's own source, compiled for the host and run on threads: no GPU is needed to test it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fasthmr.encoder import merge_operator
from fasthmr.encoder.merge_reference import merge_tokens_reference
from tests.encoder.merge_cases import Case, assert_same_merge, naive_merge, random_case

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "cuda_ext"
COMPILER = shutil.which("g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="there is no g++ to compile the kernel with"),
]


def compiled(folder: Path, *flags: str, kernel: str | None = None) -> Path:
    """Compile the kernel for the host; ``kernel`` stands in for its source."""
    source = HERE / "run_kernel.cpp"
    if kernel is not None:
        tree = folder / "tests/cuda_ext"
        tree.mkdir(parents=True)
        for path in (source, HERE / "cuda_on_threads.h"):
            shutil.copy2(path, tree)
        (folder / "cuda_ext").mkdir()
        shutil.copy2(KERNELS / "merge_tokens.h", folder / "cuda_ext")
        (folder / "cuda_ext/merge_tokens_kernel.cuh").write_text(kernel, encoding="utf-8")
        source = tree / source.name
    program = folder / "run_kernel"
    command = [str(COMPILER), "-std=c++17", "-Wno-unknown-pragmas", "-pthread", *flags]
    done = subprocess.run(
        [*command, str(source), "-o", str(program)], capture_output=True, text=True, check=False
    )
    if done.returncode and "sanitize" in " ".join(flags) and "cannot find" in done.stderr:
        pytest.skip(f"this g++ has no library for {' '.join(flags)}")
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("kernel"), "-O2", "-Wall", "-Werror")


def run(program: Path, case: Case, slices: int, folder: Path) -> subprocess.CompletedProcess[str]:
    half = case.tokens.dtype == torch.bfloat16
    batch, length, channels = case.tokens.shape
    packed = channels % (8 if half else 4) == 0
    width = case.metric.shape[2]
    head = [batch, length, channels, width, case.count, case.weighted, slices, packed, half]
    tokens = case.tokens.view(torch.int16) if half else case.tokens
    arrays = [np.array(head, np.int32), *(one.numpy() for one in (tokens, *case.arguments[1:4]))]
    (folder / "arguments").write_bytes(b"".join(array.tobytes() for array in arrays))
    command = [str(program), str(folder / "arguments"), str(folder / "results")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def results(case: Case, folder: Path) -> tuple[Tensor, ...]:
    half = case.tokens.dtype == torch.bfloat16
    batch, length, channels = case.tokens.shape
    left = length - case.count
    raw = (folder / "results").read_bytes()
    found, at = [], 0
    for kind, shape in (
        (np.int16 if half else np.float32, (batch, left, channels)),
        (np.float32, (batch, left)),
        (np.uint8, (batch, left)),
        (np.int64, (batch, length)),
        (np.int32, (batch,)),
    ):
        count = int(np.prod(shape))
        array = np.frombuffer(raw, kind, count, at).reshape(shape)
        at += array.nbytes
        found.append(torch.from_numpy(array.copy()))
    assert at == len(raw)
    return (found[0].view(torch.bfloat16) if half else found[0], *found[1:])


@pytest.mark.parametrize(
    ("shape", "count", "slices"),
    [
        ((2, 20, 16, 12), 5, 2),
        ((1, 33, 7, 7), 16, 3),  # rows that do not come in packs
        ((1, 192, 16, 80), 40, 4),  # the published networks' tokens and keys
        ((1, 201, 8, 64), 100, 1),  # more than one tile of scores
        ((2, 12, 8, 4), 0, 1),
        ((1, 1, 8, 4), 0, 1),
    ],
)
@pytest.mark.parametrize("ties", [False, True], ids=["random", "ties"])
def test_kernel_merges_as_the_loops_do(
    program: Path, tmp_path: Path, shape: tuple[int, int, int, int], count: int, slices: int, ties: bool
) -> None:
    case = random_case(31, shape, count, ties=ties, levels=3, weighted=not ties)
    done = run(program, case, slices, tmp_path)
    assert done.returncode == 0, done.stderr
    found = results(case, tmp_path)
    assert_same_merge(found, naive_merge(case))
    assert_same_merge(found, merge_tokens_reference(*case.arguments))


def test_kernel_merges_half_precision(program: Path, tmp_path: Path) -> None:
    case = random_case(32, (2, 40, 24, 16), 13, dtype=torch.bfloat16)
    assert run(program, case, 2, tmp_path).returncode == 0
    assert_same_merge(results(case, tmp_path), naive_merge(case))


def test_kernel_stands_constant_and_damaged_keys(program: Path, tmp_path: Path) -> None:
    case = random_case(33, (2, 24, 8, 6), 9, levels=1)
    case.metric[0] = 1.0
    case.metric[1, 3, 2] = torch.nan
    case.metric[1, 4] = 2.0**-120
    case.levels[1] = 1  # everything is protected
    assert run(program, case, 2, tmp_path).returncode == 0
    assert_same_merge(results(case, tmp_path), naive_merge(case))


def test_kernel_is_asked_only_for_what_its_memory_holds(program: Path) -> None:
    """The wrapper computes the kernel's shared memory as the kernel does, and knows where it ends."""
    limit = merge_operator._CUDA_SHARED_BYTES
    for length, width in ((192, 80), (193, 80), (199, 80), (200, 80), (1094, 20), (1771, 7), (7282, 1)):
        said = subprocess.run(
            [str(program), str(length), str(width), "bytes"], capture_output=True, text=True, check=True
        )
        tokens, metric = torch.empty(1, length, 4), torch.empty(1, length, width)
        assert merge_operator._fits_kernel(tokens, metric) == (int(said.stdout) <= limit), (length, width)
    assert merge_operator._fits_kernel(torch.empty(1, 192, 1280), torch.empty(1, 192, 80))


SMALL = ((2, 33, 16, 12), 11)


def test_threads_of_the_kernel_do_not_race(tmp_path: Path) -> None:
    case = random_case(34, *SMALL, levels=3)
    done = run(compiled(tmp_path, "-O1", "-g", "-fsanitize=thread"), case, 2, tmp_path)
    assert "WARNING: ThreadSanitizer" not in done.stderr, done.stderr[:3000]
    if "FATAL: ThreadSanitizer" in done.stderr:  # its own trouble with this system's address space
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0
    assert_same_merge(results(case, tmp_path), naive_merge(case))


def test_a_missing_barrier_is_noticed(tmp_path: Path) -> None:
    """The test above can fail: without its second barrier the kernel races."""
    source = (KERNELS / "merge_tokens_kernel.cuh").read_text(encoding="utf-8")
    parts = source.split("__syncthreads();")
    assert len(parts) == 5
    broken = "__syncthreads();".join(parts[:2]) + parts[2] + "__syncthreads();" + parts[3] + parts[4]
    program = compiled(tmp_path, "-O1", "-g", "-fsanitize=thread", kernel=broken)
    done = run(program, random_case(34, *SMALL, levels=3), 2, tmp_path)
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert "data race" in done.stderr


def test_kernel_stays_inside_its_memory(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for seed, (shape, count) in enumerate([SMALL, ((1, 64, 9, 33), 32)]):
        case = random_case(seed, shape, count, levels=2)
        done = run(program, case, 2, tmp_path)
        assert done.returncode == 0, done.stderr[:3000]
        assert_same_merge(results(case, tmp_path), naive_merge(case))
