# SPDX-License-Identifier: Apache-2.0
"""A motion decoder with random weights that is small enough for tests, and begins where training begins."""

from __future__ import annotations

import torch

from fasthmr.body import BodyModel
from fasthmr.decoder.motion_decoder import DecoderConfig, MotionDecoder
from fasthmr.decoder.motion_features import motion_features
from fasthmr.decoder.motion_vae import VaeConfig
from fasthmr.decoder.networks import NetworkConfig
from tests.decoder.smooth_people import people

WINDOW = 16

TINY = DecoderConfig(
    vae=VaeConfig(window=WINDOW, latent=8, width=16, encoder_depth=1, decoder_depth=2, heads=2),
    denoiser=NetworkConfig(window=WINDOW, width=16, depth=2, heads=2),
    regressor=NetworkConfig(window=WINDOW, width=16, depth=3, heads=2),
)


def tiny_decoder(body: BodyModel, seed: int = 0, config: DecoderConfig = TINY) -> MotionDecoder:
    """Random networks whose motion features are standardised as those of people are."""
    torch.manual_seed(seed)
    decoder = MotionDecoder(config)
    evidence, motion = people(body, 12, config.vae.window, seed=seed)
    decoder.vae.begin_from(motion_features(motion, evidence))
    return decoder.eval().requires_grad_(False)
