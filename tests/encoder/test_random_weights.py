# SPDX-License-Identifier: Apache-2.0
"""Random weights: whole, the same every time, and of a size at which half precision works."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fasthmr.encoder.layout import tensor_shapes
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state, random_tensor
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2


@pytest.mark.parametrize("config", [TINY_HMR2, TINY_CAMERAHMR])
def test_random_state_is_whole_and_repeatable(config) -> None:
    first, second = random_state(config), random_state(config)
    assert {name: tuple(one.shape) for name, one in first.items()} == tensor_shapes(config)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tensor_depends_on_its_name_alone() -> None:
    deeper = random_state(dataclasses.replace(TINY_HMR2, depth=5))
    state = random_state(TINY_HMR2)
    name = "backbone.blocks.1.mlp.fc1.weight"
    assert torch.equal(state[name], deeper[name])
    assert not torch.equal(state[name], state["backbone.blocks.2.mlp.fc1.weight"])


def test_numbers_are_the_same_on_every_machine() -> None:
    """A change here changes every benchmark's and every test's network."""
    expected = torch.tensor([0.0743627, -0.340782, 1.1543711, -0.0048284])
    torch.testing.assert_close(random_tensor("backbone.pos_embed", (4,)), expected, rtol=0, atol=1e-6)


def test_other_precisions_mean_the_same_network() -> None:
    state, half = random_state(TINY_HMR2), random_state(TINY_HMR2, torch.bfloat16)
    assert all(torch.equal(state[name].bfloat16(), half[name]) for name in state)
    exact = random_state(TINY_HMR2, torch.float64)
    assert all(torch.equal(state[name], exact[name].float()) for name in state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near_the_exact_result(dtype: torch.dtype) -> None:
    crops = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    exact = HMRModel.from_state(TINY_HMR2, random_state(TINY_HMR2))(crops)
    half = HMRModel.from_state(TINY_HMR2, random_state(TINY_HMR2)).cast_(dtype)(crops)
    assert half.finite().all()
    assert 0.3 < exact.token.std() < 10
    assert (half.token - exact.token).abs().max() < 0.15
