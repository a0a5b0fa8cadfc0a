# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fasthmr.encoder import merge_operator
from fasthmr.encoder.merge_operator import merge_tokens, operator_state
from fasthmr.encoder.merge_reference import merge_tokens_reference, on_grid
from tests.encoder.merge_cases import Case, assert_same_merge, grid_key, naive_merge, random_case

operator = torch.ops.fasthmr.merge_tokens
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")

IMPLEMENTATIONS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "operator": merge_tokens,
    "reference": merge_tokens_reference,
}
SHAPES = [
    ((3, 24, 7, 9), 5),
    ((2, 25, 16, 16), 12),
    ((4, 2, 3, 5), 1),
    ((2, 65, 10, 33), 32),
    ((1, 48, 12, 80), 17),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def merge(request: pytest.FixtureRequest) -> Callable[..., tuple[Tensor, ...]]:
    return IMPLEMENTATIONS[request.param]


@pytest.mark.parametrize(("shape", "count"), SHAPES)
@pytest.mark.parametrize("ties", [False, True], ids=["random", "ties"])
@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "plain"])
def test_merges_as_the_loops_do(
    merge: Callable[..., tuple[Tensor, ...]],
    shape: tuple[int, int, int, int],
    count: int,
    ties: bool,
    weighted: bool,
) -> None:
    for seed in range(4):
        case = random_case(seed, shape, count, ties=ties, levels=1 + seed % 3, weighted=weighted)
        assert_same_merge(merge(*case.arguments), naive_merge(case))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_merges_every_type(merge: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype) -> None:
    case = random_case(5, (2, 30, 24, 16), 11, dtype=dtype)
    found = merge(*case.arguments)
    assert found[0].dtype == dtype
    assert_same_merge(found, naive_merge(case))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_measures_similarity_in_every_type(
    merge: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype
) -> None:
    case = random_case(6, (2, 30, 4, 16), 11)
    case = Case(case.tokens, case.metric.to(dtype), case.sizes, case.levels, case.count)
    assert_same_merge(merge(*case.arguments), naive_merge(case))


def test_operator_and_reference_agree_at_full_size() -> None:
    for seed, ties in ((1, False), (2, True)):
        case = random_case(seed, (4, 192, 96, 80), 40, ties=ties)
        assert_same_merge(merge_tokens(*case.arguments), merge_tokens_reference(*case.arguments))


def test_keys_on_the_grid_are_those_of_the_specification() -> None:
    generator = torch.Generator().manual_seed(8)
    keys = torch.randn(1, 400, 80, generator=generator)
    keys *= torch.exp2(torch.randint(-90, 90, (1, 400, 1), generator=generator))
    keys[0, 0], keys[0, 1], keys[0, 2, 3] = 0, torch.inf, torch.nan
    keys[0, 3] = 2.0**-110
    keys[0, 4] = torch.finfo(torch.float32).max
    keys[0, 5, 1:] = 0
    found = on_grid(keys)
    assert found[0].tolist() == [grid_key(key) for key in keys[0].tolist()]
    assert found.abs().max() <= 2048


def test_cosine_and_grid_order_pairs_alike_but_for_near_ties() -> None:
    generator = torch.Generator().manual_seed(9)
    keys = torch.randn(1, 128, 80, generator=generator)
    grid = on_grid(keys).double()
    exact = torch.nn.functional.normalize(keys.double(), dim=-1)
    difference = (grid @ grid.mT) / 2048.0**2 - exact @ exact.mT
    assert difference.abs().max() < 1.5e-3  # what rounding to float16 does to a cosine is as much


def test_nothing_changes_without_a_merge(merge: Callable[..., tuple[Tensor, ...]]) -> None:
    case = random_case(10, (2, 9, 5, 4), 0)
    tokens, sizes, levels, assignment, forced = merge(*case.arguments)
    assert torch.equal(tokens, case.tokens)
    assert torch.equal(sizes, case.sizes)
    assert torch.equal(levels, case.levels)
    assert assignment.tolist() == [list(range(9))] * 2
    assert forced.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (0, 6, 3, 4), (1, 0, 3, 4)])
def test_batches_with_nothing_to_merge(
    merge: Callable[..., tuple[Tensor, ...]], shape: tuple[int, int, int, int]
) -> None:
    case = random_case(11, shape, 0)
    assert torch.equal(merge(*case.arguments)[0], case.tokens)


