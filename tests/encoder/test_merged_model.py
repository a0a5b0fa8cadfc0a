# SPDX-License-Identifier: Apache-2.0
"""The network with fewer tokens: exact where it must be, and equal to loops everywhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_baselines import REDUCTIONS, reduction_named
from fasthmr.encoder.token_merging import TokenMerging
from fasthmr.encoder.vit import sized_attention
from tests.encoder.naive_merged_vit import in_numpy, merged_tokens
from tests.encoder.naive_merging import places_of

TINY = EncoderConfig(
    image_size=(80, 64),
    dim=24,
    depth=4,
    heads=3,
    mlp_ratio=2,
    head_dim=16,
    head_depth=2,
    head_heads=2,
    head_head_dim=8,
    head_mlp=16,
    kind="open",
)
TOKENS = 20  # 5 x 4


def network(dtype: torch.dtype = torch.float64) -> HMRModel:
    assert TINY.tokens == TOKENS
    return HMRModel.from_state(TINY, random_state(TINY, dtype))


def crops(batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *TINY.image_size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_without_merges_nothing_changes_to_the_last_bit(dtype: torch.dtype) -> None:
    model, images = network(dtype), crops(3).to(dtype)
    plain = model(images)
    assert plain.state is None
    for reduction in (TokenMerging(()), TokenMerging((0, 0, 0), log_size_bias=True), reduction_named("none")):
        model.reduction = reduction
        merged = model(images, protection=torch.ones(3, TOKENS, dtype=torch.uint8))
        for name in ("rotmat", "betas", "camera", "token"):
            assert torch.equal(getattr(merged, name), getattr(plain, name))
        assert merged.state.sizes.eq(1).all()


@pytest.mark.parametrize("log_size", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("person", [0.2, 0.7])
def test_the_network_equals_loops(weighted: bool, log_size: bool, person: float) -> None:
    model, images = network(), crops(3, seed=1)
    levels = (torch.rand(3, TOKENS, generator=torch.Generator().manual_seed(2)) < person).to(torch.uint8)
    schedule = (6, 4, 2)
    tokens, state = model.backbone(images, TokenMerging(schedule, weighted, log_size), levels)
    assert state is not None
    weights = in_numpy(model.state_dict())
    for image in range(3):
        expected, groups, forced = merged_tokens(
            images[image].numpy(), levels[image].tolist(), weights, TINY, schedule, weighted, log_size
        )
        np.testing.assert_allclose(tokens[image].numpy(), expected, rtol=0, atol=1e-9)
        assert state.origin[image].tolist() == places_of(groups, TOKENS)
        assert state.sizes[image].tolist() == [one.size for one in groups]
        assert state.forced[image].item() == forced
        assert (forced > 0) == (person > 0.5)


def test_the_size_bias_is_the_logarithm_added_to_the_scores() -> None:
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, 3, 9, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    sizes = torch.randint(1, 7, (2, 9), generator=generator).float()
    scores = q @ k.transpose(2, 3) / math.sqrt(5) + sizes.double().log()[:, None, None]
    expected = scores.softmax(-1) @ v
    torch.testing.assert_close(sized_attention(q, k, v, sizes), expected, rtol=0, atol=1e-12)
    # Which is what keys that are really there several times would do.
    times = sizes[0].long()
    repeated = sized_attention(
        q[:1], k[:1].repeat_interleave(times, 2), v[:1].repeat_interleave(times, 2), None
    )
    torch.testing.assert_close(repeated, expected[:1], rtol=0, atol=1e-12)


def duplicated(batch: int) -> tuple[HMRModel, Tensor]:
    """A network without positions, and images of five rows of four equal patches each."""
    state = random_state(TINY, torch.float64)
    state["backbone.pos_embed"].zero_()
    rows = torch.randn(batch, 3, 5, 16, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    # The outermost patches see padding: it must look the same in all of them.
    rows[..., :2], rows[..., :2, :] = 0, 0
    padded = torch.zeros(batch, 3, 84, 68, dtype=torch.float64)
    padded[..., :80, :64] = rows.flatten(2, 3).repeat(1, 1, 1, 4)
    return HMRModel.from_state(TINY, state), padded[..., 2:82, 2:66]


def test_merging_equal_tokens_changes_nothing_with_the_size_bias() -> None:
    # Four equal tokens become two and then one. A token that stands for n equal ones must act as n would:
    # attention with the bias does exactly that, and every other part looks at one token at a time.
    model, images = duplicated(2)
    plain, _ = model.backbone(images)
    by_row = plain.unflatten(1, (5, 4))
    torch.testing.assert_close(by_row, by_row[:, :, :1].expand_as(by_row), rtol=0, atol=1e-12)
    merged, state = model.backbone(images, TokenMerging((10, 5), log_size_bias=True))
    assert state is not None
    assert state.sizes.tolist() == [[4.0] * 5] * 2
    back = merged.gather(1, state.origin[..., None].expand(-1, -1, TINY.dim))
    torch.testing.assert_close(back, plain, rtol=0, atol=1e-10)
    # Equal groups of all tokens need no bias; unequal ones do.
    uneven = TokenMerging((6,), log_size_bias=True)
    merged, state = model.backbone(images, uneven)
    assert state is not None
    back = merged.gather(1, state.origin[..., None].expand(-1, -1, TINY.dim))
    torch.testing.assert_close(back, plain, rtol=0, atol=1e-10)
    merged, state = model.backbone(images, TokenMerging((6,)))
    assert state is not None
    back = merged.gather(1, state.origin[..., None].expand(-1, -1, TINY.dim))
    assert (back - plain).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in REDUCTIONS if name != "none"])
def test_every_reduction_runs_through_the_network(name: str) -> None:
    model = network(torch.float32)
    model.reduction = reduction_named(name, TOKENS, 8)
    levels = torch.zeros(4, TOKENS, dtype=torch.uint8)
    levels[:, 5:11] = 1
    images = crops(4, seed=5).float()
    output = model(images, protection=levels)
    assert output.state.sizes.shape == (4, 8)
    assert output.rotmat.isfinite().all()
    order = torch.tensor([3, 1, 0, 2])
    permuted = model(images[order], protection=levels[order])
    torch.testing.assert_close(permuted.rotmat, output.rotmat[order], rtol=0, atol=1e-5)
    assert torch.equal(permuted.state.origin, output.state.origin[order])


def test_the_network_compiles_in_one_graph_with_its_merges() -> None:
    torch.compiler.reset()
    model = network(torch.float32)
    model.reduction = TokenMerging((6, 4, 2), log_size_bias=True)
    levels = (torch.rand(2, TOKENS, generator=torch.Generator().manual_seed(7)) < 0.3).to(torch.uint8)
    images = crops(2, seed=6).float()
    eager = model(images, protection=levels)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(images, protection=levels)
    torch.testing.assert_close(compiled.rotmat, eager.rotmat, rtol=0, atol=1e-5)
    for name in ("sizes", "levels", "origin", "forced"):
        assert torch.equal(getattr(compiled.state, name), getattr(eager.state, name))
