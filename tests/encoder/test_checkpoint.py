# SPDX-License-Identifier: Apache-2.0
"""Checkpoints load whole or are refused with the reason, whatever they come as."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fasthmr.encoder import HMRModel, checkpoint_check, load_checkpoint, read_weights, save_checkpoint
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadCall, BadInput, MissingModel
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2
from tests.encoder.test_smpl_head import BOX

CONFIGS = {"hmr2": TINY_HMR2, "camerahmr": TINY_CAMERAHMR}
FIRST = "backbone.patch_embed.proj.weight"
# As in the published files.
BESIDE = {
    "smpl.v_template": torch.zeros(6, 3),
    "smpl.faces": torch.zeros(4, 3, dtype=torch.int64),
    "discriminator.D_conv1.weight": torch.zeros(2, 2),
    "cam_model.backbone.conv1.weight": torch.zeros(2, 2),
    "initialized": torch.tensor(True),
}


@pytest.fixture(autouse=True)
def _tiny_networks_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that files without a word about sizes can be small here."""
    monkeypatch.setattr(checkpoint_check, "PUBLISHED", CONFIGS)


def lightning(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save({"epoch": 35, "state_dict": {**state, **BESIDE}, "hyper_parameters": {"cfg": Path()}}, path)
    return path


def assert_is(model: HMRModel, state: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    found = model.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[name], one.to(dtype)) for name, one in state.items())


# --- what loads


@pytest.mark.parametrize("kind", CONFIGS)
def test_published_checkpoint_loads(tmp_path: Path, kind: str) -> None:
    state = random_state(CONFIGS[kind])
    model = load_checkpoint(lightning(tmp_path / "a.ckpt", state), kind, simplify=False)
    assert model.config == CONFIGS[kind]
    assert model.plan is None
    assert_is(model, state)


@pytest.mark.parametrize("kind", CONFIGS)
def test_simplified_network_gives_what_the_plain_one_gives(tmp_path: Path, kind: str) -> None:
    path = lightning(tmp_path / "a.ckpt", random_state(CONFIGS[kind]))
    crops = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    plain, simple = (
        load_checkpoint(path, kind, simplify=which)(crops, box_info=BOX) for which in (False, True)
    )
    torch.testing.assert_close(plain.rotmat, simple.rotmat, rtol=0, atol=1e-5)
    torch.testing.assert_close(plain.token, simple.token, rtol=0, atol=1e-5)
    assert load_checkpoint(path, kind).simplified


def wrapped(prefix: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda state: {"state_dict": {f"{prefix}{name}": one for name, one in state.items()}}


SHAPES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "tensors alone": lambda state: state,
    "under model": lambda state: {"model": state, "optimizer": {"lr": 1.0}},
    "parallel": wrapped("module."),
    "compiled": wrapped("_orig_mod."),
    "twice wrapped": wrapped("model.module."),
    "with a copy beside": lambda state: {**state, **{f"model.{n}": one * 2 for n, one in state.items()}},
}


@pytest.mark.parametrize("name", SHAPES)
def test_wrappers_are_taken_off(tmp_path: Path, name: str) -> None:
    state = random_state(TINY_HMR2)
    torch.save(SHAPES[name](state), tmp_path / "a.pth")
    assert_is(load_checkpoint(tmp_path / "a.pth", "hmr2", simplify=False), state)


