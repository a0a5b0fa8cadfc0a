# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthmr.decoder.noise_schedule import TIMES, NoiseSchedule, trailing_times

SCHEDULE = NoiseSchedule()


def test_shares_are_those_of_the_paper_and_end_in_noise_alone() -> None:
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    assert np.allclose(SCHEDULE.signal.numpy(), expected, atol=1e-6)
    assert SCHEDULE.signal[-1] == 0
    assert SCHEDULE.noise[-1] == 1
    assert torch.allclose(SCHEDULE.signal**2 + SCHEDULE.noise**2, torch.ones(TIMES), atol=1e-6)


def test_right_velocity_gives_the_clean_latents_from_any_time() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(6, 4, 8, generator=generator) for _ in range(2))
    times = torch.tensor([0, 1, 250, 700, 998, 999])
    velocity = SCHEDULE.velocity(clean, noise, times)
    mixed = SCHEDULE.mixed(clean, noise, times)
    assert torch.allclose(SCHEDULE.clean(mixed, velocity, times), clean, atol=1e-4)
    assert torch.allclose(velocity[-1], -clean[-1], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_steps_of_a_perfect_network_end_at_the_clean_latents(steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(2, 4, 8, generator=generator) for _ in range(2))
    latents, times = noise, trailing_times(steps)
    for now, following in zip(times, [*times[1:], -1], strict=True):
        velocity = SCHEDULE.velocity(clean, noise, torch.full((2,), now))
        latents = SCHEDULE.step(latents, velocity, now, following)
    assert torch.allclose(latents, clean, atol=1e-4)


def test_times_begin_at_the_last_one() -> None:
    assert trailing_times(1) == [999]
    assert trailing_times(4) == [999, 749, 499, 249]
    assert len(set(trailing_times(1000))) == 1000
    with pytest.raises(ValueError, match="0 steps"):
        trailing_times(0)


def test_steps_stay_on_the_device_of_the_latents() -> None:
    latents = torch.zeros(2, 4, 8, device="meta")
    for following in (499, -1):
        assert SCHEDULE.step(latents, latents, 999, following).device.type == "meta"
