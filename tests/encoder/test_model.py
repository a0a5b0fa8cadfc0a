# SPDX-License-Identifier: Apache-2.0
"""The whole network against the straight-line one, at small sizes always and once at the full size."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from fasthmr.encoder import HMR2, HMRModel, HMROutput
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.simplified_head import SimplifiedHead
from fasthmr.encoder.token_merging import TokenMerging
from tests.encoder import straight_line
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2
from tests.encoder.test_smpl_head import BOX


def crops(batch: int = 2, dtype: torch.dtype = torch.float64, size: tuple[int, int] = (64, 48)) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(batch, 3, *size, dtype=torch.float64, generator=generator).to(dtype)


def network(config: EncoderConfig, dtype: torch.dtype = torch.float64) -> HMRModel:
    return HMRModel.from_state(config, random_state(config, dtype))


def assert_same(found: HMROutput, expected: list[tuple[Tensor, ...]], off: float = 1e-9) -> None:
    names = ("rotmat", "betas", "camera", "token")
    for name, values in zip(names, zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(getattr(found, name), torch.stack(values), rtol=0, atol=off, msg=name)


@pytest.mark.parametrize("simplified", [None, "absorbed", "product"])
@pytest.mark.parametrize("config", [TINY_HMR2, TINY_CAMERAHMR])
def test_network_is_the_published_one(config: EncoderConfig, simplified: str | None) -> None:
    model = network(config)
    if simplified:
        model.simplify_(simplified)  # pyright: ignore[reportArgumentType]
    found = model(crops(), box_info=BOX)
    state = random_state(config, torch.float64)
    expected = [
        straight_line.estimate(
            state, crop, box if config.reads_box else None, config.heads, config.head_heads, config.grid
        )
        for crop, box in zip(crops(), BOX, strict=True)
    ]
    assert_same(found, expected)
    assert found.state is None
    assert found.finite().tolist() == [True, True]


def in_float64_while_used(module: nn.Module) -> None:
    plain = {name: one.data for name, one in module.named_parameters(recurse=False)}

    def before(*_: object) -> None:
        for name, one in plain.items():
            module.get_parameter(name).data = one.double()

    def after(*_: object) -> None:
        for name, one in plain.items():
            module.get_parameter(name).data = one

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


@pytest.mark.slow
def test_full_size_network_is_the_published_one() -> None:
    """ViT-H, 670 million random weights, in float64.

    The weights stay in float32 (2.7 GB) and are shared by both; each is brought to float64 while it is used.
    """
    state = random_state(HMR2)
    model = HMRModel.from_state(HMR2, state)
    model.smpl_head.double()
    for name, one in model.backbone.named_parameters():
        if "." not in name:  # positions, which belong to the whole
            one.data = one.data.double()
    for module in model.backbone.modules():
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv2d)):
            in_float64_while_used(module)
    image = crops(1, size=HMR2.image_size)
    expected = [straight_line.estimate(state, image[0], None)]
    tokens, _ = model.backbone(image)
    for _ in range(2):  # the plain head, and the simplified one
        assert_same(HMROutput(*model.smpl_head(tokens)), expected)
        model.simplify_()


def test_simplifying_is_done_once_and_keeps_what_is_shared() -> None:
    model = network(TINY_HMR2, torch.float32)
    assert not model.simplified
    head = model.simplify_().smpl_head
    assert model.simplified
    assert model.simplify_("product").smpl_head is head
    assert isinstance(head, SimplifiedHead)
    assert head.keys_values == "absorbed"


def test_weights_are_taken_not_copied() -> None:
    state = random_state(TINY_HMR2)
    one, two = HMRModel.from_state(TINY_HMR2, state), HMRModel.from_state(TINY_HMR2, state)
    name = "backbone.blocks.0.mlp.fc1.weight"
    addresses = {model.get_parameter(name).data_ptr() for model in (one, two)}
    assert addresses == {state[name].data_ptr()}
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_cast_leaves_the_head_exact(dtype: torch.dtype) -> None:
    model = network(TINY_HMR2, torch.float32).simplify_().cast_(dtype)
    assert {one.dtype for one in model.backbone.parameters()} == {dtype}
    head = {one.dtype for one in [*model.smpl_head.parameters(), *model.smpl_head.buffers()]}
    assert head == {torch.float64 if dtype == torch.float64 else torch.float32}
    assert model.dtype == dtype
    assert model(crops(dtype=torch.float32)).rotmat.dtype in head


def test_merging_is_done_where_it_is_asked_for() -> None:
    model = network(TINY_HMR2, torch.float32)
    plain = model(crops())
    model.reduction = TokenMerging(schedule=(3, 2))
    levels = torch.zeros(2, TINY_HMR2.tokens, dtype=torch.uint8)
    merged = model(crops(), protection=levels)
    assert merged.state is not None
    assert merged.state.sizes.shape == (2, TINY_HMR2.tokens - 5)
    assert not torch.equal(plain.token, merged.token)
    model.reduction = TokenMerging(schedule=(0,))
    assert torch.equal(plain.token, model(crops(), protection=levels).token)


@pytest.mark.parametrize("config", [TINY_HMR2, TINY_CAMERAHMR])
def test_network_is_one_graph_for_the_compiler(config: EncoderConfig) -> None:
    """Nothing in it waits for a number or leaves what torch.compile and CUDA graphs can follow."""
    model = network(config, torch.float32).simplify_()
    model.reduction = TokenMerging(schedule=(3, 2), log_size_bias=True)
    levels = torch.zeros(2, config.tokens, dtype=torch.uint8)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    found, plain = (
        one(crops(dtype=torch.float32), box_info=BOX.float(), protection=levels) for one in (compiled, model)
    )
    assert torch.equal(found.token, plain.token)
    assert torch.equal(found.rotmat, plain.rotmat)


def test_crops_of_another_size_are_refused() -> None:
    model = network(TINY_HMR2, torch.float32)
    with pytest.raises(ValueError, match=r"\(B,3,64,48\)"):
        model(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="box_info"):
        network(TINY_CAMERAHMR)(crops())


@pytest.mark.parametrize("field", ["rotmat", "betas", "camera", "token"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_noticed_crop_by_crop(field: str, value: float) -> None:
    output = network(TINY_HMR2, torch.float32)(crops(3, torch.float32))
    spoilt = getattr(output, field).clone()
    spoilt[1].view(-1)[-1] = value
    assert dataclasses.replace(output, **{field: spoilt}).finite().tolist() == [True, False, True]
