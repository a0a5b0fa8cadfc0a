# SPDX-License-Identifier: Apache-2.0
"""The published network as plain arithmetic on a table of tensors: what the package must reproduce.

Written from the description of the network alone, step by step, with nothing of the package: no modules, no
fused attention, no library for rotations; one image, one head, one joint at a time. It takes its sizes from
the tensors, except for the numbers of heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def estimate(
    state: State,
    image: Tensor,
    box: Tensor | None,
    heads: int = 16,
    head_heads: int = 8,
    grid: tuple[int, int] = (16, 12),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For one image (3,H,W) and CameraHMR's box (3,): rotations (24,3,3), shape, camera, token.

    Everything is computed in the precision of the image; each weight is brought to it when it is needed.
    """
    tokens = backbone(state, image, heads, grid)
    return head(state, tokens, box, head_heads)


def weight(state: State, name: str, like: Tensor) -> Tensor:
    return state[name].to(like.dtype)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    y = x @ weight(state, f"{name}.weight", x).T
    return y + weight(state, f"{name}.bias", x) if f"{name}.bias" in state else y


def norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred * centred).mean(dim=-1, keepdim=True)
    scale, shift = weight(state, f"{name}.weight", x), weight(state, f"{name}.bias", x)
    return centred / torch.sqrt(variance + eps) * scale + shift


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """q (Q,C), k and v (N,C) to (Q,C); the channels of a head lie together."""
    width = q.shape[1] // heads
    parts = []
    for number in range(heads):
        mine = slice(number * width, (number + 1) * width)
        scores = q[:, mine] @ k[:, mine].T / width**0.5
        powers = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        parts.append(powers / powers.sum(dim=1, keepdim=True) @ v[:, mine])
    return torch.cat(parts, dim=1)


def backbone(state: State, image: Tensor, heads: int, grid: tuple[int, int]) -> Tensor:
    """Image (3,H,W) to tokens (N,C)."""
    kernel = weight(state, "backbone.patch_embed.proj.weight", image)
    shift = weight(state, "backbone.patch_embed.proj.bias", image)
    positions = weight(state, "backbone.pos_embed", image)[0]
    _, high, wide = image.shape
    padded = image.new_zeros(3, high + 4, wide + 4)
    padded[:, 2:-2, 2:-2] = image
    rows = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            patch = padded[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            rows.append(kernel.flatten(1) @ patch.flatten() + shift + positions[1 + len(rows)] + positions[0])
    x = torch.stack(rows)
    layer = 0
    while f"backbone.blocks.{layer}.norm1.weight" in state:
        block = f"backbone.blocks.{layer}"
        q, k, v = linear(state, f"{block}.attn.qkv", norm(state, f"{block}.norm1", x, 1e-6)).chunk(3, dim=1)
        x = x + linear(state, f"{block}.attn.proj", attention(q, k, v, heads))
        hidden = gelu(linear(state, f"{block}.mlp.fc1", norm(state, f"{block}.norm2", x, 1e-6)))
        x = x + linear(state, f"{block}.mlp.fc2", hidden)
        layer += 1
    return norm(state, "backbone.last_norm", x, 1e-6)


def head(
    state: State, tokens: Tensor, box: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens (N,C) to rotations (24,3,3), shape (10,), camera (3,) and token (C',)."""
    means = {
        name: weight(state, f"smpl_head.init_{name}", tokens)[0] for name in ("body_pose", "betas", "cam")
    }
    if box is None:
        read = tokens.new_zeros(1)
    else:
        read = torch.cat([box, means["body_pose"], means["betas"], means["cam"]])
    x = linear(state, "smpl_head.transformer.to_token_embedding", read[None])
    x = x + weight(state, "smpl_head.transformer.pos_embedding", tokens)[0]
    layer = 0
    while f"smpl_head.transformer.transformer.layers.{layer}.0.norm.weight" in state:
        name = f"smpl_head.transformer.transformer.layers.{layer}"
        q, k, v = linear(state, f"{name}.0.fn.to_qkv", norm(state, f"{name}.0.norm", x, 1e-5)).chunk(3, dim=1)
        x = x + linear(state, f"{name}.0.fn.to_out.0", attention(q, k, v, heads))
        q = linear(state, f"{name}.1.fn.to_q", norm(state, f"{name}.1.norm", x, 1e-5))
        k, v = linear(state, f"{name}.1.fn.to_kv", tokens).chunk(2, dim=1)
        x = x + linear(state, f"{name}.1.fn.to_out.0", attention(q, k, v, heads))
        hidden = gelu(linear(state, f"{name}.2.fn.net.0", norm(state, f"{name}.2.norm", x, 1e-5)))
        x = x + linear(state, f"{name}.2.fn.net.3", hidden)
        layer += 1
    pose = linear(state, "smpl_head.decpose", x)[0] + means["body_pose"]
    betas = linear(state, "smpl_head.decshape", x)[0] + means["betas"]
    camera = linear(state, "smpl_head.deccam", x)[0] + means["cam"]
    return torch.stack([rotation(pose[6 * j : 6 * j + 6]) for j in range(24)]), betas, camera, x[0]


def rotation(six: Tensor) -> Tensor:
    """Six numbers, the first column and then the second, to a rotation matrix (3,3)."""
    first = six[:3] / six[:3].square().sum().sqrt()
    rest = six[3:] - (first * six[3:]).sum() * first
    second = rest / rest.square().sum().sqrt()
    (a, b, c), (d, e, f) = first, second
    third = torch.stack([b * f - c * e, c * d - a * f, a * e - b * d])
    return torch.stack([first, second, third], dim=1)