def test_constant_tokens_merge_by_index(merge: Callable[..., tuple[Tensor, ...]]) -> None:
    case = Case(torch.ones(1, 8, 3), torch.zeros(1, 8, 4), torch.ones(1, 8), torch.zeros(1, 8).byte(), 2)
    tokens, sizes, _, assignment, _ = merge(*case.arguments)
    assert torch.equal(tokens, torch.ones(1, 6, 3))
    assert assignment.tolist() == [[0, 0, 0, 1, 2, 3, 4, 5]]
    assert sizes.tolist() == [[3, 1, 1, 1, 1, 1]]


def test_background_merges_first_and_the_rest_is_counted(merge: Callable[..., tuple[Tensor, ...]]) -> None:
    case = random_case(12, (3, 40, 6, 8), 20, levels=3)
    found = merge(*case.arguments)
    assert_same_merge(found, naive_merge(case))
    for count in range(20):
        _, _, _, assignment, forced = merge(*case.arguments[:4], count, True)
        for image in range(3):
            level = case.levels[image]
            groups = [level[assignment[image] == group] for group in range(40 - count)]
            touched = sum(int(len(group) > 1 and group.amax() > 0) for group in groups)
            assert (forced[image] > 0) == (touched > 0)


def test_nothing_that_is_not_finite_spreads(merge: Callable[..., tuple[Tensor, ...]]) -> None:
    case = random_case(13, (1, 20, 6, 8), 6)
    case.tokens[0, 4, 2] = torch.nan
    case.metric[0, 7, 1] = torch.inf
    found = merge(*case.arguments)
    assert_same_merge(found, naive_merge(case))
    assert int(found[0].isnan().any(dim=-1).sum()) == 1


def test_takes_tensors_that_are_not_contiguous(merge: Callable[..., tuple[Tensor, ...]]) -> None:
    case = random_case(14, (3, 22, 6, 8), 7)
    strided = [
        value.transpose(0, 1).contiguous().transpose(0, 1)
        for value in (case.tokens, case.metric, case.sizes, case.levels)
    ]
    assert not strided[0].is_contiguous()
    assert_same_merge(merge(*strided, 7, True), naive_merge(case))


def test_tokens_without_a_partner_are_kept_bit_for_bit() -> None:
    case = random_case(15, (2, 32, 16, 8), 5, dtype=torch.bfloat16)
    tokens, _, _, assignment, _ = merge_tokens(*case.arguments)
    for image in range(2):
        for place in range(27):
            members = (assignment[image] == place).nonzero()[:, 0]
            if len(members) == 1:
                assert torch.equal(tokens[image, place], case.tokens[image, members[0]])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    case = random_case(16, (3, 64, 32, 16), 20)
    expected = merge_tokens(*case.arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = merge_tokens(*case.arguments)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# --- what PyTorch wants of an operator


@pytest.mark.parametrize("weighted", [True, False])
def test_opcheck(weighted: bool) -> None:
    case = random_case(17, (2, 20, 6, 8), 7, weighted=weighted)
    torch.library.opcheck(operator, (case.tokens.requires_grad_(), *case.arguments[1:]))


@pytest.mark.parametrize("weighted", [True, False])
def test_gradient_is_that_of_the_means(weighted: bool) -> None:
    case = random_case(18, (2, 14, 3, 6), 5, dtype=torch.float64, weighted=weighted)

    def tokens_of(tokens: Tensor) -> Tensor:
        return operator(tokens, *case.arguments[1:])[0]

    assert torch.autograd.gradcheck(tokens_of, (case.tokens.requires_grad_(),))


def test_compiles_as_a_whole() -> None:
    case = random_case(19, (2, 24, 8, 8), 7)

    def twice(tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        merged, sizes, levels, assignment, _ = merge_tokens(tokens * 2, metric, sizes, levels, 7)
        return merged + 1, assignment

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    for found, expected in zip(compiled(*case.arguments[:4]), twice(*case.arguments[:4]), strict=True):
        assert torch.equal(found, expected)


def test_works_under_autocast() -> None:
    case = random_case(20, (2, 192, 8, 80), 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = merge_tokens_reference(*case.arguments)
    assert_same_merge(found, merge_tokens_reference(*case.arguments))


def test_shapes_are_known_without_numbers() -> None:
    with torch.device("meta"):
        found = merge_tokens(
            torch.empty(2, 10, 4, dtype=torch.float16),
            torch.empty(2, 10, 3),
            torch.empty(2, 10),
            torch.empty(2, 10, dtype=torch.uint8),
            4,
        )
    assert [tuple(one.shape) for one in found] == [(2, 6, 4), (2, 6), (2, 6), (2, 10), (2,)]
    assert [one.dtype for one in found] == [
        torch.float16,
        torch.float32,
        torch.uint8,
        torch.int64,
        torch.int32,
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 6}, "possible are 0 to 5"),
        ({"count": -1}, "possible are 0 to 5"),
        ({"metric": torch.zeros(2, 9, 4)}, "metric"),
        ({"sizes": torch.zeros(2, 10, dtype=torch.float64)}, "sizes must be float32"),
        ({"levels": torch.zeros(2, 10)}, "levels must be uint8"),
        ({"tokens": torch.zeros(2, 10, 3, dtype=torch.int64)}, "cannot be merged"),
        ({"tokens": torch.zeros(10, 3)}, "tokens"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, object], said: str) -> None:
    case = random_case(21, (2, 10, 3, 4), 2)
    arguments = {
        "tokens": case.tokens,
        "metric": case.metric,
        "sizes": case.sizes,
        "levels": case.levels,
        "count": 2,
        **change,
    }
    with pytest.raises(RuntimeError, match=said):
        merge_tokens(**arguments)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="merge_tokens"):
        merge_operator._checked_reference(**arguments, weighted=True)  # type: ignore[arg-type]


