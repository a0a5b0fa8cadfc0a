# SPDX-License-Identifier: Apache-2.0
"""A vision transformer with token merging, one image, one head, one token at a time, in double precision."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from fasthmr.encoder.config import EncoderConfig
from tests.encoder.naive_merging import Group, merge

Weights = Mapping[str, np.ndarray]


def in_numpy(state: Mapping[str, torch.Tensor]) -> Weights:
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def norm(x: np.ndarray, weights: Weights, name: str, eps: float = 1e-6) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def first_tokens(image: np.ndarray, weights: Weights, config: EncoderConfig) -> list[np.ndarray]:
    """Patch by patch; the image is (C, H, W)."""
    padding, side = config.patch_padding, config.patch
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    kernel, bias = weights["backbone.patch_embed.proj.weight"], weights["backbone.patch_embed.proj.bias"]
    places = weights["backbone.pos_embed"][0]
    tokens = []
    for row in range(config.grid[0]):
        for column in range(config.grid[1]):
            patch = padded[:, side * row : side * (row + 1), side * column : side * (column + 1)]
            tokens.append((kernel * patch).sum((1, 2, 3)) + bias + places[0] + places[1 + len(tokens)])
    return tokens


def attention(
    x: np.ndarray, sizes: list[float], weights: Weights, name: str, heads: int
) -> tuple[np.ndarray, np.ndarray]:
    """What attention gives (N, dim), and the mean of the keys over the heads (N, dim / heads)."""
    dim = x.shape[1]
    width = dim // heads
    qkv = linear(x, weights, f"{name}.qkv")
    parts, keys = [], []
    for head in range(heads):
        q, k, v = (qkv[:, part * dim + head * width : part * dim + (head + 1) * width] for part in range(3))
        keys.append(k)
        given = np.zeros((len(x), width))
        for i in range(len(x)):
            scores = [q[i] @ k[j] / math.sqrt(width) + math.log(sizes[j]) for j in range(len(x))]
            shares = [math.exp(score - max(scores)) for score in scores]
            given[i] = sum(share * v[j] for j, share in enumerate(shares)) / sum(shares)
        parts.append(given)
    return linear(np.concatenate(parts, 1), weights, f"{name}.proj"), np.mean(keys, axis=0)


def merged_tokens(
    image: np.ndarray,
    levels: list[int],
    weights: Weights,
    config: EncoderConfig,
    schedule: tuple[int, ...],
    weighted: bool = True,
    log_size: bool = False,
) -> tuple[np.ndarray, list[Group], int]:
    """The backbone's tokens for one image (C, H, W).

    Returns:
        (M, dim), what each of them stands for, and how many merges were forced.
    """
    groups = [
        Group(token, 1, level, [index])
        for index, (token, level) in enumerate(zip(first_tokens(image, weights, config), levels, strict=True))
    ]
    forced = 0
    for layer in range(config.depth):
        name = f"backbone.blocks.{layer}"
        x = np.stack([one.value for one in groups])
        sizes = [one.size if log_size else 1.0 for one in groups]
        given, keys = attention(
            norm(x, weights, f"{name}.norm1"), sizes, weights, f"{name}.attn", config.heads
        )
        for group, more in zip(groups, given, strict=True):
            group.value = group.value + more
        if layer < len(schedule):
            groups, more_forced = merge(groups, keys, schedule[layer], weighted)
            forced += more_forced
        for group in groups:
            hidden = linear(norm(group.value, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1")
            gelu = np.array([0.5 * one * (1 + math.erf(one / math.sqrt(2))) for one in hidden])
            group.value = group.value + linear(gelu, weights, f"{name}.mlp.fc2")
    x = np.stack([one.value for one in groups])
    return norm(x, weights, "backbone.last_norm"), groups, forced
