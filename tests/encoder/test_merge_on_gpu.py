# SPDX-License-Identifier: Apache-2.0
"""The operator on a real GPU; without one, tests/cuda_ext runs the same kernel on threads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.merge_operator import _fits_kernel, merge_tokens, operator_state
from fasthmr.encoder.merge_reference import merge_tokens_reference
from tests.encoder.merge_cases import Case, assert_same_merge, naive_merge, random_case

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
ROOT = Path(__file__).resolve().parents[2]
SANITIZER = shutil.which("compute-sanitizer")


@pytest.fixture
def compiled() -> None:
    if "GPU" not in operator_state() or operator_state().startswith("plain"):
        pytest.skip(f"the operator is {operator_state()}")


def on_gpu(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return case.tokens.cuda(), case.metric.cuda(), case.sizes.cuda(), case.levels.cuda()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("count", [0, 1, 40, 96])
@pytest.mark.parametrize("batch", [1, 5, 300])
def test_merges_as_the_reference_on_the_cpu(dtype: torch.dtype, count: int, batch: int) -> None:
    for ties in (False, True):
        case = random_case(22, (batch, 193, 24, 80), count, ties=ties, dtype=dtype, weighted=not ties)
        found = merge_tokens(*on_gpu(case), count, case.weighted)
        assert found.tokens.is_cuda
        assert_same_merge(found, merge_tokens_reference(*case.arguments))


def test_the_reference_chooses_the_same_pairs_on_the_gpu() -> None:
    case = random_case(26, (8, 192, 16, 80), 40, ties=True, levels=3)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        found = merge_tokens_reference(*on_gpu(case), 40, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert_same_merge(found, merge_tokens_reference(*case.arguments))


@pytest.mark.parametrize(
    "channels", [7, 12]
)  # rows that do not come in packs of 16 bytes, and do not start so
def test_rows_of_any_length_and_place(channels: int) -> None:
    case = random_case(27, (3, 40, channels, 16), 13)
    room = torch.empty(case.tokens.numel() + 1, device="cuda")
    shifted = room[1:].view(case.tokens.shape).copy_(case.tokens)
    assert_same_merge(merge_tokens(shifted, *on_gpu(case)[1:], 13), naive_merge(case))


def test_what_the_kernel_has_no_memory_for_goes_to_the_reference() -> None:
    case = random_case(28, (2, 1094, 8, 20), 200)
    assert not _fits_kernel(case.tokens, case.metric)
    assert_same_merge(merge_tokens(*on_gpu(case), 200), merge_tokens_reference(*case.arguments))


def test_graph_replays_a_merge(compiled: None) -> None:
    case = random_case(23, (4, 192, 64, 80), 40)
    moved = on_gpu(case)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        merge_tokens(*moved, 40)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = merge_tokens(*moved, 40)
    other = random_case(24, (4, 192, 64, 80), 40)
    for place, value in zip(moved, other.arguments[:4], strict=True):
        place.copy_(value)
    graph.replay()
    torch.cuda.synchronize()
    assert_same_merge(found, naive_merge(other))


def test_opcheck() -> None:
    case = random_case(25, (2, 20, 8, 8), 7)
    tokens, *others = on_gpu(case)
    torch.library.opcheck(torch.ops.fasthmr.merge_tokens, (tokens.requires_grad_(), *others, 7, True))


@pytest.mark.slow
def test_compiles_as_a_whole() -> None:
    case = random_case(29, (2, 24, 8, 8), 7)

    def twice(tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        once = merge_tokens(tokens * 2, metric, sizes, levels, 7)
        again = merge_tokens(once.tokens * 3, metric[:, :17], once.sizes, once.levels, 3)
        return again.tokens + 1, again.assignment

    found = torch.compile(twice, fullgraph=True, mode="reduce-overhead")(*on_gpu(case))
    for one, expected in zip(found, twice(*case.arguments[:4]), strict=True):
        torch.testing.assert_close(one.cpu(), expected)


def test_follows_the_current_stream(compiled: None) -> None:
    """What an earlier kernel of the same stream writes is merged, without waiting for it."""
    case = random_case(30, (8, 192, 64, 80), 40)
    tokens, *others = on_gpu(case)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        late = torch.zeros_like(tokens)
        torch.cuda._sleep(50_000_000)
        late.copy_(tokens)
        found = merge_tokens(late, *others, 40)
    torch.cuda.synchronize()
    assert_same_merge(found, merge_tokens_reference(*case.arguments))


@pytest.mark.slow
@pytest.mark.skipif(SANITIZER is None, reason="there is no compute-sanitizer")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_sanitizer_finds_nothing(tool: str, compiled: None) -> None:
    script = (
        "from tests.encoder.test_merge_on_gpu import *\n"
        "for shape, count in (((2, 192, 16, 80), 40), ((3, 33, 7, 9), 16)):\n"
        "    case = random_case(31, shape, count, levels=3)\n"
        "    assert_same_merge(merge_tokens(*on_gpu(case), count), naive_merge(case))\n"
    )
    command = [str(SANITIZER), "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
