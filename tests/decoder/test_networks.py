# SPDX-License-Identifier: Apache-2.0
"""Denoiser and regressor read the right numbers of the right tokens."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
import torch

from fasthmr.decoder import evidence_features, motion_features
from fasthmr.decoder.networks import Denoiser, DirectRegressor, NetworkConfig, _EvidenceReader, _waves
from fasthmr.decoder.noise_schedule import NoiseSchedule
from tests.decoder.tiny_decoder import TINY, WINDOW

FEATURES = evidence_features.FEATURE_COUNT
Network = TypeVar("Network", bound=_EvidenceReader)


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def with_straight_way(network: Network, seed: int) -> Network:
    """The same with random weights on the straight way, which begins at zero, and larger ones at the end."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.1 * torch.randn_like(weight))
    return network


def naive_tokens(network: _EvidenceReader, features: torch.Tensor) -> torch.Tensor:
    """Evidence tokens and the shape token of one window (T, E), token by token."""
    patch = network.config.patch
    rows = []
    for token in range(len(features) // patch):
        numbers = torch.cat([features[token * patch + frame] for frame in range(patch)])
        rows.append(network.embed(numbers) + network.place[token])
    return torch.stack([*rows, network.shape_token[0]])


def test_regressor_reads_patches_and_writes_frames() -> None:
    network = with_straight_way(DirectRegressor(TINY.regressor), 0)
    features = random(2, WINDOW, FEATURES)
    motion, read = network(features)
    assert motion.shape == (2, WINDOW, motion_features.FEATURE_COUNT)
    for row in range(2):
        after = network.trunk(naive_tokens(network, features[row])[None])[0]
        assert torch.allclose(read.evidence[row], after[:-1], atol=1e-5)
        assert torch.allclose(read.betas[row], network.to_betas(after[-1]), atol=1e-5)
        for frame in range(WINDOW):
            token, place = divmod(frame, 4)
            width = motion_features.FEATURE_COUNT
            straight = network.straight(features[row, 4 * token : 4 * token + 4].flatten())
            whole = network.to_motion(after[token]) + straight
            wanted = whole[place * width : (place + 1) * width]
            assert torch.allclose(motion[row, frame], wanted, atol=1e-5)
            error = network.to_error(after[token])[place * 24 : (place + 1) * 24]
            assert torch.allclose(read.error[row, frame], 0.05 * error.exp(), atol=1e-5)


def test_denoiser_adds_time_and_evidence_to_the_latents() -> None:
    network = with_straight_way(Denoiser(TINY.denoiser, TINY.vae), 1)
    features, latents = random(3, WINDOW, FEATURES), random(3, 4, TINY.vae.latent, seed=1)
    times = torch.tensor([0, 500, 999])
    velocity, read = network(features, latents, times)
    assert velocity.shape == latents.shape
    for row, time in enumerate(times.tolist()):
        half = TINY.denoiser.width // 2
        rates = [(10 * 1000) ** (-index / half) for index in range(half)]
        waves = torch.tensor([math.cos(time * rate) for rate in rates] + [math.sin(time * r) for r in rates])
        shift = network.time(waves)
        evidence = naive_tokens(network, features[row])
        own = [
            network.from_latent(one) + network.latent_place[n] + shift + evidence[n]
            for n, one in enumerate(latents[row])
        ]
        after = network.trunk(torch.cat([evidence, torch.stack(own)])[None])[0]
        straight = torch.stack(
            [network.straight(features[row, 4 * n : 4 * n + 4].flatten()) for n in range(4)]
        )
        share = NoiseSchedule().noise[time]
        assert torch.allclose(velocity[row], network.to_velocity(after[5:]) - share * straight, atol=1e-4)
        assert torch.allclose(read.betas[row], network.to_betas(after[4]), atol=1e-4)


def test_straight_way_begins_at_the_least_squares_answer() -> None:
    network = DirectRegressor(TINY.regressor)
    features = random(800, WINDOW, FEATURES)
    patches = network.patches(features)
    wanted = patches @ random(patches.shape[-1], network.straight.out_features, seed=1) / 30 + 5
    network.begin_from(features, wanted + 0.1 * random(*wanted.shape, seed=2))
    left = network.straight(patches) - wanted
    assert left.std() < 0.12
    assert left.mean().abs() < 0.01
    rows = torch.cat([patches.flatten(0, 1), torch.ones(800 * 4, 1)], dim=1)
    exact = torch.linalg.lstsq(rows, (wanted + 0.1 * random(*wanted.shape, seed=2)).flatten(0, 1)).solution
    assert torch.allclose(network.straight(patches).flatten(0, 1), rows @ exact, atol=0.05)


def test_other_tokens_than_the_latents_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens"):
        Denoiser(NetworkConfig(window=WINDOW, patch=8, width=16, depth=2, heads=2), TINY.vae)


def test_every_time_has_waves_of_its_own() -> None:
    waves = _waves(torch.arange(1000), 32)
    assert waves.shape == (1000, 32)
    assert (waves.abs() <= 1).all()
    assert torch.pdist(waves).min() > 1e-3


def test_expected_errors_stay_within_bounds() -> None:
    torch.manual_seed(2)
    network = DirectRegressor(TINY.regressor)
    begins = network(random(4, WINDOW, FEATURES))[1].error
    assert 0.01 < begins.mean() < 0.25  # about 5 cm
    with torch.no_grad():
        network.to_error.weight.zero_()
        network.to_error.bias[: 2 * 24] = 100.0
        network.to_error.bias[2 * 24 :] = -100.0
    error = network(random(1, WINDOW, FEATURES))[1].error[0].unflatten(0, (-1, 4))
    assert torch.allclose(error[:, :2], torch.tensor(2.0), atol=0.05)
    assert torch.allclose(error[:, 2:], torch.tensor(0.003), atol=1e-4)


@pytest.mark.parametrize("sizes", [{"window": 18}, {"width": 18, "heads": 4}, {"width": 9, "heads": 3}])
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple"):
        NetworkConfig(**sizes)
