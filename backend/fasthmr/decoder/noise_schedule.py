# SPDX-License-Identifier: Apache-2.0
"""How much noise there is at each time of the diffusion, and the way back in few steps.

Betas on a scaled line as in FastHMR's supplement, shifted so that nothing of the signal is left at the last
time (zero terminal SNR) and sampled at "trailing" times, so that this last time is used (Lin et al., "Common
Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024). The network predicts v (Salimans and Ho,
2022); steps are DDIM's without noise (Song et al., ICLR 2021).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

TIMES: Final = 1000
_FIRST_BETA: Final = 0.00085
_LAST_BETA: Final = 0.012


class NoiseSchedule:
    """Shares of signal and noise at times 0 (nearly clean) to 999 (noise alone).

    Attributes:
        signal: (1000,) share of the clean latents; 0 at the last time.
        noise: (1000,) share of the noise; signal² + noise² = 1.
    """

    def __init__(self) -> None:
        betas = torch.linspace(_FIRST_BETA**0.5, _LAST_BETA**0.5, TIMES, dtype=torch.float64).square()
        root = (1 - betas).cumprod(0).sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        self.signal = root.float()
        self.noise = (1 - root.square()).sqrt().float()

    def mixed(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Latents (B, N, D) with the noise of times (B,)."""
        return self._at(self.signal, times) * clean + self._at(self.noise, times) * noise

    def velocity(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network predicts: v = signal · noise - noise share · clean."""
        return self._at(self.signal, times) * noise - self._at(self.noise, times) * clean

    def clean(self, mixed: Tensor, velocity: Tensor, times: Tensor) -> Tensor:
        """The clean latents that a prediction of v means."""
        return self._at(self.signal, times) * mixed - self._at(self.noise, times) * velocity

    def step(self, mixed: Tensor, velocity: Tensor, now: int, following: int) -> Tensor:
        """DDIM's step from one time to an earlier one; ``following`` -1 is the clean end."""
        # single numbers, which work with latents on any device
        signal, noise = self.signal[now], self.noise[now]
        clean = signal * mixed - noise * velocity
        if following < 0:
            return clean
        left = noise * mixed + signal * velocity
        return self.signal[following] * clean + self.noise[following] * left

    def share_of_noise(self, times: Tensor) -> Tensor:
        """(B, 1, 1) of noise at times (B,)."""
        return self._at(self.noise, times)

    @staticmethod
    def _at(shares: Tensor, times: Tensor) -> Tensor:
        return shares[times.cpu()].to(times.device)[:, None, None]


def trailing_times(steps: int) -> list[int]:
    """Times to visit, from the last one down, evenly spaced.

    Raises:
        ValueError: fewer than 1 or more than 1000 steps.
    """
    if not 1 <= steps <= TIMES:
        raise ValueError(f"{steps} steps: it must be 1 to {TIMES}")
    return [round(TIMES - index * TIMES / steps) - 1 for index in range(steps)]
