# SPDX-License-Identifier: Apache-2.0
"""The transformer with long skips, against one written with loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fasthmr.decoder.transformer import Layer, SkipTransformer


def array(value: torch.Tensor) -> np.ndarray:
    return value.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(layer.weight).T + array(layer.bias)


def normalised(layer: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    spread = np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return (x - x.mean(-1, keepdims=True)) / spread * array(layer.weight) + array(layer.bias)


def naive_layer(layer: Layer, x: np.ndarray) -> np.ndarray:
    """One sequence (N, width); every head and every token by itself."""
    count, width = x.shape
    part = width // layer.heads
    qkv = linear(layer.qkv, normalised(layer.norm1, x))
    mixed = np.zeros_like(x)
    for head in range(layer.heads):
        own = slice(head * part, (head + 1) * part)
        q, k, v = (qkv[:, third * width : (third + 1) * width][:, own] for third in range(3))
        for token in range(count):
            scores = np.array([q[token] @ k[other] / math.sqrt(part) for other in range(count)])
            shares = np.exp(scores - scores.max())
            mixed[token, own] = (shares / shares.sum()) @ v
    x = x + linear(layer.proj, mixed)
    inner = linear(layer.fc1, normalised(layer.norm2, x))
    inner = 0.5 * inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return x + linear(layer.fc2, inner)


def naive_transformer(network: SkipTransformer, x: np.ndarray) -> np.ndarray:
    depth = len(network.layers)
    after: list[np.ndarray] = []
    for index, layer in enumerate(network.layers):
        partner = depth - 1 - index  # the layer of the first half whose output is joined
        if partner < index:
            skip = network.skips[len(network.skips) - 1 - partner]
            assert isinstance(skip, nn.Linear)
            x = linear(skip, np.concatenate([x, after[partner]], axis=-1))
        assert isinstance(layer, Layer)
        x = naive_layer(layer, x)
        after.append(x)
    return normalised(network.norm, x)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return network


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_layer_is_that_of_the_loops(heads: int) -> None:
    layer = randomised(Layer(8, heads, 1.5), heads)
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    made = array(layer(x))
    for row in range(3):
        assert isinstance(layer, Layer)
        np.testing.assert_allclose(made[row], naive_layer(layer, array(x[row])), atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_layers_are_joined_crosswise(depth: int) -> None:
    network = randomised(SkipTransformer(8, depth, 2), depth)
    assert isinstance(network, SkipTransformer)
    assert len(network.skips) == depth // 2
    x = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(2))
    made = array(network(x))
    for row in range(2):
        np.testing.assert_allclose(made[row], naive_transformer(network, array(x[row])), atol=2e-4)


def test_begins_as_if_there_were_no_skips() -> None:
    torch.manual_seed(0)
    network = SkipTransformer(8, 4, 2)
    x = torch.randn(2, 4, 8)
    plain = x
    for layer in network.layers:
        plain = layer(plain)
    assert torch.equal(network(x), network.norm(plain))


def test_order_of_tokens_does_not_matter_to_it() -> None:
    network = randomised(SkipTransformer(8, 3, 2), 0)
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(3))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(network(x)[:, order], network(x[:, order]), atol=1e-5)


def test_products_in_half_the_numbers_are_nearly_the_same() -> None:
    torch.manual_seed(4)
    network = SkipTransformer(16, 3, 2)
    x = torch.randn(2, 6, 16)
    plain = network(x)
    network.products = torch.bfloat16
    rounded = network(x)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, plain)
    assert torch.allclose(rounded, plain, atol=0.05)
    rounded.square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters())
