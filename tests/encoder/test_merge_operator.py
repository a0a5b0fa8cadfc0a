# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fasthmr.encoder import merge_operator, merge_reference
from fasthmr.encoder.merge_operator import merge_tokens, operator_state
from fasthmr.encoder.merge_reference import merge_tokens_reference, on_grid, partners
from tests.encoder.merge_cases import Case, assert_same_merge, grid_key, naive_merge, random_case

operator = torch.ops.fasthmr.merge_tokens

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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler for torch.compile")
def test_compiled_code_merges_twice_and_backwards() -> None:
    """With PyTorch's own compiler, for batches of any size, gradient included."""

    def twice(tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        once = merge_tokens(tokens * 2, metric, sizes, levels, 7)
        again = merge_tokens(once.tokens.sin(), once.tokens, once.sizes, once.levels, 3)
        return again.tokens + 1, again.assignment

    compiled = torch.compile(twice, fullgraph=True, dynamic=True)
    for batch in (2, 3):
        case = random_case(batch, (batch, 24, 8, 8), 7)
        gradients = []
        for way in (compiled, twice):
            tokens = case.tokens.clone().requires_grad_()
            merged, assignment = way(tokens, *case.arguments[1:4])
            merged.square().sum().backward()
            assert tokens.grad is not None
            gradients.append((merged.detach(), assignment, tokens.grad))
        assert torch.equal(gradients[0][1], gradients[1][1])
        torch.testing.assert_close(gradients[0], gradients[1])


class NoFloat64(TorchDispatchMode):
    """Refuses what Apple's GPUs refuse."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            assert not (isinstance(one, Tensor) and one.dtype == torch.float64), func
        return result


def test_nothing_but_the_choice_of_pairs_needs_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Apple's GPUs, which lack it, merge by pairs that the CPU chose."""
    case = random_case(27, (3, 40, 6, 8), 13, levels=3)
    expected, pairs = merge_tokens_reference(*case.arguments), partners(case.metric, case.levels, case.count)
    with pytest.raises(AssertionError), NoFloat64():
        partners(case.metric, case.levels, case.count)
    monkeypatch.setattr(merge_reference, "partners", lambda *arguments: pairs)
    with NoFloat64():
        found = merge_tokens_reference(*case.arguments)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


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
        ({"metric": torch.zeros(2, 10, 4097)}, "too large"),
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
    def reason() -> str | None:
        return merge_operator.why_not_loadable(tmp_path, sources=tmp_path / "installed without them")

    assert reason() == "it is not compiled"
    write_stamp(tmp_path)
    assert reason() == "its library is missing"
    (tmp_path / "fasthmr_operator.so").touch()
    assert reason() is None
    write_stamp(tmp_path, torch="2.5.1")
    assert "compiled for torch 2.5.1" in str(reason())
    (tmp_path / "stamp.json").write_text("[")
    assert "damaged" in str(reason())
    (tmp_path / "stamp.json").write_text("[]")
    assert "compiled for torch None" in str(reason())


def test_a_library_of_older_sources_is_not_loaded(tmp_path: Path) -> None:
    sources = tmp_path / "cuda_ext"
    sources.mkdir()
    (sources / "kernel.cpp").write_text("one")
    (tmp_path / "fasthmr_operator.so").touch()
    write_stamp(tmp_path, sources=merge_operator.source_hash(sources))
    assert merge_operator.why_not_loadable(tmp_path, sources) is None
    (sources / "kernel.cpp").write_text("two")
    assert "sources have changed" in str(merge_operator.why_not_loadable(tmp_path, sources))


def run_alone(folder: Path, module: str, *lines: str) -> subprocess.CompletedProcess[str]:
    """Use the operator in a process of its own (it is registered once only), its log on standard error."""
    script = [
        "import logging",
        "logging.basicConfig(level=logging.INFO, format='LOG %(name)s: %(message)s')",
        f"import torch, {module} as operator",
        "from tests.encoder.merge_cases import random_case, naive_merge, assert_same_merge",
        "case = random_case(1, (2, 30, 6, 8), 9)",
        "assert_same_merge(operator.merge_tokens(*case.arguments), naive_merge(case))",
        *lines,
        "print(operator.operator_state())",
    ]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(root)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_plain_pytorch_stands_in_where_nothing_is_compiled(tmp_path: Path) -> None:
    source = Path(merge_operator.__file__).read_text(encoding="utf-8")
    (tmp_path / "merge_alone.py").write_text(source, encoding="utf-8")  # beside no folder "compiled"
    checked = "torch.library.opcheck(torch.ops.fasthmr.merge_tokens, case.arguments)"
    done = run_alone(tmp_path, "merge_alone", checked)
    assert done.stdout.startswith("plain PyTorch: it is not compiled")
    assert done.stderr.count("LOG merge_alone: Tokens are merged in plain PyTorch") == 1


def test_a_compiled_operator_is_silent(tmp_path: Path) -> None:
    if not operator_state().startswith("compiled"):
        pytest.skip("the operator is not compiled here")
    done = run_alone(tmp_path, "fasthmr.encoder.merge_operator")
    assert done.stdout.startswith("compiled for the CPU")
    assert "LOG fasthmr" not in done.stderr
