# SPDX-License-Identifier: Apache-2.0
"""The names and shapes of the published checkpoints, against a table read off their authors' code."""

from __future__ import annotations

import math

import pytest
import torch

from fasthmr.encoder.config import CAMERAHMR, HMR2, SMALL_OPEN, EncoderConfig
from fasthmr.encoder.layout import BUFFERS, parameter_count, stays_exact, tensor_shapes
from fasthmr.encoder.model import HMRModel
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2

# 4D-Humans at 6ec7965: hmr2/models/backbones/vit.py, heads/smpl_head.py, components/pose_transformer.py.
BLOCK = {
    "norm1.weight": (1280,),
    "norm1.bias": (1280,),
    "attn.qkv.weight": (3840, 1280),
    "attn.qkv.bias": (3840,),
    "attn.proj.weight": (1280, 1280),
    "attn.proj.bias": (1280,),
    "norm2.weight": (1280,),
    "norm2.bias": (1280,),
    "mlp.fc1.weight": (5120, 1280),
    "mlp.fc1.bias": (5120,),
    "mlp.fc2.weight": (1280, 5120),
    "mlp.fc2.bias": (1280,),
}
LAYER = {
    "0.norm.weight": (1024,),
    "0.norm.bias": (1024,),
    "0.fn.to_qkv.weight": (1536, 1024),
    "0.fn.to_out.0.weight": (1024, 512),
    "0.fn.to_out.0.bias": (1024,),
    "1.norm.weight": (1024,),
    "1.norm.bias": (1024,),
    "1.fn.to_kv.weight": (1024, 1280),
    "1.fn.to_q.weight": (512, 1024),
    "1.fn.to_out.0.weight": (1024, 512),
    "1.fn.to_out.0.bias": (1024,),
    "2.norm.weight": (1024,),
    "2.norm.bias": (1024,),
    "2.fn.net.0.weight": (1024, 1024),
    "2.fn.net.0.bias": (1024,),
    "2.fn.net.3.weight": (1024, 1024),
    "2.fn.net.3.bias": (1024,),
}
PUBLISHED_HMR2 = {
    "backbone.pos_embed": (1, 193, 1280),
    "backbone.patch_embed.proj.weight": (1280, 3, 16, 16),
    "backbone.patch_embed.proj.bias": (1280,),
    "backbone.last_norm.weight": (1280,),
    "backbone.last_norm.bias": (1280,),
    "smpl_head.transformer.to_token_embedding.weight": (1024, 1),
    "smpl_head.transformer.to_token_embedding.bias": (1024,),
    "smpl_head.transformer.pos_embedding": (1, 1, 1024),
    "smpl_head.decpose.weight": (144, 1024),
    "smpl_head.decpose.bias": (144,),
    "smpl_head.decshape.weight": (10, 1024),
    "smpl_head.decshape.bias": (10,),
    "smpl_head.deccam.weight": (3, 1024),
    "smpl_head.deccam.bias": (3,),
    "smpl_head.init_body_pose": (1, 144),
    "smpl_head.init_betas": (1, 10),
    "smpl_head.init_cam": (1, 3),
    **{f"backbone.blocks.{i}.{name}": shape for i in range(32) for name, shape in BLOCK.items()},
    **{
        f"smpl_head.transformer.transformer.layers.{i}.{name}": shape
        for i in range(6)
        for name, shape in LAYER.items()
    },
}
# CameraHMR at 65d11a0: core/heads/smpl_head_cliff.py.
PUBLISHED_CAMERAHMR = {
    **PUBLISHED_HMR2,
    "smpl_head.transformer.to_token_embedding.weight": (1024, 160),
    "smpl_head.deckp.weight": (88, 1024),
    "smpl_head.deckp.bias": (88,),
}
MEAN_BODY = {"smpl_head.init_body_pose", "smpl_head.init_betas", "smpl_head.init_cam"}


def count(table: dict[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for name, shape in table.items() if name not in MEAN_BODY)


def test_layout_is_the_published_one() -> None:
    assert tensor_shapes(HMR2) == PUBLISHED_HMR2
    assert tensor_shapes(CAMERAHMR) == PUBLISHED_CAMERAHMR
    assert set(BUFFERS) == MEAN_BODY


def test_published_networks_have_their_number_of_tensors_and_parameters() -> None:
    assert len(PUBLISHED_HMR2) == 503
    assert count(PUBLISHED_HMR2) == parameter_count(HMR2) == 670_459_037
    assert len(PUBLISHED_CAMERAHMR) == 505
    # 159 more inputs of the query, and the layer of 44 landmarks.
    assert count(PUBLISHED_CAMERAHMR) == 670_459_037 + 159 * 1024 + 88 * 1025
    assert parameter_count(CAMERAHMR) == 670_712_053


@pytest.mark.parametrize("config", [HMR2, CAMERAHMR, SMALL_OPEN, TINY_HMR2, TINY_CAMERAHMR])
def test_network_carries_these_names_and_shapes(config: EncoderConfig) -> None:
    with torch.device("meta"):
        model = HMRModel(config)
    assert {name: tuple(one.shape) for name, one in model.state_dict().items()} == tensor_shapes(config)
    assert sum(one.numel() for one in model.parameters()) == parameter_count(config)
    assert {name for name, _ in model.named_buffers()} == MEAN_BODY


def test_the_head_stays_exact_and_is_a_small_part() -> None:
    exact = {name: shape for name, shape in tensor_shapes(HMR2).items() if stays_exact(name)}
    assert {name.split(".")[0] for name in exact} == {"smpl_head"}
    assert count(exact) == pytest.approx(670_459_037 / 16, rel=0.07)
