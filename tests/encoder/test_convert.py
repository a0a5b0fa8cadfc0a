# SPDX-License-Identifier: Apache-2.0
"""Conversion keeps the network; what is shown of a file is true."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from fasthmr.encoder import checkpoint_check, load_checkpoint, save_checkpoint
from fasthmr.encoder.config import HMR2
from fasthmr.encoder.convert import PRECISIONS, convert_checkpoint, show_checkpoint
from fasthmr.encoder.layout import parameter_count, stays_exact, tensor_shapes
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadCall, BadInput, MissingModel
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2

CONFIGS = {"hmr2": TINY_HMR2, "camerahmr": TINY_CAMERAHMR}


@pytest.fixture(autouse=True)
def _tiny_networks_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_check, "PUBLISHED", CONFIGS)


def published(path: Path, kind: str = "hmr2", dtype: torch.dtype = torch.float32, **more: Any) -> Path:
    state = random_state(CONFIGS[kind], dtype)
    torch.save(
        {"state_dict": {**state, "smpl.faces": torch.zeros(3), **more}, "hyper_parameters": {"p": path}}, path
    )
    return path


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_converted_network_is_the_rounded_one(tmp_path: Path, kind: str, precision: str) -> None:
    path, out = published(tmp_path / "a.ckpt", kind), tmp_path / "new" / "b.safetensors"
    convert_checkpoint(path, kind, precision, out)
    found = load_checkpoint(out, kind, simplify=False).state_dict()
    for name, one in random_state(CONFIGS[kind]).items():
        expected = one if stays_exact(name) else one.to(PRECISIONS[precision]).float()
        assert torch.equal(found[name], expected)


def test_conversion_of_a_conversion_names_the_first_file(tmp_path: Path) -> None:
    path = published(tmp_path / "epoch=35-step=1000000.ckpt")
    convert_checkpoint(path, "hmr2", "fp32", tmp_path / "b.safetensors")
    convert_checkpoint(tmp_path / "b.safetensors", "hmr2", "bf16", tmp_path / "c.safetensors")
    source = show_checkpoint(tmp_path / "c.safetensors").source
    assert source == {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_file_may_be_converted_onto_itself(tmp_path: Path) -> None:
    out = tmp_path / "b.safetensors"
    convert_checkpoint(published(tmp_path / "a.ckpt"), "hmr2", "fp32", out)
    convert_checkpoint(out, "hmr2", "bf16", out)
    name = "backbone.blocks.1.attn.qkv.weight"
    expected = random_state(TINY_HMR2, torch.bfloat16)[name].float()
    assert torch.equal(load_checkpoint(out, "hmr2", simplify=False).state_dict()[name], expected)


def test_plan_goes_along(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY_HMR2, depth=2)
    plan = {"groups": [[0, 1], [2]], "variant": "mean"}
    save_checkpoint(tmp_path / "a.safetensors", random_state(config), config, {"plan": plan})
    convert_checkpoint(tmp_path / "a.safetensors", "hmr2", "bf16", tmp_path / "b.safetensors")
    facts = show_checkpoint(tmp_path / "b.safetensors")
    assert facts.plan == plan
    assert facts.layers == 2


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_shown_is_true(tmp_path: Path, kind: str) -> None:
    path = published(tmp_path / "a.ckpt", kind, torch.float16)
    facts = show_checkpoint(path)
    assert facts.kind == kind
    assert facts.tensors == len(tensor_shapes(CONFIGS[kind]))
    assert facts.parameters == parameter_count(CONFIGS[kind])
    assert facts.dtypes == {"float16": facts.tensors}
    assert facts.layers == 3
    assert facts.plan is None
    assert facts.source is None
    assert facts.bytes == path.stat().st_size
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    convert_checkpoint(path, kind, "bf16", tmp_path / "b.safetensors")
    shown = show_checkpoint(tmp_path / "b.safetensors").to_json()
    exact = sum(stays_exact(name) for name in tensor_shapes(CONFIGS[kind]))
    assert shown["dtypes"] == {"bfloat16": facts.tensors - exact, "float32": exact}


def test_bad_conversions_leave_nothing_behind(tmp_path: Path) -> None:
    path = published(tmp_path / "a.ckpt")
    out = tmp_path / "b.safetensors"
    with pytest.raises(BadCall, match="bf16"):
        convert_checkpoint(path, "hmr2", "int8", out)
    with pytest.raises(BadCall, match="safetensors"):
        convert_checkpoint(path, "hmr2", "bf16", tmp_path / "b.ckpt")
    with pytest.raises(MissingModel, match="HMR2"):
        convert_checkpoint(path, "camerahmr", "bf16", out)
    large = published(tmp_path / "c.ckpt", **{"backbone.last_norm.bias": torch.full((48,), 1e5)})
    with pytest.raises(BadInput, match=r"65504.*backbone\.last_norm\.bias"):
        convert_checkpoint(large, "hmr2", "fp16", out)
    assert {one.name for one in tmp_path.iterdir()} == {"a.ckpt", "c.ckpt"}
    convert_checkpoint(large, "hmr2", "bf16", out)


def test_changed_bit_is_found(tmp_path: Path) -> None:
    path = published(tmp_path / "a.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # the lowest bit of some weight
    path.write_bytes(content)
    load_checkpoint(path, "hmr2")  # which does not look that closely
    with pytest.raises(BadInput, match="has changed since it was written"):
        convert_checkpoint(path, "hmr2", "bf16", tmp_path / "b.safetensors")
    with pytest.raises(BadInput, match="has changed since it was written"):
        show_checkpoint(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.ckpt"]


def test_partial_file_is_not_shown_as_a_network(tmp_path: Path) -> None:
    state = {name: one for name, one in random_state(TINY_HMR2).items() if "last_norm" not in name}
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(BadInput, match=r"2 missing \(backbone.last_norm.weight"):
        show_checkpoint(tmp_path / "a.ckpt")
    torch.save({"a": torch.ones(2)}, tmp_path / "b.ckpt")
    with pytest.raises(MissingModel, match="no network for bodies"):
        show_checkpoint(tmp_path / "b.ckpt")


@pytest.mark.slow
def test_full_size_checkpoint_goes_to_safetensors_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tensor of HMR2.0, in half precision for speed; 1.3 GB on the disk, twice."""
    monkeypatch.undo()
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in tensor_shapes(HMR2).items()}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    convert_checkpoint(tmp_path / "a.ckpt", "hmr2", "bf16", tmp_path / "b.safetensors")
    facts = show_checkpoint(tmp_path / "b.safetensors")
    assert (facts.kind, facts.layers) == ("hmr2", 32)
    assert (facts.tensors, facts.parameters) == (503, 670_459_037)
