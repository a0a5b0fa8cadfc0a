# SPDX-License-Identifier: Apache-2.0
"""The motion VAE: where it begins, and that its two ways belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.decoder.motion_features import FEATURE_COUNT, blurred, motion_features
from fasthmr.decoder.motion_vae import MotionVae, VaeConfig
from tests.decoder.smooth_people import people
from tests.decoder.tiny_decoder import TINY, WINDOW


def motion_sample(count: int = 24, seed: int = 0) -> torch.Tensor:
    evidence, motion = people(load_body("open"), count, WINDOW, seed=seed)
    return motion_features(motion, evidence)


def without_transformers(vae: MotionVae) -> MotionVae:
    """The straight way alone."""
    with torch.no_grad():
        for layer in (vae.to_latent, vae.to_motion):
            layer.weight.zero_()
    return vae


def test_shapes_and_standardised_latents() -> None:
    torch.manual_seed(0)
    vae = MotionVae(TINY.vae)
    features = motion_sample(3)
    vae.begin_from(features)
    mean, log_variance = vae.distribution(features)
    assert mean.shape == log_variance.shape == vae.encode(features).shape == (3, 4, 8)
    vae.latent_mean.copy_(torch.linspace(-1, 1, 8))
    vae.latent_deviation.fill_(2.5)
    assert torch.allclose(vae.encode(features) * 2.5 + vae.latent_mean, mean, atol=1e-5)
    assert torch.allclose(vae.decode(vae.encode(features)), vae.decode_raw(mean), atol=1e-4)
    assert vae.decode(vae.encode(features)).shape == features.shape == (3, WINDOW, FEATURE_COUNT)


def test_begins_at_the_principal_components() -> None:
    torch.manual_seed(1)
    features = motion_sample()
    vae = without_transformers(MotionVae(TINY.vae))
    vae.begin_from(features)
    assert torch.allclose(vae.mean, features.flatten(0, 1).mean(0), atol=1e-5)
    spread = features.flatten(0, 1).numpy().astype(np.float64).std(0, ddof=1).clip(0.05)
    np.testing.assert_allclose(vae.deviation.numpy(), spread, rtol=1e-3)
    rows = (features.numpy().astype(np.float64) - vae.mean.numpy()) / vae.deviation.numpy()
    rows = rows.reshape(-1, 4 * FEATURE_COUNT)
    directions = np.linalg.svd(rows, full_matrices=False)[2][:8]
    wanted = (rows @ directions.T @ directions).reshape(features.shape)
    wanted = blurred(torch.from_numpy(wanted)).numpy() * vae.deviation.numpy() + vae.mean.numpy()
    rebuilt = vae.decode(vae.encode(features)).detach().numpy()
    np.testing.assert_allclose(rebuilt, wanted, atol=2e-3)
    assert abs(float(vae.distribution(features)[0].detach().square().mean()) - 1) < 1e-3  # of unit size


def test_little_noise_to_begin_with() -> None:
    torch.manual_seed(2)
    vae = MotionVae(TINY.vae)
    vae.begin_from(motion_sample())
    spread = (0.5 * vae.distribution(motion_sample(4, seed=1))[1]).exp()
    assert 0.02 < spread.mean() < 0.12


def test_more_components_leave_less_over() -> None:
    features = motion_sample()
    left = []
    for latent in (2, 8, 32):
        torch.manual_seed(3)
        vae = MotionVae(replace(TINY.vae, latent=latent))
        vae.begin_from(features)
        without_transformers(vae)
        left.append(float((vae.decode(vae.encode(features)) - features).detach().square().mean()))
    assert left[0] > left[1] > left[2]


@pytest.mark.parametrize("sizes", [{"window": 18}, {"width": 18, "heads": 4}])
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple"):
        VaeConfig(**sizes)
