# SPDX-License-Identifier: Apache-2.0
"""Schedules, and token merging against loops over one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthmr.encoder.token_merging import (
    MUST_STAY,
    TokenMerging,
    TokenState,
    first_state,
    moved,
    schedule_to,
)
from fasthmr.errors import BadCall
from tests.encoder.naive_merging import first_groups, merge, places_of


def reduced(
    merging: TokenMerging, x: torch.Tensor, metrics: list[torch.Tensor], levels: torch.Tensor | None
) -> tuple[torch.Tensor, TokenState]:
    state = merging.start(levels, *x.shape[:2], "cpu")
    for layer, metric in enumerate(metrics):
        x, state = merging.reduce(x, metric[:, : x.shape[1]], state, layer)
    return x, state


def random_case(
    seed: int, batch: int, tokens: int, layers: int, person: float
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """Tokens in fp64, a metric a layer (coarse, so that there are ties), levels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, tokens, 5, generator=generator, dtype=torch.float64)
    metrics = [torch.randint(-2, 3, (batch, tokens, 4), generator=generator).float() for _ in range(layers)]
    levels = (torch.rand(batch, tokens, generator=generator) < person).to(torch.uint8)
    return x, metrics, levels


# --- schedules


def test_schedules_end_at_the_target() -> None:
    assert schedule_to() == (52, 26, 13, 5)
    assert TokenMerging().schedule == (52, 26, 13, 5)
    paper = schedule_to(per_layer=40, spare=96)  # half of all tokens, whoever's
    assert paper == (40, 40, 16)
    assert schedule_to(192, 90) == (55, 27, 14, 6)
    assert schedule_to(192, 192) == ()
    assert schedule_to(20, 3) == (10, 5, 2)


@pytest.mark.parametrize("person", [40, 72, 80, 88])
def test_a_schedule_takes_no_more_than_half_of_the_background_there_is(person: int) -> None:
    tokens = 192
    for count in schedule_to():
        assert count <= (tokens - person) / 2
        tokens -= count


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_schedules_reach_their_target(tokens: int, target: int, per_layer: int, spare: int) -> None:
    if target > tokens:
        with pytest.raises(BadCall, match="cannot become"):
            schedule_to(tokens, target, per_layer, spare)
        return
    schedule = schedule_to(tokens, target, per_layer, spare)
    assert tokens - sum(schedule) == target
    assert all(0 < count <= per_layer for count in schedule)
    TokenMerging(schedule).start(None, 1, tokens, "cpu")  # fits, layer by layer


@pytest.mark.parametrize(
    ("schedule", "tokens", "says"),
    [((97,), 192, "at most 96"), ((40, 40, 57), 192, "Layer 3 .* 57 of 112"), ((1,), 1, "at most 0")],
)
def test_a_schedule_that_cannot_be_is_refused(schedule: tuple[int, ...], tokens: int, says: str) -> None:
    with pytest.raises(BadCall, match=says):
        TokenMerging(schedule).start(None, 1, tokens, "cpu")


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(BadCall, match="negative"):
        TokenMerging((40, -1))
    for per_layer, spare in ((0, 8), (40, 0)):
        with pytest.raises(BadCall, match="never ends"):
            schedule_to(192, 96, per_layer, spare)
    with pytest.raises(ValueError, match="levels of shape"):
        first_state(torch.zeros(2, 10, dtype=torch.uint8), 2, 9, "cpu")


