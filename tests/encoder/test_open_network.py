# SPDX-License-Identifier: Apache-2.0
"""Our own network: landmark tokens beside those of the patches, and the guess that the head corrects."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.config import HMR2, EncoderConfig
from fasthmr.encoder.layout import tensor_shapes
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.runner import EncoderRunner
from fasthmr.encoder.token_merging import MUST_STAY, TokenMerging
from tests.encoder import straight_line
from tests.encoder.naive_merged_vit import Weights, attention, first_tokens, in_numpy, linear, norm
from tests.encoder.open_network import TINY, crops, landmarks, network

PATCHES = 20


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * one * (1 + math.erf(one / math.sqrt(2))) for one in x.ravel()]).reshape(x.shape)


def naive_guess(marks: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """What the transformer is told (guess,), and the body (157,)."""
    name = "smpl_head.first_guess"
    x = linear(marks.reshape(-1), weights, f"{name}.read")
    for layer in range(3):
        inner = norm(x, weights, f"{name}.layers.{layer}.norm", 1e-5)
        inner = gelu(linear(inner, weights, f"{name}.layers.{layer}.fc1"))
        x = x + linear(inner, weights, f"{name}.layers.{layer}.fc2")
    hidden = norm(x, weights, f"{name}.norm", 1e-5)
    return hidden, linear(hidden, weights, f"{name}.body")


def naive_landmark_token(mark: np.ndarray, index: int, hidden: np.ndarray, weights: Weights) -> np.ndarray:
    name = "backbone.landmark_embed"
    seen = mark[2] > 0
    inner = gelu(linear(mark if seen else 0 * mark, weights, f"{name}.fc1"))
    token = linear(inner, weights, f"{name}.fc2") + weights[f"{name}.names"][0, index]
    token = token + linear(hidden, weights, f"{name}.of_guess")
    rows, columns = TINY.grid
    height, width = TINY.image_size
    positions = weights["backbone.pos_embed"][0]
    for row in range(rows):
        for column in range(columns):
            # Middle of the patch from the middle of the image, in halves of its height.
            x = (16 * column - 2 + 7.5 - width / 2) / (height / 2)
            y = (16 * row - 2 + 7.5 - height / 2) / (height / 2)
            step = 16 / (height / 2)
            share = max(0, 1 - abs(mark[0] - x) / step) * max(0, 1 - abs(mark[1] - y) / step)
            token = token + seen * share * (positions[0] + positions[1 + row * columns + column])
    return token


def naive_tokens(image: np.ndarray, marks: np.ndarray, weights: Weights) -> np.ndarray:
    hidden, _ = naive_guess(marks, weights)
    x = np.stack(
        first_tokens(image, weights, TINY)
        + [naive_landmark_token(mark, index, hidden, weights) for index, mark in enumerate(marks)]
    )
    for layer in range(TINY.depth):
        name = f"backbone.blocks.{layer}"
        given, _ = attention(
            norm(x, weights, f"{name}.norm1"), [1.0] * len(x), weights, f"{name}.attn", TINY.heads
        )
        x = x + given
        inner = gelu(linear(norm(x, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1"))
        x = x + linear(inner, weights, f"{name}.mlp.fc2")
    return norm(x, weights, "backbone.last_norm")


def test_the_network_equals_plain_arithmetic() -> None:
    model, images, marks = network(), crops(3), landmarks(3)
    assert TINY.tokens == PATCHES
    assert (marks[..., 2] == 0).any()
    output = model(images, landmarks=marks)
    weights = in_numpy(model.state_dict())
    for person in range(3):
        tokens = naive_tokens(images[person].numpy(), marks[person].numpy(), weights)
        _, body = naive_guess(marks[person].numpy(), weights)
        # The guess is added to the mean body that the head's answer is added to.
        state = dict(model.state_dict())
        for name, part in zip(("body_pose", "betas", "cam"), np.split(body, [144, 154]), strict=True):
            state[f"smpl_head.init_{name}"] = state[f"smpl_head.init_{name}"] + torch.from_numpy(part)
        expected = straight_line.head(state, torch.from_numpy(tokens), None, TINY.head_heads)
        for name, value in zip(("rotmat", "betas", "camera", "token"), expected, strict=True):
            torch.testing.assert_close(getattr(output, name)[person], value, rtol=0, atol=1e-9)


def test_the_simplified_head_says_the_same() -> None:
    images, marks = crops(2), landmarks(2)
    plain = network()(images, landmarks=marks)
    simple = network().simplify_()(images, landmarks=marks)
    for name in ("rotmat", "betas", "camera", "token"):
        torch.testing.assert_close(getattr(simple, name), getattr(plain, name), rtol=0, atol=1e-9)


def test_merging_never_touches_landmarks() -> None:
    model, images, marks = network(), crops(4), landmarks(4)
    generator = torch.Generator().manual_seed(5)
    person = (torch.rand(4, PATCHES, generator=generator) < 0.4).to(torch.uint8)
    for levels in (None, person, torch.ones_like(person)):
        model.reduction = TokenMerging((7, 4, 1))
        state = model(images, protection=levels, landmarks=marks).state
        assert state is not None
        left = PATCHES + TINY.landmarks - 12
        assert state.sizes.shape == (4, left)
        assert state.sizes[:, -TINY.landmarks :].eq(1).all()
        assert state.levels[:, -TINY.landmarks :].eq(MUST_STAY).all()
        expected = torch.arange(left - TINY.landmarks, left).expand(4, -1)
        assert torch.equal(state.origin[:, PATCHES:], expected)


def test_the_order_of_kept_patches_does_not_matter_and_all_of_them_are_all() -> None:
    model, images, marks = network(), crops(2), landmarks(2)
    backbone = model.backbone
    guess = model.smpl_head.guess(marks)
    assert guess is not None
    order = torch.randperm(PATCHES, generator=torch.Generator().manual_seed(1)).expand(2, -1)
    tokens = backbone.through(backbone.embed(images, marks, guess.hidden))
    shuffled = backbone.through(backbone.embed(images, marks, guess.hidden, keep=order))
    torch.testing.assert_close(shuffled[:, :PATCHES], tokens[:, order[0]], rtol=0, atol=1e-9)
    torch.testing.assert_close(tokens, backbone(images, None, None, marks, guess.hidden)[0])
    few = backbone.embed(images, marks, guess.hidden, keep=order[:, :5])
    assert few.shape == (2, 5 + TINY.landmarks, TINY.dim)


def test_landmarks_are_asked_for() -> None:
    model = network()
    with pytest.raises(ValueError, match="reads landmarks"):
        model(crops(1))
    with pytest.raises(ValueError, match="reads landmarks"):
        model(crops(1), landmarks=landmarks(1)[:, :4])


def test_a_guess_and_landmarks_come_together() -> None:
    with pytest.raises(ValueError, match="both or none"):
        dataclasses.replace(TINY, guess=0)
    with pytest.raises(ValueError, match="both or none"):
        dataclasses.replace(HMR2, guess=64)


def test_sizes_of_older_files_have_no_landmarks() -> None:
    content = HMR2.to_json()
    del content["landmarks"], content["guess"]
    assert EncoderConfig.from_json(content) == HMR2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_checkpoint_there_and_back(tmp_path: Path, dtype: torch.dtype) -> None:
    model = network(dtype=torch.float32)
    assert {name: tuple(one.shape) for name, one in model.state_dict().items()} == tensor_shapes(TINY)
    save_checkpoint(tmp_path / "open.safetensors", model, TINY, {"card": {"steps": 3}})
    again = load_checkpoint(tmp_path / "open.safetensors", "open", simplify=False, dtype=dtype)
    assert again.config == TINY
    images, marks = crops(2).float(), landmarks(2).float()
    expected = model(images, landmarks=marks).rotmat
    tolerance = 0 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(again(images, landmarks=marks).rotmat, expected, rtol=0, atol=tolerance)


def test_the_runner_fills_batches_with_landmarks() -> None:
    images, marks = crops(7).float(), landmarks(7).float()
    model = network(dtype=torch.float32).simplify_()
    expected = model(images, landmarks=marks)
    runner = EncoderRunner(
        HMRModel.from_state(TINY, network(dtype=torch.float32).state_dict()), "cpu", "fp32"
    )
    runner.prepare()
    found = runner.encode(images, landmarks=marks)
    torch.testing.assert_close(found.rotmat, expected.rotmat, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="7 crops"):
        runner.encode(images, landmarks=marks[:3])
