# SPDX-License-Identifier: Apache-2.0
"""The motion VAE: a window of motion as a few latent tokens, each of some frames, and back.

After MLD (Chen et al., "Executing your Commands via Motion Diffusion in Latent Space", CVPR 2023)
and FastHMR (section 3.3). Here a token stays with its own frames (patches in time) instead of being a summary
of the whole window, so that windows can overlap and a long clip needs no other network than a short one.

Beside the transformers, a straight linear way leads in and out. It begins as the principal components of the
patches, so that the transformers only learn what those leave over. From random weights, the noise drowns the
latents and hundreds of steps end at the mean pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fasthmr.decoder.motion_features import FEATURE_COUNT, blurred
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
        self.straight_in = nn.Linear(entries, config.latent)
        self.straight_out = nn.Linear(config.latent, entries)

    @torch.no_grad()
    def begin_from(self, features: Tensor) -> None:
        """Start at the principal components of a sample of motion.

        Args:
            features: (B, T, F); sets how features are standardised as well.
        """
        values = features.flatten(0, 1)
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp_min(0.05))
        patches = self._patches(features).flatten(0, 1)
        directions = torch.linalg.svd(patches, full_matrices=False).Vh[: self.config.latent]
        latents = patches @ directions.mT
        size = latents.square().mean().sqrt()
        self.straight_in.weight.copy_(directions / size)
        self.straight_out.weight.copy_(directions.mT * size)
        for layer in (self.to_latent, self.to_motion):
            layer.weight.mul_(0.1)
            layer.bias.zero_()
        for layer in (self.straight_in, self.straight_out):
            layer.bias.zero_()
        # noise of a twentieth of the latents' size to begin with
        self.to_latent.bias[self.config.latent :] = -6.0

    def distribution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, each (B, N, latent), not standardised."""
        patches = self._patches(features)
        x = self.encoder(self.embed(patches) + self.encoder_place)
        mean, log_variance = self.to_latent(x).chunk(2, dim=-1)
        return mean + self.straight_in(patches), log_variance.clamp(-12, 4)

    def encode(self, features: Tensor) -> Tensor:
        """Motion features (B, T, F) -> the latents' means (B, N, latent), standardised."""
        return (self.distribution(features)[0] - self.latent_mean) / self.latent_deviation

    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (B, N, latent) -> motion features (B, T, F)."""
        return self.decode_raw(latents * self.latent_deviation + self.latent_mean)

    def decode_raw(self, latents: Tensor) -> Tensor:
        """The same from latents as :meth:`distribution` tells them."""
        x = self.decoder(self.from_latent(latents) + self.decoder_place)
        x = self.to_motion(x) + self.straight_out(latents)
        x = blurred(x.unflatten(-1, (self.config.patch, FEATURE_COUNT)).flatten(1, 2))
        return x * self.deviation + self.mean

    def _patches(self, features: Tensor) -> Tensor:
        """Standardised, a row for each latent token: (B, T, F) -> (B, N, patch F)."""
        return ((features - self.mean) / self.deviation).unflatten(1, (-1, self.config.patch)).flatten(2)
