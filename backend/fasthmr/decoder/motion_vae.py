# SPDX-License-Identifier: Apache-2.0
"""The motion VAE: a window of motion as a few latent tokens, each of some frames, and back.

After MLD (Chen et al., "Executing your Commands via Motion Diffusion in Latent Space", CVPR 2023)
and FastHMR (section 3.3). Here a token stays with its own frames (patches in time) instead of being a summary
of the whole window, so that windows can overlap and a long clip needs no other network than a short one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fasthmr.decoder.motion_features import FEATURE_COUNT
from fasthmr.decoder.transformer import SkipTransformer


@dataclass(frozen=True)
class VaeConfig:
    """Sizes of the motion VAE.

    Attributes:
        window: frames T of a window, a multiple of ``patch``.
        patch: frames of a latent token.
        latent: numbers of a latent token.
        width: of the transformers' tokens.
        encoder_depth: layers from motion to latent.
        decoder_depth: layers from latent to motion.
        heads: of the attention.
    """

    window: int = 64
    patch: int = 4
    latent: int = 128
    width: int = 192
    encoder_depth: int = 3
    decoder_depth: int = 4
    heads: int = 4

    def __post_init__(self) -> None:
        if self.window % self.patch or self.width % self.heads:
            raise ValueError("window must be a multiple of patch, width a multiple of heads")

    @property
    def tokens(self) -> int:
        """Latent tokens of a window."""
        return self.window // self.patch


class MotionVae(nn.Module):
    """Motion features (B, T, F) <-> latents (B, N, latent), standardised."""

    mean: Tensor
    deviation: Tensor
    latent_mean: Tensor
    latent_deviation: Tensor

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        entries = config.patch * FEATURE_COUNT
        self.register_buffer("mean", torch.zeros(FEATURE_COUNT))
        self.register_buffer("deviation", torch.ones(FEATURE_COUNT))
        self.register_buffer("latent_mean", torch.zeros(config.latent))
        self.register_buffer("latent_deviation", torch.ones(config.latent))
        self.embed = nn.Linear(entries, config.width)
        self.encoder_place = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))
        self.encoder = SkipTransformer(config.width, config.encoder_depth, config.heads)
        self.to_latent = nn.Linear(config.width, 2 * config.latent)
        self.from_latent = nn.Linear(config.latent, config.width)
        self.decoder_place = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))
        self.decoder = SkipTransformer(config.width, config.decoder_depth, config.heads)
        self.to_motion = nn.Linear(config.width, entries)

    def distribution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, each (B, N, latent), not standardised."""
        x = ((features - self.mean) / self.deviation).unflatten(1, (-1, self.config.patch)).flatten(2)
        x = self.encoder(self.embed(x) + self.encoder_place)
        mean, log_variance = self.to_latent(x).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 4)

    def encode(self, features: Tensor) -> Tensor:
        """Motion features (B, T, F) -> the latents' means (B, N, latent), standardised."""
        return (self.distribution(features)[0] - self.latent_mean) / self.latent_deviation

    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (B, N, latent) -> motion features (B, T, F)."""
        return self.decode_raw(latents * self.latent_deviation + self.latent_mean)

    def decode_raw(self, latents: Tensor) -> Tensor:
        """The same from latents as :meth:`distribution` tells them."""
        x = self.decoder(self.from_latent(latents) + self.decoder_place)
        x = self.to_motion(x).unflatten(-1, (self.config.patch, FEATURE_COUNT)).flatten(1, 2)
        return x * self.deviation + self.mean
