# SPDX-License-Identifier: Apache-2.0
"""Encoders of a size that a test runs in no time; one of each published kind."""

from __future__ import annotations

import dataclasses

from fasthmr.encoder.config import CAMERAHMR_INPUT, EncoderConfig

TINY_HMR2 = EncoderConfig(
    image_size=(64, 48),
    dim=48,
    depth=3,
    heads=4,
    head_dim=40,
    head_depth=2,
    head_heads=2,
    head_head_dim=16,
    head_mlp=56,
)
TINY_CAMERAHMR = dataclasses.replace(
    TINY_HMR2, token_input=CAMERAHMR_INPUT, keypoint_output=88, kind="camerahmr"
)
