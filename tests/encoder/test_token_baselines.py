# SPDX-License-Identifier: Apache-2.0
"""Dropping and pooling background, against loops; and what every way to fewer tokens promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.token_baselines import REDUCTIONS, DropBackground, PoolBackground, reduction_named
from fasthmr.encoder.token_merging import TokenReduction, TokenState
from fasthmr.errors import BadCall

PATCHES, COLUMNS = 192, 12


def blob(seed: int, reach: float) -> Tensor:
    """(192,) levels: patches within a distance of a random place are the person's."""
    generator = torch.Generator().manual_seed(seed)
    row, column = (torch.rand(2, generator=generator) * torch.tensor([16, 12])).tolist()
    return torch.tensor(
        [math.hypot(at // COLUMNS - row, at % COLUMNS - column) < reach for at in range(PATCHES)]
    ).to(torch.uint8)


def crops(seed: int, reaches: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(reaches), PATCHES, 6, generator=generator, dtype=torch.float64)
    metric = torch.randn(len(reaches), PATCHES, 4, generator=generator)
    return x, metric, torch.stack([blob(seed + i, reach) for i, reach in enumerate(reaches)])


def reduced(
    reduction: TokenReduction, x: Tensor, metric: Tensor, levels: Tensor | None
) -> tuple[Tensor, TokenState]:
    state = reduction.start(levels, x.shape[0], x.shape[1], x.device)
    for layer in range(4):
        x, state = reduction.reduce(x, metric[:, : x.shape[1]], state, layer)
    return x, state


def apart(one: int, other: int) -> int:
    return (one // COLUMNS - other // COLUMNS) ** 2 + (one % COLUMNS - other % COLUMNS) ** 2


# --- drop


@pytest.mark.parametrize("reach", [0.0, 2.5, 5.0, 7.5, 30.0])
def test_the_farthest_background_drops_first(reach: float) -> None:
    x, metric, levels = crops(1, (reach, reach))
    rest, state = reduced(DropBackground((40, 40, 16)), x, metric, levels)
    centre = 8 * COLUMNS + 6
    for image in range(2):
        person = [at for at in range(PATCHES) if levels[image, at]]

        def far(at: int, person: list[int] = person) -> int:
            nobody = not person or at in person
            return apart(at, centre) if nobody else min(apart(at, one) for one in person)

        kept = list(range(PATCHES))
        forced = 0
        for _ in range(96):
            gone = min(kept, key=lambda at: (int(levels[image, at]), -far(at), at))
            kept.remove(gone)
            forced += int(levels[image, gone])
        assert state.forced[image].item() == forced == max(0, len(person) - 96)
        assert torch.equal(rest[image], x[image, kept])
        assert state.origin[image].tolist() == [kept.index(at) if at in kept else -1 for at in range(PATCHES)]
        assert (state.sizes == 1).all()


# --- pool


def pooled_by_loops(levels: list[int], count: int) -> list[int]:
    """The leader that each patch ends with, after so many joined."""
    person = [at for at in range(PATCHES) if levels[at]]
    centre = 8 * COLUMNS + 6
    far = [min((apart(at, one) for one in person), default=apart(at, centre)) for at in range(PATCHES)]
    leader = list(range(PATCHES))
    alive = set(range(PATCHES))
    for level in (0, 1, 2):
        for side in (2, 4, 8, 16):
            joins = []
            for at in alive:
                square = [
                    one
                    for one in alive
                    if levels[one] == level
                    and one // COLUMNS // side == at // COLUMNS // side
                    and one % COLUMNS // side == at % COLUMNS // side
                ]
                if levels[at] == level and at != min(square):
                    joins.append((-far[at], at, min(square)))
            for _, at, first in sorted(joins)[:count]:
                alive.remove(at)
                leader = [first if one == at else one for one in leader]
            count -= min(count, len(joins))
    return leader


@pytest.mark.parametrize("reach", [0.0, 2.5, 5.0, 7.5, 9.0, 30.0])
def test_pooling_equals_loops(reach: float) -> None:
    x, metric, levels = crops(2, (reach, reach))
    rest, state = reduced(PoolBackground((40, 40, 16)), x, metric, levels)
    for image in range(2):
        leaders = pooled_by_loops(levels[image].tolist(), 96)
        order = sorted(set(leaders))
        assert state.origin[image].tolist() == [order.index(leader) for leader in leaders]
        person = int((levels[image] > 0).sum())
        assert (state.forced[image] > 0) == (person > 95)  # background is one token at least
        for token in range(96):
            members = state.origin[image] == token
            torch.testing.assert_close(rest[image, token], x[image, members].mean(0), rtol=0, atol=1e-12)
            if members.sum() == 1:
                assert torch.equal(rest[image, token], x[image, members][0])
            assert (levels[image, members] == state.levels[image, token]).all()  # classes never mix
            assert state.sizes[image, token] == members.sum()


def test_pooling_in_steps_ends_where_one_step_does() -> None:
    x, metric, levels = crops(3, (3.0, 6.0))
    rest, state = reduced(PoolBackground((40, 40, 16)), x, metric, levels)
    at_once, state_at_once = reduced(PoolBackground((96,)), x, metric, levels)
    assert torch.equal(state.origin, state_at_once.origin)
    torch.testing.assert_close(rest, at_once, rtol=0, atol=1e-12)
    plain, _ = reduced(PoolBackground((40, 40, 16), weighted=False), x, metric, levels)
    assert (plain - rest).abs().max() > 1e-3  # where a square filled up in two steps


def test_a_small_person_leaves_whole_squares_of_background() -> None:
    x, metric, levels = crops(4, (1.5,))
    _, state = reduced(PoolBackground((96,)), x, metric, levels)
    assert set(state.sizes[0].tolist()) <= {1, 2, 3, 4}


# --- all of them


@pytest.mark.parametrize("name", REDUCTIONS)
def test_every_way_keeps_its_promises(name: str) -> None:
    reduction = reduction_named(name)
    x, metric, levels = crops(5, (2.0, 4.0, 30.0))
    extra = torch.randn(3, 2, 6, dtype=torch.float64)
    rest, state = reduced(
        reduction, torch.cat((x, extra), 1), torch.cat((metric, extra[..., :4].float()), 1), levels
    )
    left = 194 if name == "none" else 98
    assert rest.shape == (3, left, 6)
    assert state.sizes.shape == state.levels.shape == (3, left)
    assert state.origin.shape == (3, 194)
    assert state.origin.max() == left - 1
    assert state.forced[:2].tolist() == [0, 0]
    assert (state.forced[2] == 0) == (name == "none")
    kept = state.origin[:, PATCHES:]
    assert torch.equal(rest.gather(1, kept[..., None].expand(-1, -1, 6)), extra)  # what must stay does
    assert reduction.log_size_bias == (name == "merge-log-size")
    assert sum(reduction.count(layer) for layer in range(32)) == 194 - left


@pytest.mark.parametrize("name", ["drop", "pool"])
def test_baselines_compile_in_one_graph_and_permute_with_the_batch(name: str) -> None:
    torch.compiler.reset()
    reduction = reduction_named(name)
    x, metric, levels = crops(6, (2.0, 4.0, 30.0))
    expected, state = reduced(reduction, x, metric, levels)
    compiled = torch.compile(lambda *call: reduced(reduction, *call), fullgraph=True, backend="aot_eager")
    order = torch.tensor([2, 0, 1])
    rest, other = compiled(x[order], metric[order], levels[order])
    assert torch.equal(rest, expected[order])
    assert torch.equal(other.origin, state.origin[order])
    assert torch.equal(other.forced, state.forced[order])


def test_half_precision_pools_in_float32() -> None:
    x, metric, levels = crops(7, (3.0,))
    rest, _ = reduced(PoolBackground(), x.bfloat16(), metric, levels)
    exact, _ = reduced(PoolBackground(), x.bfloat16().double(), metric, levels)
    assert rest.dtype == torch.bfloat16
    # Three steps round three times, each by at most 2^-9 of values below 4.
    torch.testing.assert_close(rest.double(), exact, rtol=0, atol=3 * 4 / 512)


def test_impossible_calls_are_refused() -> None:
    with pytest.raises(BadCall, match="no token reduction 'average'"):
        reduction_named("average")
    with pytest.raises(BadCall, match="at most 191"):
        DropBackground((192,)).start(None, 1, 192, "cpu")
    with pytest.raises(BadCall, match="at least 3"):
        PoolBackground((190,)).start(None, 1, 192, "cpu")
    for kind in (DropBackground, PoolBackground):
        with pytest.raises(BadCall, match="negative"):
            kind((-1,))
