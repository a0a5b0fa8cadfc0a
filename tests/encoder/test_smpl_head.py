# SPDX-License-Identifier: Apache-2.0
"""The plain head, and six numbers to a rotation in HMR2's order."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.smpl_head import SMPLHead, rotations
from tests.encoder import straight_line
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2

BOX = torch.tensor([[0.2, -0.1, 0.4], [-0.3, 0.25, 0.1]], dtype=torch.float64)


def smpl_head(config: EncoderConfig, dtype: torch.dtype = torch.float64) -> SMPLHead:
    head = SMPLHead(config)
    state = random_state(config, dtype).items()
    head.load_state_dict(
        {n.removeprefix("smpl_head."): one for n, one in state if n.startswith("smpl_head.")}, assign=True
    )
    return head.eval().requires_grad_(False)


def tokens(count: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, count, TINY_HMR2.dim, dtype=dtype, generator=torch.Generator().manual_seed(3))


def test_rotation_takes_columns_one_after_the_other() -> None:
    """SPIN's order would read this as a turn about another axis."""
    quarter = torch.tensor([[0.0, 1, 0, -1, 0, 0]])  # x to y, y to -x
    torch.testing.assert_close(rotations(quarter)[0, 0], torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))


def test_rotations_are_orthonormal_and_keep_the_first_direction() -> None:
    pose = torch.randn(5, 144, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = rotations(pose)
    assert found.shape == (5, 24, 3, 3)
    torch.testing.assert_close(found.mT @ found, torch.eye(3, dtype=torch.float64).expand(5, 24, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(5, 24, dtype=torch.float64))
    first = pose.view(5, 24, 6)[..., :3]
    torch.testing.assert_close(found[..., 0], first / first.norm(dim=-1, keepdim=True))
    expected = torch.stack([straight_line.rotation(six) for six in pose.view(-1, 6)]).view(5, 24, 3, 3)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("config", [TINY_HMR2, TINY_CAMERAHMR])
def test_head_is_the_published_one(config: EncoderConfig) -> None:
    state = random_state(config, torch.float64)
    found = smpl_head(config)(tokens(), BOX)
    for index in range(2):
        box = BOX[index] if config.reads_box else None
        expected = straight_line.head(state, tokens()[index], box, config.head_heads)
        for mine, other in zip(found, expected, strict=True):
            torch.testing.assert_close(mine[index], other, rtol=0, atol=1e-9)


def test_order_of_the_tokens_does_not_matter() -> None:
    """They have no positions here: what merging relies on."""
    head, order = smpl_head(TINY_HMR2), torch.randperm(9, generator=torch.Generator().manual_seed(1))
    for mine, other in zip(head(tokens()), head(tokens()[:, order]), strict=True):
        torch.testing.assert_close(mine, other)


def test_camerahmr_needs_the_box_and_heeds_it() -> None:
    head = smpl_head(TINY_CAMERAHMR)
    with pytest.raises(ValueError, match="box_info"):
        head(tokens())
    assert (head(tokens(), BOX)[0] - head(tokens(), BOX + 0.1)[0]).abs().max() > 1e-4


def test_hmr2_does_not_heed_the_box() -> None:
    head = smpl_head(TINY_HMR2)
    assert torch.equal(head(tokens(), BOX)[3], head(tokens())[3])


def test_layer_of_landmarks_changes_nothing() -> None:
    without = smpl_head(dataclasses.replace(TINY_CAMERAHMR, keypoint_output=0))
    for mine, other in zip(smpl_head(TINY_CAMERAHMR)(tokens(), BOX), without(tokens(), BOX), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_read_is_float32_even_from_half_precision(dtype: torch.dtype) -> None:
    found = smpl_head(TINY_HMR2, dtype)(tokens(dtype=dtype))
    assert {one.dtype for one in found} == {torch.float32}
    product = found[0].mT @ found[0]
    assert (product - torch.eye(3)).abs().max() < 1e-5  # bfloat16 would leave 1e-2
