# SPDX-License-Identifier: Apache-2.0
"""The vision transformer of HMR2.0 and CameraHMR (a ViT-H as in ViTPose), at any size.

Modules carry the names of the published checkpoints. Tokens may be merged between the attention and the MLP
of a layer (token merging, ICLR 2023); positions are added once, before the first layer, so that nothing has
to be indexed again afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fasthmr.encoder.config import LANDMARK_NUMBERS, EncoderConfig

if TYPE_CHECKING:
    from fasthmr.encoder.token_merging import TokenReduction, TokenState


class PatchEmbed(nn.Module):
    """Patches of the image to tokens: a convolution whose stride is its size."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(
            config.in_channels,
            config.dim,
            kernel_size=config.patch,
            stride=config.patch,
            padding=config.patch_padding,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B,C,H,W) to tokens (B,N,dim), row by row."""
        # Laid out token by token: sums keep the layout of what they add, and every norm would copy otherwise.
        return self.proj(images).flatten(2).transpose(1, 2).contiguous()


class Attention(nn.Module):
    """Self-attention between tokens, each of which may stand for several patches."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            x: tokens (B,N,dim).
            sizes: how many patches each token stands for, (B,N) float32; then the logarithm of the size is
                added to the score of each key ("proportional attention" of token merging). None: not.

        Returns:
            The result (B,N,dim) and the keys (B,heads,N,dim/heads).
        """
        batch, count, dim = x.shape
        qkv = self.qkv(x).view(batch, count, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = sized_attention(q, k, v, sizes)
        return self.proj(attended.transpose(1, 2).reshape(batch, count, dim)), k


def sized_attention(q: Tensor, k: Tensor, v: Tensor, sizes: Tensor | None) -> Tensor:
    """Attention with the logarithm of the keys' sizes added to their scores.

    As a mask, except on NVIDIA GPUs: there a mask would take PyTorch off its fastest kernels, and the bias
    goes into the product of queries and keys (:func:`attention_with_channels`). On CPUs the kernel with a
    mask is the faster of the two.

    Args:
        q: queries (B,heads,N,d).
        k: keys, the same shape.
        v: values, the same shape.
        sizes: (B,N), positive; None: no bias.

    Returns:
        (B,heads,N,d).
    """
    if sizes is None:
        return F.scaled_dot_product_attention(q, k, v)
    bias = sizes.to(torch.promote_types(q.dtype, torch.float32)).log()
    if q.is_cuda:
        return attention_with_channels(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None])


def attention_with_channels(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention with a bias for each key, without a mask.

    The queries get channels that hold one and the keys get channels that hold the bias, so that their product
    adds it. Two channels hold it, the second what rounding takes from the first, so that half precision loses
    nothing that matters; zeros fill up to a multiple of eight, which fast kernels want (80 becomes 88).

    Args:
        q: queries (B,heads,N,d).
        k: keys, the same shape.
        v: values, the same shape.
        bias: (B,N), float32 or wider.

    Returns:
        (B,heads,N,d).
    """
    width = q.shape[-1]
    scale = 1 / math.sqrt(width)
    extra = -(width + 2) % 8 + 2
    exact = bias / scale
    high = exact.to(q.dtype)
    low = (exact - high).to(q.dtype)
    channels = F.pad(torch.stack((high, low), dim=-1), (0, extra - 2))
    q = torch.cat((q, q.new_ones(()).expand(*q.shape[:-1], extra)), dim=-1)
    k = torch.cat((k, channels[:, None].expand(*k.shape[:-1], extra)), dim=-1)
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, extra)), scale=scale)[..., :width]


class Mlp(nn.Module):
    """Two layers with a GELU (the exact one, of the error function) between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B,N,dim) to the same."""
        hidden = self.fc1(x)
        # In place where nothing is learned: on a CPU, memory touched for the first time costs as much as the
        # GELU itself.
        return self.fc2(F.gelu(hidden) if hidden.requires_grad else torch.ops.aten.gelu_(hidden))


class Block(nn.Module):
    """One layer: attention and MLP, each after a norm and added to its input."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=1e-6)
        self.attn = Attention(config.dim, config.heads)
        self.norm2 = nn.LayerNorm(config.dim, eps=1e-6)
        self.mlp = Mlp(config.dim, config.mlp_ratio * config.dim)

    def attend(self, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The first half: tokens (B,N,dim) to the same, and the keys (B,heads,N,dim/heads)."""
        attended, keys = self.attn(self.norm1(x), sizes)
        return x + attended, keys

    def feed(self, x: Tensor) -> Tensor:
        """The second half: tokens (B,N,dim) to the same."""
        return x + self.mlp(self.norm2(x))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B,N,dim) to the same."""
        return self.feed(self.attend(x)[0])


class LandmarkEmbed(nn.Module):
    """Landmarks to tokens: what is known of one, which one it is, and where in the image it lies.

    The place is told as the patches' are: by their positions, interpolated linearly.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.names = nn.Parameter(torch.zeros(1, config.landmarks, config.dim))
        self.fc1 = nn.Linear(LANDMARK_NUMBERS, config.dim)
        self.fc2 = nn.Linear(config.dim, config.dim)
        self.of_guess = nn.Linear(config.guess, config.dim)

    def forward(self, landmarks: Tensor, guess: Tensor, positions: Tensor) -> Tensor:
        """Landmarks (B,L,6) to tokens (B,L,dim).

        Args:
            landmarks: what is known of each; of one outside of the image there is no position.
            guess: (B,guess) what is told of the first guess.
            positions: of the patches, (1,N,dim).
        """
        seen = (landmarks[..., 2:3] > 0).to(landmarks.dtype)
        inner = self.fc2(F.gelu(self.fc1(landmarks * seen)))
        places = (seen * self.shares(landmarks[..., :2])).to(positions.dtype) @ positions[0]
        return inner + self.names + places + self.of_guess(guess)[:, None]

    def shares(self, places: Tensor) -> Tensor:
        """How much of each patch's position a place has, (B,L,N); float32 at least.

        Args:
            places: (B,L,2) x and y, 0 in the middle of the image and 1 at half its height from there.
        """
        config = self.config
        height, width = config.image_size
        places = places.to(torch.promote_types(places.dtype, torch.float32))
        shares = []
        for axis, (side, count) in enumerate(((width, config.grid[1]), (height, config.grid[0]))):
            pixel = side / 2 + places[..., axis] * (height / 2)
            patch = (pixel + config.patch_padding - (config.patch - 1) / 2) / config.patch
            index = torch.arange(count, device=places.device, dtype=places.dtype)
            shares.append((1 - (patch[..., None] - index).abs()).clamp_min(0))
        across, down = shares
        return (down[..., :, None] * across[..., None, :]).flatten(-2)


