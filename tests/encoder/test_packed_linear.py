# SPDX-License-Identifier: Apache-2.0
"""Packed layers give what plain ones give, and networks that share weights share them packed too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fasthmr.encoder.packed_linear import MOST_ROWS, PackedLinear, pack_linears_, packing_helps

CPU = torch.device("cpu")
needs_packing = pytest.mark.skipif(
    not packing_helps(1, torch.float32, CPU), reason="this PyTorch has no oneDNN"
)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(24, 40), nn.Sequential(nn.GELU(), nn.Linear(40, 16))).requires_grad_(False)


@needs_packing
@pytest.mark.parametrize("rows", [1, 7, 192, 500])
def test_same_numbers_but_for_rounding(rows: int) -> None:
    net = network()
    x = torch.randn(2, rows, 24, generator=torch.Generator().manual_seed(rows))
    plain = net(x)
    assert pack_linears_([net], 192) == 2
    with torch.inference_mode():
        torch.testing.assert_close(net(x), plain, rtol=1e-5, atol=1e-5)
    assert isinstance(net[0], PackedLinear)
    assert not list(net.parameters())


@needs_packing
def test_shared_weights_are_packed_once() -> None:
    one = network()
    first, inner = one[0], one[1]
    assert isinstance(first, nn.Linear)
    other = nn.Linear(24, 40)
    other.weight, other.bias = first.weight, first.bias
    both = [one, nn.Sequential(other, inner)]
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    assert pack_linears_(both, 3) == 3  # the inner layer belongs to both and is replaced once
    assert both[0][0]._weight is both[1][0]._weight
    torch.testing.assert_close(both[0](x), both[1](x), rtol=0, atol=0)


def test_for_few_rows_of_float32_on_a_cpu_only() -> None:
    assert not packing_helps(MOST_ROWS + 1, torch.float32, CPU)
    assert not packing_helps(1, torch.bfloat16, CPU)
    assert not packing_helps(1, torch.float32, torch.device("cuda"))
