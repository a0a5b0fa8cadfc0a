# SPDX-License-Identifier: Apache-2.0
"""The counts agree with PyTorch's own counter and with the tables of the paper."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fasthmr.encoder.config import CAMERAHMR, HMR2, EncoderConfig
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_baselines import DropBackground
from fasthmr.evaluation.flops import encoder_multiply_adds, tokens_by_layer

TINY = EncoderConfig(
    image_size=(64, 48),
    dim=48,
    depth=5,
    heads=3,
    head_dim=32,
    head_depth=2,
    head_heads=4,
    head_head_dim=8,
    head_mlp=40,
)
SCHEDULE = (3, 0, 2)


def counted(model: HMRModel, box_info: torch.Tensor | None = None) -> int:
    """Multiply-adds of one crop, as PyTorch counts them: attention as the two products that it is."""
    crop = torch.zeros(1, 3, *model.config.image_size)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(crop, box_info=box_info)
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("schedule", [(), SCHEDULE])
def test_simplified_network_needs_what_is_counted(schedule: tuple[int, ...]) -> None:
    model = HMRModel.from_state(TINY, random_state(TINY))
    model.simplify_()
    model.reduction = DropBackground(schedule) if schedule else None
    expected = encoder_multiply_adds(TINY, schedule, matching=False)
    assert counted(model) == expected.total


def test_published_network_needs_what_is_counted() -> None:
    model = HMRModel.from_state(TINY, random_state(TINY))
    assert counted(model) == encoder_multiply_adds(TINY, simplified=False).total


def test_box_that_camerahmr_reads() -> None:
    config = dataclasses.replace(TINY, token_input=160, keypoint_output=88, kind="camerahmr")
    model = HMRModel.from_state(config, random_state(config))
    assert counted(model, torch.ones(1, 3)) == encoder_multiply_adds(config, simplified=False).total
    model.simplify_()
    assert counted(model, torch.ones(1, 3)) == encoder_multiply_adds(config).total


def test_parts_add_up() -> None:
    cost = encoder_multiply_adds(TINY, SCHEDULE)
    parts = cost.as_dict()
    assert parts["total"] == sum(
        parts[name] for name in ("patches", "projections", "mlps", "attention", "matching", "head")
    )
    assert cost.total - cost.linear_only == cost.attention + cost.matching + cost.head_attention
    assert cost.matching == (6 * 6 + 5 * 4) * 16  # 12 tokens, then 9, in keys of width 48 / 3
    assert encoder_multiply_adds(TINY, SCHEDULE, matching=False).total == cost.total - cost.matching
    assert encoder_multiply_adds(TINY).matching == 0


def test_tokens_by_layer() -> None:
    assert tokens_by_layer(192, (40, 40, 16), 5) == [192, 152, 112, 96, 96, 96]
    with pytest.raises(ValueError, match="cannot lose"):
        tokens_by_layer(12, (6, 6), 2)
    with pytest.raises(ValueError, match="network of 1"):
        tokens_by_layer(12, (1, 1), 1)


# The paper's supplement, Table 12, in billions of multiply-adds, linear layers only. Its third layer merges
# 22 tokens (192 - 40 - 40 - 22 = 90), not "the remaining 10".
PAPER = (40, 40, 22)


@pytest.mark.parametrize(
    ("layers", "schedule", "billions"), [(32, (), 122.6), (28, (), 107.5), (28, PAPER, 52.8)]
)
def test_hmr2_as_in_the_paper(layers: int, schedule: tuple[int, ...], billions: float) -> None:
    cost = encoder_multiply_adds(HMR2, schedule, layers, simplified=False)
    assert cost.linear_only / 1e9 == pytest.approx(billions, abs=0.08)


def test_merging_lies_between_attention_and_mlp() -> None:
    cost = encoder_multiply_adds(HMR2, PAPER, 28, simplified=False)
    assert cost.linear_only / 1e9 == pytest.approx(52.79, abs=0.005)


def test_camerahmr_as_in_the_paper() -> None:
    """Its totals hold the network that estimates the field of view too: the same in every row."""
    rows = [(32, (), 144.0), (26, (), 121.3), (26, PAPER, 70.7)]
    rests = [
        total - encoder_multiply_adds(CAMERAHMR, schedule, layers, simplified=False).linear_only / 1e9
        for layers, schedule, total in rows
    ]
    assert max(rests) - min(rests) < 0.1
    assert 21.4 <= min(rests) <= max(rests) <= 21.5


def test_ratio_that_the_merged_network_can_reach() -> None:
    full = encoder_multiply_adds(HMR2)
    merged = encoder_multiply_adds(HMR2, (40, 40, 16), 26)
    assert full.total / merged.total == pytest.approx(2.38, abs=0.01)