def test_plain_safetensors_load(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    save_file({**state, **BESIDE}, tmp_path / "a.safetensors")
    assert_is(load_checkpoint(tmp_path / "a.safetensors", "hmr2", simplify=False), state)


def test_views_become_whole_tensors(tmp_path: Path) -> None:
    """Weights that somebody saved turned would make every product slower."""
    state = random_state(TINY_HMR2)
    name = "backbone.blocks.0.mlp.fc1.weight"
    turned = state[name].T.contiguous().T
    assert not turned.is_contiguous()
    model = load_checkpoint(lightning(tmp_path / "a.ckpt", {**state, name: turned}), "hmr2", simplify=False)
    assert_is(model, state)
    assert model.get_parameter(name).is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = random_state(TINY_HMR2, dtype)
    model = load_checkpoint(lightning(tmp_path / "a.ckpt", state), "hmr2", simplify=False)
    assert_is(model, state)


def test_precision_can_be_chosen_and_the_head_stays_exact(tmp_path: Path) -> None:
    path = lightning(tmp_path / "a.ckpt", random_state(TINY_HMR2))
    model = load_checkpoint(path, "hmr2", dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert {one.dtype for one in model.backbone.parameters()} == {torch.bfloat16}
    assert {one.dtype for one in model.smpl_head.parameters()} == {torch.float32}


def test_camerahmr_may_lack_the_landmarks_that_nothing_uses(tmp_path: Path) -> None:
    state = {name: one for name, one in random_state(TINY_CAMERAHMR).items() if ".deckp." not in name}
    model = load_checkpoint(lightning(tmp_path / "a.ckpt", state), "camerahmr", simplify=False)
    assert_is(model, state)
    assert model.config == dataclasses.replace(TINY_CAMERAHMR, keypoint_output=0)


def test_file_of_the_project_says_its_sizes_and_plan(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY_HMR2, depth=2)
    plan = {"groups": [[0, 1], [2]], "variant": "formula"}
    state = random_state(config)
    source = {"file": "a.ckpt", "sha256": "0" * 64}
    path = tmp_path / "merged.safetensors"
    save_checkpoint(path, state, config, {"plan": plan, "source": source})
    model = load_checkpoint(path, "hmr2", simplify=False)
    assert_is(model, state)
    assert model.config == config
    assert model.plan == plan
    assert read_weights(path)[1] == {"config": config.to_json(), "plan": plan, "source": source}


def test_own_network_of_any_size_goes_to_a_file_and_back(tmp_path: Path) -> None:
    config = EncoderConfig(
        image_size=(32, 32), dim=24, depth=1, heads=3, head_dim=16, head_depth=1, head_heads=2, head_mlp=8,
        head_head_dim=8, kind="open",
    )  # fmt: skip
    model = HMRModel.from_state(config, random_state(config))
    save_checkpoint(tmp_path / "a.safetensors", model, config)
    assert_is(load_checkpoint(tmp_path / "a.safetensors", "open", simplify=False), model.state_dict())


def test_simplified_network_is_not_saved(tmp_path: Path) -> None:
    model = HMRModel.from_state(TINY_HMR2, random_state(TINY_HMR2)).simplify_()
    with pytest.raises(ValueError, match="simplify=False"):
        save_checkpoint(tmp_path / "a.safetensors", model, TINY_HMR2)
    with pytest.raises(ValueError, match="names and shapes"):
        save_checkpoint(tmp_path / "a.safetensors", random_state(TINY_HMR2), TINY_CAMERAHMR)
    with pytest.raises(BadInput, match="safetensors"):
        save_checkpoint(tmp_path / "a.ckpt", random_state(TINY_HMR2), TINY_HMR2)
    assert not list(tmp_path.iterdir())


def test_weights_are_mapped_not_copied(tmp_path: Path) -> None:
    """Two readings of a file share memory until one of them is written on."""
    state, _ = read_weights(lightning(tmp_path / "a.ckpt", random_state(TINY_HMR2)))
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        mapped = [line for line in maps if str(tmp_path / "a.ckpt") in line]
    if not mapped:
        pytest.skip("this system does not say what is mapped")
    first, last = (int(edge, 16) for edge in mapped[0].split()[0].split("-"))
    assert all(first <= one.data_ptr() < last for one in state.values())


# --- what is refused


def refused(path: Path, kind: str = "hmr2") -> str:
    with pytest.raises(BadInput) as caught:
        load_checkpoint(path, kind)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_missing_tensors_are_listed_and_many_are_shortened(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    del state["smpl_head.decpose.bias"]
    message = refused(lightning(tmp_path / "a.ckpt", state))
    assert "1 missing (smpl_head.decpose.bias)" in message
    state = {name: one for name, one in state.items() if ".mlp." not in name}
    message = refused(lightning(tmp_path / "b.ckpt", state))
    assert "13 missing (" in message
    assert "and 9 more" in message
    assert len(message) < 700


def test_renamed_tensor_is_missing_and_unknown(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    state["backbone.patch_embed.projection.weight"] = state.pop(FIRST)
    message = refused(lightning(tmp_path / "a.ckpt", state))
    assert f"1 missing ({FIRST})" in message
    assert "1 unknown (backbone.patch_embed.projection.weight)" in message


def test_tensor_of_another_shape_or_type_is_listed(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    state["backbone.pos_embed"] = state["backbone.pos_embed"][:, 1:]
    state["smpl_head.decpose.bias"] = state["smpl_head.decpose.bias"].long()
    message = refused(lightning(tmp_path / "a.ckpt", state))
    assert "backbone.pos_embed: 1x12x48 instead of 1x13x48" in message
    assert "not of floating-point numbers (smpl_head.decpose.bias)" in message


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_no_number_is_refused(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    state = random_state(TINY_HMR2, dtype)
    state["smpl_head.deccam.weight"][1, 2] = value
    assert "smpl_head.deccam.weight" in refused(lightning(tmp_path / "a.ckpt", state))


def test_large_finite_numbers_are_no_fault(tmp_path: Path) -> None:
    """Even where their sum is not finite."""
    state = random_state(TINY_HMR2)
    state["backbone.pos_embed"][:] = 3e38
    load_checkpoint(lightning(tmp_path / "a.ckpt", state), "hmr2")


def test_fewer_layers_without_a_plan_are_a_partial_file(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY_HMR2, depth=2)
    message = refused(lightning(tmp_path / "a.ckpt", random_state(config)))
    assert "partial" in message
    assert "2 of the 3 layers" in message
    save_checkpoint(tmp_path / "a.safetensors", random_state(config), config)
    assert "partial" in refused(tmp_path / "a.safetensors")


def test_more_layers_are_unknown(tmp_path: Path) -> None:
    state = random_state(dataclasses.replace(TINY_HMR2, depth=4))
    assert "12 unknown (backbone.blocks.3.norm1.weight" in refused(lightning(tmp_path / "a.ckpt", state))


def test_plan_that_does_not_make_these_layers_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY_HMR2, depth=2)
    save_checkpoint(
        tmp_path / "a.safetensors", random_state(config), config, {"plan": {"groups": [[0, 1, 2]]}}
    )
    assert "its plan makes 1 layers" in refused(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("kind", "other", "title"), [("hmr2", "camerahmr", "HMR2.0"), ("camerahmr", "hmr2", "CameraHMR")]
)
def test_other_kind_is_named(tmp_path: Path, kind: str, other: str, title: str) -> None:
    path = lightning(tmp_path / "a.ckpt", random_state(CONFIGS[kind]))
    with pytest.raises(MissingModel, match=f"is a checkpoint of {title}.*Ask for the model '{kind}'"):
        load_checkpoint(path, other)
    save_checkpoint(tmp_path / "a.safetensors", random_state(CONFIGS[kind]), CONFIGS[kind])
    with pytest.raises(MissingModel, match=title):
        load_checkpoint(tmp_path / "a.safetensors", "open")


def test_other_networks_are_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {"smplx_head.decpose.weight": torch.ones(2)}}, tmp_path / "x.ckpt")
    with pytest.raises(MissingModel, match="SMPL-X"):
        load_checkpoint(tmp_path / "x.ckpt", "camerahmr")
    torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(2)}}, tmp_path / "f.ckpt")
    with pytest.raises(MissingModel, match="focal"):
        load_checkpoint(tmp_path / "f.ckpt", "camerahmr")
    torch.save({"conv1.weight": torch.ones(2)}, tmp_path / "r.ckpt")
    with pytest.raises(MissingModel, match="no network for bodies"):
        load_checkpoint(tmp_path / "r.ckpt", "hmr2")


