# SPDX-License-Identifier: Apache-2.0
"""Merged layers against naive sums, tensor by tensor; the network that runs against the one that is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.layer_merging import TrialLayers, merge_layers, merge_tensors, merged_config
from fasthmr.encoder.layer_plan import VARIANTS, Groups, LayerPlan, Variant, uniform_plan
from fasthmr.encoder.layout import tensor_shapes
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state
from tests.encoder.small_sizes import TINY_HMR2

SIX = dataclasses.replace(TINY_HMR2, depth=6)
GROUPS: Groups = ((0,), (1, 2, 3), (4, 5))
HALVES = [torch.float16, torch.bfloat16]


def plan(variant: Variant, groups: Groups = GROUPS, layers: int = 6) -> LayerPlan:
    return LayerPlan(layers=layers, groups=groups, variant=variant)


def naive(values: list[Tensor], variant: Variant) -> Tensor:
    """The definition, written out in double precision."""
    wide = [value.double() for value in values]
    if variant == "formula":
        total = wide[0].clone()
        for value in wide[1:]:
            total = total + (value - wide[0])
    elif variant == "mean":
        total = torch.stack(wide).mean(dim=0)
    else:
        total = wide[-1] if variant == "keep_last" else wide[0]
    return total.to(values[0].dtype)


def crops(config: object = SIX, count: int = 2) -> Tensor:
    size = getattr(config, "image_size")  # noqa: B009
    return torch.randn((count, 3, *size), generator=torch.Generator().manual_seed(5))


def outputs(model: HMRModel, images: Tensor) -> Tensor:
    found = model(images)
    return torch.cat([found.rotmat.flatten(1), found.betas, found.camera, found.token], dim=1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES])
def test_every_parameter_is_merged_as_defined(variant: Variant, dtype: torch.dtype) -> None:
    state = random_state(SIX, dtype)
    merged = merge_layers(state, plan(variant))
    seen = set()
    for name, one in merged.items():
        parts = name.split(".")
        if parts[:2] != ["backbone", "blocks"]:
            assert one is state[name], f"{name} is no part of a layer and must stay"
            continue
        group = GROUPS[int(parts[2])]
        sources = [state[".".join([*parts[:2], str(layer), *parts[3:]])] for layer in group]
        assert one.dtype == dtype
        torch.testing.assert_close(one, naive(sources, variant), rtol=torch.finfo(dtype).eps, atol=1e-12)
        seen.add(".".join(parts[3:]))
    assert {"norm1.weight", "norm2.bias", "attn.qkv.bias", "mlp.fc2.weight"} <= seen
    assert {name: tuple(one.shape) for name, one in merged.items()} == tensor_shapes(
        merged_config(SIX, plan(variant))
    )
    assert list(merged) == list(tensor_shapes(merged_config(SIX, plan(variant))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES])
def test_formula_for_two_layers_deletes_the_lower_one_to_the_last_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    scales = torch.tensor([1e-4, 1.0, 3e4])[:, None]
    first, second = (torch.randn((3, 100), generator=generator) * scales for _ in range(2))
    first, second = first.to(dtype), second.flip(0).to(dtype)  # large beside small: rounding would show
    assert torch.equal(merge_tensors([first, second], "formula"), second)
    state = random_state(SIX, dtype)
    pairs: Groups = ((0,), (1, 2), (3,), (4, 5))
    formula = merge_layers(state, plan("formula", pairs))
    last = merge_layers(state, plan("keep_last", pairs))
    deleted = merge_layers(state, plan("mean", ((0,), (2,), (3,), (5,))))
    assert list(formula) == list(last) == list(deleted)
    for name in formula:
        assert formula[name] is last[name] is deleted[name]


def test_formula_for_three_layers_is_what_the_paper_writes() -> None:
    one, two, three = (torch.tensor([value]) for value in (1.0, 10.0, 100.0))
    assert merge_tensors([one, two, three], "formula").item() == 109.0  # 1 + (10 - 1) + (100 - 1)
    assert merge_tensors([one, two, three], "mean").item() == 37.0


@pytest.mark.parametrize("dtype", HALVES)
def test_half_files_are_rounded_once(dtype: torch.dtype) -> None:
    """Sums in half precision would be off by several units in the last place."""
    generator = torch.Generator().manual_seed(3)
    tensors = [torch.randn(5000, generator=generator).to(dtype) for _ in range(8)]
    exact = sum((one.double() for one in tensors[1:]), -6 * tensors[0].double())
    assert torch.equal(merge_tensors(tensors, "formula"), exact.to(dtype))
    in_half = tensors[0].clone()
    for one in tensors[1:]:
        in_half = in_half + (one - tensors[0])
    assert not torch.equal(in_half, exact.to(dtype))


def test_originals_stay_as_they_are() -> None:
    state = random_state(SIX)
    before = {name: one.clone() for name, one in state.items()}
    for variant in VARIANTS:
        merge_layers(state, plan(variant))
    assert all(torch.equal(before[name], one) for name, one in state.items())


def test_plan_for_another_number_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="for 8 layers; the network has 6"):
        merge_layers(random_state(SIX), uniform_plan(8, 4))


def straight(state: Mapping[str, Tensor], plan: LayerPlan) -> HMRModel:
    return HMRModel.from_state(merged_config(SIX, plan), merge_layers(state, plan))


@pytest.mark.parametrize("variant", VARIANTS)
def test_trial_is_the_network_that_would_be_saved(variant: Variant) -> None:
    state = random_state(SIX, torch.float16)  # a half file that runs in single precision
    model = HMRModel.from_state(SIX, {name: one.float() for name, one in state.items()})
    trials = TrialLayers(model, state)
    plain = outputs(model, crops())
    for groups in (GROUPS, ((0, 1, 2), (3,), (4, 5)), ((0, 1, 2, 3, 4, 5),), ((1,), (4,))):
        expected = straight(state, plan(variant, groups)).float()
        with trials.merged(groups, variant) as merged:
            assert torch.equal(outputs(merged, crops()), outputs(expected, crops()))
            assert len(merged.backbone.blocks) == len(groups)
    assert torch.equal(outputs(model, crops()), plain)


def test_trial_copies_no_layer_that_it_does_not_make() -> None:
    state = random_state(SIX)
    model = HMRModel.from_state(SIX, state)
    originals = list(model.backbone.blocks)
    trials = TrialLayers(model, state)
    with trials.merged(((0,), (1, 2, 3), (4,), (5,)), "formula") as merged:
        blocks = list(merged.backbone.blocks)
    assert [blocks[i] is originals[j] for i, j in ((0, 0), (2, 4), (3, 5))] == [True] * 3
    assert blocks[1] not in originals
    with trials.merged(((0,), (1, 2, 3), (4, 5)), "formula") as merged:
        again = list(merged.backbone.blocks)
    assert again[1] is blocks[1]  # made once
    assert again[2] is originals[5]


def test_network_is_whole_again_after_an_error() -> None:
    model = HMRModel.from_state(SIX, random_state(SIX))
    trials = TrialLayers(model, random_state(SIX))
    with pytest.raises(RuntimeError, match="stop"), trials.merged(GROUPS, "mean"):
        raise RuntimeError("stop")
    assert len(model.backbone.blocks) == 6


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded_it_gives_the_same(variant: Variant, tmp_path: Path) -> None:
    state = random_state(SIX)
    made = plan(variant)
    path = tmp_path / "merged.safetensors"
    save_checkpoint(path, merge_layers(state, made), merged_config(SIX, made), {"plan": made.to_json()})
    loaded = load_checkpoint(path, "hmr2", simplify=False)
    assert loaded.config.depth == 3
    assert LayerPlan.from_json(loaded.plan) == made
    assert torch.equal(outputs(loaded, crops()), outputs(straight(state, made), crops()))
    simplified = load_checkpoint(path, "hmr2")
    torch.testing.assert_close(outputs(simplified, crops()), outputs(loaded, crops()), atol=1e-5, rtol=1e-4)
