# SPDX-License-Identifier: Apache-2.0
"""The head with less work gives what the plain one gives."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fasthmr.encoder.config import HMR2, EncoderConfig
from fasthmr.encoder.simplified_head import FoldedSelfAttention, KeysValues, SimplifiedHead
from fasthmr.encoder.smpl_head import PreNorm, SelfAttention, SMPLHead
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2
from tests.encoder.test_smpl_head import BOX, smpl_head, tokens

WAYS = get_args(KeysValues)


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("config", [TINY_HMR2, TINY_CAMERAHMR])
@pytest.mark.parametrize(("dtype", "off"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
def test_simplified_head_gives_what_the_plain_one_gives(
    config: EncoderConfig, ways: KeysValues, dtype: torch.dtype, off: float
) -> None:
    plain = smpl_head(config, dtype)
    before = {name: one.clone() for name, one in plain.state_dict().items()}
    simple = SimplifiedHead(plain, ways)
    box = BOX.to(dtype)
    for count in (1, 6, 9):
        for mine, other in zip(
            simple(tokens(count, dtype), box), plain(tokens(count, dtype), box), strict=True
        ):
            assert mine.dtype == other.dtype
            torch.testing.assert_close(mine, other, rtol=0, atol=off)
    assert all(torch.equal(one, before[name]) for name, one in plain.state_dict().items())


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_to_the_truth_as_the_plain_form(
    ways: KeysValues, dtype: torch.dtype
) -> None:
    exact = smpl_head(TINY_CAMERAHMR)(tokens(), BOX)
    plain = smpl_head(TINY_CAMERAHMR, dtype)(tokens(dtype=dtype), BOX)
    simple = SimplifiedHead(smpl_head(TINY_CAMERAHMR, torch.float32), ways).to(dtype)(
        tokens(dtype=dtype), BOX
    )
    assert simple[3].dtype == torch.float32
    error, usual = ((one[3] - exact[3]).abs().mean() for one in (simple, plain))
    assert error < 1.5 * usual


def test_head_in_float32_gets_more_from_the_same_half_precision_tokens() -> None:
    """What keeping the head in float32 is for."""
    half = tokens(dtype=torch.bfloat16)
    exact = smpl_head(TINY_CAMERAHMR)(half.double(), BOX)
    rounded = smpl_head(TINY_CAMERAHMR, torch.bfloat16)(half, BOX)
    plain = smpl_head(TINY_CAMERAHMR, torch.float32)
    for head in (plain, SimplifiedHead(plain), SimplifiedHead(plain, "product")):
        found = head(half, BOX)
        assert {one.dtype for one in found} == {torch.float32}
        assert (found[3] - exact[3]).abs().mean() < 0.2 * (rounded[3] - exact[3]).abs().mean()


def test_attention_of_one_query_to_itself_is_one_matrix() -> None:
    part = PreNorm(24, SelfAttention(24, 3, 8)).double()
    x = torch.randn(4, 1, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FoldedSelfAttention(part)(x), part(x), rtol=0, atol=1e-12)


def test_camerahmr_needs_the_box() -> None:
    with pytest.raises(ValueError, match="box_info"):
        SimplifiedHead(smpl_head(TINY_CAMERAHMR))(tokens())


def millions(head: torch.nn.Module, count: int) -> float:
    """Multiplications for one crop, in millions, as PyTorch counts them (fused attention it does not)."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        head(torch.zeros(1, count, HMR2.dim))
    return counter.get_total_flops() / 2e6


@pytest.mark.parametrize(("count", "plain", "absorbed"), [(192, 1543, 55), (96, 787, 43)])
def test_multiplications_are_those_of_the_description(count: int, plain: int, absorbed: int) -> None:
    with torch.device("meta"):
        head = SMPLHead(HMR2)
    head = head.to_empty(device="cpu")
    for one in head.state_dict().values():
        one.zero_()
    assert millions(head, count) == pytest.approx(plain, abs=1)
    assert millions(SimplifiedHead(head), count) == pytest.approx(absorbed, abs=1)
    assert millions(SimplifiedHead(head, "product"), count) == pytest.approx(plain - 7.9, abs=1)
