# SPDX-License-Identifier: Apache-2.0
"""The tensors of a checkpoint: the names and shapes that the published files have.

The modules of this package carry these names, so that a file needs no mapping; a loader compares a file with
this table before any module is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from fasthmr.encoder.config import (
    BODY_SIZE,
    CAMERA_SIZE,
    GUESS_LAYERS,
    LANDMARK_NUMBERS,
    POSE_SIZE,
    SHAPE_SIZE,
    EncoderConfig,
)

Shape = tuple[int, ...]

#: Tensors that hold the mean body and are no parameters of the published networks.
BUFFERS = ("smpl_head.init_body_pose", "smpl_head.init_betas", "smpl_head.init_cam")


def tensor_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Name and shape of every tensor under ``backbone.`` and ``smpl_head.``, in the order of the modules."""
    return dict([*_backbone(config), *_head(config)])


def stays_exact(name: str) -> bool:
    """Whether a tensor stays in float32 when the network is brought to half precision.

    The head does: it is a sixteenth of the weights and, with one query, next to none of the work, and in
    bfloat16 it alone turned joints by 0.6 degrees on average (random weights; 0.04 so).
    """
    return name.startswith("smpl_head.")


def parameter_count(config: EncoderConfig) -> int:
    """How many numbers the parameters hold; the mean body (:data:`BUFFERS`) does not count."""
    return sum(math.prod(shape) for name, shape in tensor_shapes(config).items() if name not in BUFFERS)


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name: str, size: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)


def _backbone(config: EncoderConfig) -> Iterator[tuple[str, Shape]]:
    dim = config.dim
    yield "backbone.pos_embed", (1, config.tokens + 1, dim)
    yield "backbone.patch_embed.proj.weight", (dim, config.in_channels, config.patch, config.patch)
    yield "backbone.patch_embed.proj.bias", (dim,)
    if config.landmarks:
        yield "backbone.landmark_embed.names", (1, config.landmarks, dim)
        yield from _linear("backbone.landmark_embed.fc1", LANDMARK_NUMBERS, dim)
        yield from _linear("backbone.landmark_embed.fc2", dim, dim)
        yield from _linear("backbone.landmark_embed.of_guess", config.guess, dim)
    for layer in range(config.depth):
        block = f"backbone.blocks.{layer}"
        yield from _norm(f"{block}.norm1", dim)
        yield from _linear(f"{block}.attn.qkv", dim, 3 * dim)
        yield from _linear(f"{block}.attn.proj", dim, dim)
        yield from _norm(f"{block}.norm2", dim)
        yield from _linear(f"{block}.mlp.fc1", dim, config.mlp_ratio * dim)
        yield from _linear(f"{block}.mlp.fc2", config.mlp_ratio * dim, dim)
    yield from _norm("backbone.last_norm", dim)


def _head(config: EncoderConfig) -> Iterator[tuple[str, Shape]]:
    dim, inner = config.head_dim, config.head_heads * config.head_head_dim
    yield "smpl_head.init_body_pose", (1, POSE_SIZE)
    yield "smpl_head.init_betas", (1, SHAPE_SIZE)
    yield "smpl_head.init_cam", (1, CAMERA_SIZE)
    yield "smpl_head.transformer.pos_embedding", (1, 1, dim)
    yield from _linear("smpl_head.transformer.to_token_embedding", config.token_input, dim)
    for number in range(config.head_depth):
        layer = f"smpl_head.transformer.transformer.layers.{number}"
        yield from _norm(f"{layer}.0.norm", dim)
        yield from _linear(f"{layer}.0.fn.to_qkv", dim, 3 * inner, bias=False)
        yield from _linear(f"{layer}.0.fn.to_out.0", inner, dim)
        yield from _norm(f"{layer}.1.norm", dim)
        yield from _linear(f"{layer}.1.fn.to_kv", config.dim, 2 * inner, bias=False)
        yield from _linear(f"{layer}.1.fn.to_q", dim, inner, bias=False)
        yield from _linear(f"{layer}.1.fn.to_out.0", inner, dim)
        yield from _norm(f"{layer}.2.norm", dim)
        yield from _linear(f"{layer}.2.fn.net.0", dim, config.head_mlp)
        yield from _linear(f"{layer}.2.fn.net.3", config.head_mlp, dim)
    yield from _linear("smpl_head.decpose", dim, POSE_SIZE)
    yield from _linear("smpl_head.decshape", dim, SHAPE_SIZE)
    yield from _linear("smpl_head.deccam", dim, CAMERA_SIZE)
    if config.landmarks:
        yield from _first_guess(config)
    if config.keypoint_output:
        yield from _linear("smpl_head.deckp", dim, config.keypoint_output)


def _first_guess(config: EncoderConfig) -> Iterator[tuple[str, Shape]]:
    name, width = "smpl_head.first_guess", config.guess
    yield from _linear(f"{name}.read", config.landmarks * LANDMARK_NUMBERS, width)
    for number in range(GUESS_LAYERS):
        yield from _norm(f"{name}.layers.{number}.norm", width)
        yield from _linear(f"{name}.layers.{number}.fc1", width, width)
        yield from _linear(f"{name}.layers.{number}.fc2", width, width)
    yield from _norm(f"{name}.norm", width)
    yield from _linear(f"{name}.body", width, BODY_SIZE)