def test_query_that_reads_the_mean_body_alone_is_not_hmr2(tmp_path: Path) -> None:
    """An option of HMR2's code that its checkpoints do not use: 157 inputs."""
    state = random_state(TINY_HMR2)
    name = "smpl_head.transformer.to_token_embedding.weight"
    state[name] = state[name].repeat(1, 157)
    assert f"{name}: 40x157 instead of 40x1" in refused(lightning(tmp_path / "a.ckpt", state))


def test_own_network_without_its_sizes_is_refused(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    state["smpl_head.transformer.to_token_embedding.weight"] = torch.ones(40, 3)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(MissingModel, match="does not say what sizes"):
        load_checkpoint(tmp_path / "a.pt", "open")


def test_unknown_kind_is_a_bad_call(tmp_path: Path) -> None:
    path = lightning(tmp_path / "a.ckpt", random_state(TINY_HMR2))
    with pytest.raises(BadCall, match="hmr2, camerahmr, open"):
        load_checkpoint(path, "hmr3")


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.3, 0.99])
@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_file_that_was_cut_short_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    if path.suffix == ".ckpt":
        lightning(path, random_state(TINY_HMR2))
    else:
        save_checkpoint(path, random_state(TINY_HMR2), TINY_HMR2)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "again" in refused(path)


@pytest.mark.parametrize(
    "about", ["no json", "[]", '{"plan": 3}', '{"config": {"dim": 3}, "plan": null}', '{"config": 7}']
)
def test_file_with_a_damaged_description_is_refused(tmp_path: Path, about: str) -> None:
    save_file(random_state(TINY_HMR2), tmp_path / "a.safetensors", {"fasthmr": about})
    assert "itself" in (message := refused(tmp_path / "a.safetensors")) or "its sizes" in message


def test_table_of_no_tensors_is_refused(tmp_path: Path) -> None:
    for content in ({"state_dict": {}}, {"a": 1}, [1, 2], torch.ones(3)):
        torch.save(content, tmp_path / "a.ckpt")
        assert "no table of tensors" in refused(tmp_path / "a.ckpt")


def test_several_networks_in_one_file_are_not_guessed_at(tmp_path: Path) -> None:
    state = random_state(TINY_HMR2)
    torch.save(
        {f"{which}.{name}": one for which in ("model", "net") for name, one in state.items()},
        tmp_path / "a.pt",
    )
    assert "several networks (model, net)" in refused(tmp_path / "a.pt")


def test_something_else_in_the_place_of_a_tensor_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = random_state(TINY_HMR2)
    state[FIRST] = torch.sparse_coo_tensor(
        torch.tensor([[0], [1]]), torch.ones(1), (2, 2), check_invariants=True
    )
    torch.save(state, tmp_path / "a.pt")
    assert f"{FIRST} is stored in a way" in refused(tmp_path / "a.pt")