# --- against loops


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tokens=st.integers(2, 31),
    person=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    weighted=st.booleans(),
    data=st.data(),
)
def test_merging_equals_loops(
    seed: int, tokens: int, person: float, weighted: bool, data: st.DataObject
) -> None:
    schedule, left = [], tokens
    for _ in range(3):
        schedule.append(data.draw(st.integers(0, left // 2)))
        left -= schedule[-1]
    x, metrics, levels = random_case(seed, 3, tokens, 3, person)
    merged, state = reduced(TokenMerging(tuple(schedule), weighted), x, metrics, levels)
    assert merged.shape == (3, left, 5)
    for image in range(3):
        groups = first_groups(x[image].numpy(), levels[image].numpy())
        forced = 0
        for metric, count in zip(metrics, schedule, strict=True):
            groups, more = merge(groups, metric[image, : len(groups)].numpy(), count, weighted)
            forced += more
        np.testing.assert_allclose(merged[image], np.stack([one.value for one in groups]), rtol=0, atol=1e-12)
        assert state.sizes[image].tolist() == [one.size for one in groups]
        assert state.levels[image].tolist() == [one.level for one in groups]
        assert state.origin[image].tolist() == places_of(groups, tokens)
        assert state.forced[image].item() == forced


def test_a_token_is_the_mean_of_the_patches_that_went_there() -> None:
    x, metrics, levels = random_case(3, 4, 192, 4, 0.3)
    merged, state = reduced(TokenMerging(), x, metrics, levels)
    assert merged.shape[1] == 96
    for image in range(4):
        for token in range(96):
            members = state.origin[image] == token
            assert members.sum() == state.sizes[image, token]
            torch.testing.assert_close(merged[image, token], x[image, members].mean(0), rtol=0, atol=1e-12)
    # Which is to say that the mean of all, by size, stays.
    weighted = (merged * state.sizes[..., None]).sum(1) / 192
    torch.testing.assert_close(weighted, x.mean(1), rtol=0, atol=1e-12)


def test_the_plain_mean_counts_tokens_and_not_patches() -> None:
    x = torch.tensor([[[0.0], [0.0], [9.0], [100.0]]])
    metric = torch.tensor([[[1.0, 0], [1, 0], [1, 0.1], [0, 1]]])
    for weighted, value in ((True, 3.0), (False, 4.5)):
        merged, state = reduced(TokenMerging((1, 1), weighted), x, [metric, metric[:, [0, 2, 3, 1]]], None)
        assert state.origin.tolist() == [[0, 0, 0, 1]]
        assert merged[0, 0].item() == value


def test_while_there_is_background_only_background_merges() -> None:
    x, metrics, levels = random_case(5, 16, 192, 4, 0.25)
    _, state = reduced(TokenMerging(), x, metrics, levels)
    calm = state.forced == 0
    assert calm.any()
    person = levels[calm] > 0
    alone = state.sizes[calm].gather(1, state.origin[calm]) == 1
    assert alone[person].all()


def test_when_background_runs_out_the_most_alike_of_the_person_merge_and_are_counted() -> None:
    # Positions 0..7; background: 1, 2 and 3. Position 2 is the only even one of these.
    levels = torch.tensor([[1, 0, 0, 0, 1, 1, 1, 1]], dtype=torch.uint8)
    angles = torch.tensor([0.0, 1.0, 1.5, 1.45, 0.30, 0.25, 0.9, 0.5])
    metric = torch.stack((angles.cos(), angles.sin()), dim=1)[None]
    x = torch.arange(8.0)[None, :, None]
    for count, forced, origin in (
        (1, 0, [0, 1, 2, 2, 3, 4, 5, 6]),  # 2 -> 3: background with background
        (2, 1, [0, 1, 2, 2, 3, 3, 4, 5]),  # then 4 -> 5: 0.05 apart
        (3, 2, [0, 1, 2, 2, 3, 3, 1, 4]),  # then 6 -> 1: 0.1 apart
        (4, 3, [2, 0, 1, 1, 2, 2, 0, 3]),  # then 0 -> 5
    ):
        _, state = reduced(TokenMerging((count,)), x, [metric], levels)
        assert state.forced.tolist() == [forced]
        assert state.origin.tolist() == [origin]


def test_tokens_beyond_the_patches_must_stay() -> None:
    x, metrics, levels = random_case(7, 4, 40, 1, 0.2)
    state = TokenMerging((12,)).start(levels[:, :30], 4, 40, torch.device("cpu"))
    assert (state.levels[:, 30:] == MUST_STAY).all()
    _, state = TokenMerging((12,)).reduce(x, metrics[0], state, 0)
    assert (state.sizes.gather(1, state.origin[:, 30:]) == 1).all()


def test_tokens_that_must_stay_merge_after_the_person() -> None:
    x, metrics, _ = random_case(8, 2, 12, 1, 0)
    levels = torch.tensor([[1] * 8 + [2] * 4] * 2, dtype=torch.uint8)
    _, state = reduced(TokenMerging((4,)), x, metrics, levels)
    assert state.forced.tolist() == [4, 4]
    assert (state.sizes.gather(1, state.origin[:, 8:]) == 1).all()


def test_permuted_images_give_permuted_results() -> None:
    x, metrics, levels = random_case(11, 6, 48, 2, 0.4)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    merging = TokenMerging((16, 8))
    merged, state = reduced(merging, x, metrics, levels)
    other, other_state = reduced(merging, x[order], [metric[order] for metric in metrics], levels[order])
    assert torch.equal(other, merged[order])
    for name in ("sizes", "levels", "origin", "forced"):
        assert torch.equal(getattr(other_state, name), getattr(state, name)[order])


def test_dropped_tokens_stay_dropped() -> None:
    origin = torch.tensor([[0, -1, 1, 2, -1]])
    assert moved(origin, torch.tensor([[1, -1, 0]])).tolist() == [[1, -1, -1, 0, -1]]


def test_merging_compiles_in_one_graph() -> None:
    torch.compiler.reset()
    merging = TokenMerging((8, 4))
    x, metrics, levels = random_case(13, 2, 24, 2, 0.3)
    compiled = torch.compile(
        lambda *call: reduced(merging, call[0], list(call[1:3]), call[3]), fullgraph=True, backend="aot_eager"
    )
    merged, state = compiled(x, *metrics, levels)
    expected, expected_state = reduced(merging, x, metrics, levels)
    assert torch.equal(merged, expected)
    assert torch.equal(state.origin, expected_state.origin)
    assert torch.equal(state.forced, expected_state.forced)
