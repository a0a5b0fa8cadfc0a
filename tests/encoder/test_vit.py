# SPDX-License-Identifier: Apache-2.0
"""The vision transformer: patches, positions, attention with sizes, and the place where tokens merge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fasthmr.encoder import HMR2
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_merging import TokenMerging
from fasthmr.encoder.vit import VisionTransformer, attention_with_channels, sized_attention
from tests.encoder import straight_line
from tests.encoder.small_sizes import TINY_HMR2


def transformer(dtype: torch.dtype = torch.float64) -> tuple[VisionTransformer, dict[str, Tensor]]:
    state = random_state(TINY_HMR2, dtype)
    model = VisionTransformer(TINY_HMR2)
    mine = {
        name.removeprefix("backbone."): one for name, one in state.items() if name.startswith("backbone.")
    }
    model.load_state_dict(mine, assign=True)
    return model.eval().requires_grad_(False), state


def images(batch: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, 3, 64, 48, dtype=dtype, generator=torch.Generator().manual_seed(5))


def explicit(q: Tensor, k: Tensor, v: Tensor, sizes: Tensor) -> Tensor:
    """Proportional attention as it is written down, in float64."""
    q, k, v, sizes = (one.double() for one in (q, k, v, sizes))
    scores = q @ k.mT / math.sqrt(q.shape[-1]) + sizes.log()[:, None, None, :]
    return scores.softmax(dim=-1) @ v


def attention_input(dtype: torch.dtype, width: int = 80, count: int = 37) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    q, k, v = torch.randn(3, 2, 4, count, width, generator=generator).to(dtype).unbind(0)
    sizes = torch.randint(1, 40, (2, count), generator=generator).float()
    return q, k, v, sizes


def test_patches_start_two_pixels_outside_the_image() -> None:
    """Patch (i, j) covers rows 16i-2 .. 16i+13, and columns alike; the protection of patches relies on it."""
    model, _ = transformer()
    rows, columns = TINY_HMR2.grid
    plain = model.embed(torch.zeros(1, 3, 64, 48, dtype=torch.float64))
    for row, column in [(0, 0), (13, 13), (14, 13), (13, 14), (29, 14), (63, 47)]:
        image = torch.zeros(1, 3, 64, 48, dtype=torch.float64)
        image[0, 1, row, column] = 1
        changed = (model.embed(image) != plain).any(dim=-1)[0].nonzero().flatten().tolist()
        i, j = (row + 2) // 16, (column + 2) // 16
        assert changed == ([i * columns + j] if i < rows and j < columns else [])


def test_first_position_is_added_to_every_token() -> None:
    model, _ = transformer()
    plain = model.embed(images())
    with torch.no_grad():
        model.pos_embed[:, 0] += 1
    torch.testing.assert_close(model.embed(images()), plain + 1)


def test_transformer_is_the_published_one() -> None:
    model, state = transformer()
    tokens, merged = model(images())
    assert merged is None
    for image, mine in zip(images(), tokens, strict=True):
        expected = straight_line.backbone(state, image, TINY_HMR2.heads, TINY_HMR2.grid)
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-9)


def test_attention_takes_no_bias_from_no_sizes() -> None:
    q, k, v, sizes = attention_input(torch.float64)
    expected = explicit(q, k, v, torch.ones_like(sizes))
    torch.testing.assert_close(sized_attention(q, k, v, None), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [16, 64, 78, 80])
def test_attention_with_channels_is_attention_with_a_mask(width: int) -> None:
    q, k, v, sizes = attention_input(torch.float64, width)
    found = attention_with_channels(q, k, v, sizes.double().log())
    torch.testing.assert_close(found, explicit(q, k, v, sizes), rtol=0, atol=1e-12)
    torch.testing.assert_close(sized_attention(q, k, v, sizes), found, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("dtype", "off"), [(torch.float32, 2e-6), (torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)]
)
def test_the_bias_is_as_exact_as_the_rest_in_every_precision(dtype: torch.dtype, off: float) -> None:
    """A bias rounded to bfloat16 once would be off by up to 0.03 of a score, more than all else together."""
    q, k, v, sizes = attention_input(dtype)
    expected = explicit(q, k, v, sizes)
    for found in (attention_with_channels(q, k, v, sizes.log()), sized_attention(q, k, v, sizes)):
        assert found.dtype == dtype
        assert found.shape == v.shape
        assert (found.double() - expected).abs().max() < off


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_two_channels_hold_the_bias_better_than_one(dtype: torch.dtype) -> None:
    """With equal queries and keys only the bias decides, and its rounding shows."""
    q, k, _, sizes = attention_input(dtype)
    v = torch.eye(37, 80, dtype=dtype).expand(2, 4, 37, 80)
    found = attention_with_channels(torch.zeros_like(q), torch.zeros_like(k), v, sizes.log())
    shares = (sizes / sizes.sum(dim=1, keepdim=True))[:, None, None, :]
    error = (found[..., :37].float() / shares - 1).abs().max()
    assert error < 1.5 * 2 ** (-8 if dtype == torch.bfloat16 else -11)  # one rounding, of the result


def test_head_width_is_padded_to_what_fast_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(q: Tensor, k: Tensor, v: Tensor, **options: float) -> Tensor:
        assert "attn_mask" not in options
        shapes.append((q.shape[-1], k.shape[-1], v.shape[-1]))
        return plain(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    for width in (80, 64, 78):
        q, k, v, sizes = attention_input(torch.float32, width)
        attention_with_channels(q, k, v, sizes.log())
    assert HMR2.dim // HMR2.heads == 80
    assert shapes == [(88, 88, 88), (72, 72, 72), (80, 80, 80)]


def test_merging_gets_the_keys_of_its_layer_and_sizes_bias_the_next() -> None:
    """Against the layers one by one, with the merge done between attention and MLP."""
    model, state = transformer()
    reduction = TokenMerging(schedule=(2, 0, 1), log_size_bias=True)
    found, merged = model(images(), reduction)
    assert merged is not None

    x = model.embed(images())
    kept = reduction.start(None, 2, x.shape[1], x.device)
    for layer, block in enumerate(model.blocks):
        name = f"backbone.blocks.{layer}"
        normed = straight_line.norm(state, f"{name}.norm1", x, 1e-6)
        q, k, v = (
            part.unflatten(-1, (TINY_HMR2.heads, -1)).transpose(1, 2)
            for part in straight_line.linear(state, f"{name}.attn.qkv", normed).chunk(3, dim=-1)
        )
        attended = explicit(q, k, v, kept.sizes).transpose(1, 2).flatten(2)
        x = x + straight_line.linear(state, f"{name}.attn.proj", attended)
        if reduction.count(layer):
            x, kept = reduction.reduce(x, k.float().mean(dim=1), kept, layer)
        x = block.feed(x)  # pyright: ignore[reportCallIssue]
    expected = straight_line.norm(state, "backbone.last_norm", x, 1e-6)
    assert found.shape[1] == TINY_HMR2.tokens - 3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(merged.origin, kept.origin)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_nothing_is_the_plain_network_to_the_last_bit(dtype: torch.dtype) -> None:
    model, _ = transformer(dtype)
    plain, _ = model(images(dtype=dtype))
    nothing, state = model(images(dtype=dtype), TokenMerging(schedule=(0, 0, 0), log_size_bias=True))
    assert torch.equal(plain, nothing)
    assert state is not None