class VisionTransformer(nn.Module):
    """From a crop to tokens that describe it.

    Args:
        config: the sizes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.landmark_embed = LandmarkEmbed(config) if config.landmarks else None
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens + 1, config.dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.last_norm = nn.LayerNorm(config.dim, eps=1e-6)

    def embed(
        self,
        images: Tensor,
        landmarks: Tensor | None = None,
        guess: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Images (B,C,H,W) to tokens with their positions (B,N,dim), before the first layer.

        The first entry of ``pos_embed`` belonged to a class token that the network no longer has; it is added
        to every token (as in ViTPose).

        Args:
            images: crops.
            landmarks: (B,L,6), whose tokens follow those of the patches; for a network that reads them.
            guess: (B,guess) what the first guess tells, with landmarks.
            keep: (B,K) int64, the patches to keep, for training; None: all.

        Raises:
            ValueError: a network that reads landmarks did not get them.
        """
        positions = self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        tokens = self.patch_embed(images) + positions
        if keep is not None:
            tokens = tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[2]))
        if self.landmark_embed is None:
            return tokens
        if landmarks is None or guess is None:
            raise ValueError(f"this network reads landmarks (B,{self.config.landmarks},{LANDMARK_NUMBERS})")
        return torch.cat(
            (tokens, self.embed_landmarks(landmarks.to(images.dtype), guess.to(images.dtype))), dim=1
        )

    def embed_landmarks(self, landmarks: Tensor, guess: Tensor) -> Tensor:
        """Landmarks (B,L,6) and what the guess tells (B,guess) to tokens (B,L,dim).

        Raises:
            ValueError: it does not, or there are others than it reads.
        """
        if self.landmark_embed is None or landmarks.shape[1:] != (self.config.landmarks, LANDMARK_NUMBERS):
            raise ValueError(f"this network reads landmarks (B,{self.config.landmarks},{LANDMARK_NUMBERS})")
        return self.landmark_embed(landmarks, guess, self.pos_embed[:, 1:] + self.pos_embed[:, :1])

    def through(self, tokens: Tensor) -> Tensor:
        """Tokens (B,N,dim) through all layers, none merged: what training runs on parts of an image."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.last_norm(tokens)

    def levels(self, protection: Tensor | None, batch: int, device: torch.device) -> Tensor | None:
        """What token merging is told of the patches: landmarks' tokens, which follow them, always stay."""
        if protection is None and self.landmark_embed is not None:
            return torch.zeros((batch, self.config.tokens), dtype=torch.uint8, device=device)
        return protection

    def forward(
        self,
        images: Tensor,
        reduction: TokenReduction | None = None,
        protection: Tensor | None = None,
        landmarks: Tensor | None = None,
        guess: Tensor | None = None,
    ) -> tuple[Tensor, TokenState | None]:
        """Encode crops.

        Args:
            images: (B,C,H,W), normalised, in the precision of the weights.
            reduction: how tokens are merged; None: not at all.
            protection: level of every patch, (B,N) uint8, for ``reduction``; None: whatever it does without.
            landmarks: (B,L,6), for a network that reads them (:mod:`fasthmr.encoder.landmark_tokens`).
            guess: (B,guess) what the first guess tells, with landmarks.

        Returns:
            Tokens (B,M,dim), and what became of the patches (None without ``reduction``).
        """
        x = self.embed(images, landmarks, guess)
        state: TokenState | None = None
        if reduction is not None:
            levels = self.levels(protection, x.shape[0], x.device)
            state = reduction.start(levels, x.shape[0], x.shape[1], x.device)
        sizes: Tensor | None = None  # they are all one before the first merge, and the bias is nothing
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)  # noqa: S101 (for the type checker)
            x, keys = block.attend(x, sizes)
            if reduction is not None and state is not None and reduction.count(layer):
                x, state = reduction.reduce(x, keys.float().mean(dim=1), state, layer)
                sizes = state.sizes if reduction.log_size_bias else None
            x = block.feed(x)
        return self.last_norm(x), state
