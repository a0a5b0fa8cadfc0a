# SPDX-License-Identifier: Apache-2.0
"""The networks that turn a window of evidence into motion: the denoiser, and a direct regressor beside it.

The denoiser (FastHMR, section 3.3) reads noisy latent tokens of the motion VAE together with the evidence and
predicts what noise they hold. With noise alone at its first step, one step of it is a regressor in disguise;
so a network of the same size that maps evidence straight to motion is always trained and measured beside it.

Both read evidence four frames a token, with one more token that gathers the body's shape, and both say how
far off they expect each joint to be. A latent token begins as the evidence of its own frames, as tokens need
not find by attention what lies at the same place. Beside the transformers, a straight linear way leads from
the evidence of some frames to what is wanted there. It begins as the least-squares answer, so that the
transformers only learn what that leaves over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.decoder import evidence_features, motion_features
from fasthmr.decoder.motion_vae import VaeConfig
from fasthmr.decoder.noise_schedule import TIMES, NoiseSchedule
from fasthmr.decoder.transformer import SkipTransformer

# Of the mean square of a number of unit size.
_RIDGE: Final = 1e-3


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network.

    Attributes:
        window: frames T of a window.
        patch: frames of an evidence token.
        width: of the tokens.
        depth: layers.
        heads: of the attention.
        widening: of the MLPs.
    """

    window: int = 64
    patch: int = 4
    width: int = 256
    depth: int = 6
    heads: int = 4
    widening: float = 2.0

    def __post_init__(self) -> None:
        if self.window % self.patch or self.width % self.heads or self.width % 2:
            raise ValueError("window must be a multiple of patch, width of heads and of 2")

    @property
    def tokens(self) -> int:
        """Evidence tokens of a window."""
        return self.window // self.patch


@dataclass(frozen=True)
class Read:
    """What the evidence tokens know after the last layer.

    Attributes:
        evidence: (B, T / patch, width) tokens.
        betas: (B, 10) body shape.
        error: (B, T, 24) expected error of each joint's place, metres.
    """

    evidence: Tensor
    betas: Tensor
    error: Tensor


class _EvidenceReader(nn.Module):
    """What both networks share: evidence in, transformer, shape and expected error out.

    Args:
        config: sizes.
        wanted: numbers that the straight way gives for each token.
    """

    def __init__(self, config: NetworkConfig, wanted: int) -> None:
        super().__init__()
        self.config = config
        width, entries = config.width, config.patch * evidence_features.FEATURE_COUNT
        self.straight = nn.Linear(entries, wanted)
        nn.init.zeros_(self.straight.weight)
        nn.init.zeros_(self.straight.bias)
        self.embed = nn.Sequential(
            nn.Linear(entries, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.place = nn.Parameter(0.02 * torch.randn(config.tokens, width))
        self.shape_token = nn.Parameter(0.02 * torch.randn(1, width))
        self.trunk = SkipTransformer(width, config.depth, config.heads, config.widening)
        self.to_betas = nn.Linear(width, 10)
        self.to_error = nn.Linear(width, config.patch * JOINT_COUNT)

    @torch.no_grad()
    def begin_from(self, features: Tensor, wanted: Tensor) -> None:
        """Start the straight way at the least-squares answer.

        Args:
            features: (B, T, evidence features).
            wanted: (B, T / patch, ...) what it should give for each token.
        """
        rows = self.patches(features).flatten(0, 1).double()
        middle, goal = rows.mean(0), wanted.flatten(0, 1).double().mean(0)
        rows = rows - middle
        products = rows.mT @ rows
        # Numbers that hardly vary in the sample must not get large weights.
        products.diagonal().add_(_RIDGE * len(rows))
        weight = torch.linalg.solve(products, rows.mT @ (wanted.flatten(0, 1).double() - goal)).mT
        self.straight.weight.copy_(weight)
        self.straight.bias.copy_(goal - weight @ middle)

    def patches(self, features: Tensor) -> Tensor:
        """(B, T, E) -> (B, T / patch, patch E): a row for each token."""
        return features.unflatten(1, (-1, self.config.patch)).flatten(2)

    def read(self, features: Tensor, others: Tensor | None = None) -> tuple[Read, Tensor]:
        """Run the trunk.

        Args:
            features: (B, T, evidence features).
            others: (B, T / patch, width) tokens that take part, one for each of the evidence, or None.

        Returns:
            What the evidence says, and the other tokens (B, T / patch, width) after the last layer.
        """
        x = self.embed(self.patches(features)) + self.place
        count = x.shape[1]
        tokens = [x, self.shape_token.expand(len(x), 1, -1)]
        x = self.trunk(torch.cat(tokens if others is None else [*tokens, others + x], dim=1))
        evidence, shape, rest = x[:, :count], x[:, count], x[:, count + 1 :]
        error = self.to_error(evidence).unflatten(-1, (self.config.patch, JOINT_COUNT)).flatten(1, 2)
        # about 5 cm to begin with; held between 3 mm and 2 m
        error = 0.05 * error.clamp(-2.8, 3.7).exp()
        return Read(evidence, self.to_betas(shape), error), rest


class Denoiser(_EvidenceReader):
    """Predicts v for noisy latents, given evidence.

    Args:
        config: sizes.
        vae: whose latents.

    Raises:
        ValueError: evidence and latents are not cut into the same tokens.
    """

    def __init__(self, config: NetworkConfig, vae: VaeConfig) -> None:
        if config.tokens != vae.tokens:
            raise ValueError(f"{config.tokens} tokens of evidence for {vae.tokens} latent tokens")
        super().__init__(config, vae.latent)
        self.schedule = NoiseSchedule()
        self.from_latent = nn.Linear(vae.latent, config.width)
        self.latent_place = nn.Parameter(0.02 * torch.randn(vae.tokens, config.width))
        self.time = nn.Sequential(
            nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.to_velocity = nn.Linear(config.width, vae.latent)
        _begin_small(self.to_velocity)

    def forward(self, features: Tensor, latents: Tensor, times: Tensor) -> tuple[Tensor, Read]:
        """Evidence features (B, T, E), noisy latents (B, N, D), times (B,) -> v (B, N, D), and the rest."""
        time = self.time(_waves(times, self.config.width))
        tokens = self.from_latent(latents) + self.latent_place + time[:, None]
        read, tokens = self.read(features, tokens)
        # v = signal · noise - (share of noise) · clean latents, which the straight way guesses
        guess = self.schedule.share_of_noise(times) * self.straight(self.patches(features))
        return self.to_velocity(tokens) - guess, read


class DirectRegressor(_EvidenceReader):
    """Evidence straight to motion features: no noise, no time, no latents."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config, config.patch * motion_features.FEATURE_COUNT)
        self.to_motion = nn.Linear(config.width, config.patch * motion_features.FEATURE_COUNT)
        _begin_small(self.to_motion)

    def forward(self, features: Tensor) -> tuple[Tensor, Read]:
        """Evidence features (B, T, E) -> standardised motion features (B, T, F), and the rest."""
        read, _ = self.read(features)
        motion = self.to_motion(read.evidence) + self.straight(self.patches(features))
        return motion.unflatten(-1, (self.config.patch, motion_features.FEATURE_COUNT)).flatten(1, 2), read


def _begin_small(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()


def _waves(times: Tensor, width: int) -> Tensor:
    """Sines and cosines of the diffusion's time (Vaswani et al., 2017): (B,) -> (B, width)."""
    half = width // 2
    rates = torch.exp(-math.log(10 * TIMES) * torch.arange(half, device=times.device) / half)
    angles = times.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