# --- loading


def test_says_what_it_runs_on() -> None:
    compiled = (merge_operator.COMPILED / "stamp.json").exists()
    assert operator_state().startswith("compiled for the CPU" if compiled else "plain PyTorch: it is not")


def write_stamp(folder: Path, **changes: object) -> None:
    stamp = {"torch": torch.__version__, "machine": f"{sys.platform} {merge_operator.platform.machine()}"}
    (folder / "stamp.json").write_text(json.dumps({**stamp, **changes}))


def test_a_library_for_another_pytorch_is_not_loaded(tmp_path: Path) -> None:
    assert merge_operator.why_not_loadable(tmp_path) == "it is not compiled"
    write_stamp(tmp_path)
    assert merge_operator.why_not_loadable(tmp_path) == "its library is missing"
    (tmp_path / "fasthmr_operator.so").touch()
    assert merge_operator.why_not_loadable(tmp_path) is None
    write_stamp(tmp_path, torch="2.5.1")
    assert "compiled for torch 2.5.1" in str(merge_operator.why_not_loadable(tmp_path))
    (tmp_path / "stamp.json").write_text("[")
    assert "damaged" in str(merge_operator.why_not_loadable(tmp_path))
    (tmp_path / "stamp.json").write_text("[]")
    assert "compiled for torch None" in str(merge_operator.why_not_loadable(tmp_path))


def test_plain_pytorch_stands_in_where_nothing_is_compiled(tmp_path: Path) -> None:
    """In a process of its own: an operator can be registered once only."""
    source = Path(merge_operator.__file__).read_text(encoding="utf-8")
    (tmp_path / "merge_alone.py").write_text(source, encoding="utf-8")  # beside no folder "compiled"
    script = (
        "import logging\n"
        "logging.basicConfig(level=logging.INFO, format='LOG %(message)s')\n"
        "import merge_alone, torch\n"
        "from tests.encoder.merge_cases import random_case, naive_merge, assert_same_merge\n"
        "case = random_case(1, (2, 30, 6, 8), 9)\n"
        "assert_same_merge(merge_alone.merge_tokens(*case.arguments), naive_merge(case))\n"
        "torch.library.opcheck(torch.ops.fasthmr.merge_tokens, case.arguments)\n"
        "print(merge_alone.operator_state())\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plain PyTorch: it is not compiled")
    assert done.stderr.count("LOG Tokens are merged in plain PyTorch") == 1


# --- on a GPU


@GPU
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("count", [0, 1, 40, 96])
def test_gpu_merges_as_the_reference(dtype: torch.dtype, count: int) -> None:
    for ties in (False, True):
        case = random_case(22, (5, 193, 72, 80), count, ties=ties, dtype=dtype)
        moved = [value.cuda() for value in case.arguments[:4]]
        assert_same_merge(merge_tokens(*moved, count), merge_tokens_reference(*case.arguments))


@GPU
def test_gpu_graph_replays_a_merge() -> None:
    case = random_case(23, (4, 192, 64, 80), 40)
    moved = [value.cuda() for value in case.arguments[:4]]
    stream = torch.cuda.Stream()
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


@GPU
def test_gpu_opcheck() -> None:
    case = random_case(25, (2, 20, 8, 8), 7)
    torch.library.opcheck(operator, (*(value.cuda() for value in case.arguments[:4]), 7, True))


def test_import_is_silent_when_compiled(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fasthmr.encoder.merge_operator"):
        merge_tokens(*random_case(26, (1, 4, 2, 2), 1).arguments)
    assert not caplog.records
