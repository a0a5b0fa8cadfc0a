# SPDX-License-Identifier: Apache-2.0
"""The motion decoder as one value: VAE, denoiser and regressor with their sizes, and its safetensors files.

The regressor lies in a file of its own beside the rest, ``<name>.regressor.safetensors``: both stay
small enough to be kept in a repository.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fasthmr.decoder.motion_features import blurred
from fasthmr.decoder.motion_vae import MotionVae, VaeConfig
from fasthmr.decoder.networks import Denoiser, DirectRegressor, NetworkConfig, Read
from fasthmr.decoder.noise_schedule import TIMES, NoiseSchedule, trailing_times
from fasthmr.errors import BadInput, MissingModel
from fasthmr.files import written_whole

Estimator = Literal["diffusion", "regressor"]

WEIGHTS: Final = Path(__file__).parent.parent / "weights" / "motion_decoder.safetensors"
_KEY: Final = "fasthmr"
_REGRESSOR: Final = "regressor."


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of everything in a motion decoder.

    Attributes:
        vae: of the motion VAE.
        denoiser: of the denoiser.
        regressor: of the direct regressor; deeper, to have as many weights as denoiser and VAE decoder.
        frame_rate: frames per second that windows were trained at.
        default: the estimator that measured better, which is used unless the other is asked for.
    """

    vae: VaeConfig = field(default_factory=VaeConfig)
    denoiser: NetworkConfig = field(default_factory=NetworkConfig)
    regressor: NetworkConfig = field(default_factory=lambda: NetworkConfig(depth=8))
    frame_rate: float = 30.0
    default: Estimator = "diffusion"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DecoderConfig:
        """The sizes that :func:`dataclasses.asdict` gave.

        Raises:
            TypeError, KeyError, ValueError: they are not those of a decoder.
        """
        return cls(
            vae=VaeConfig(**content["vae"]),
            denoiser=NetworkConfig(**content["denoiser"]),
            regressor=NetworkConfig(**content["regressor"]),
            frame_rate=float(content["frame_rate"]),
            default="regressor" if content["default"] == "regressor" else "diffusion",
        )


class MotionDecoder(nn.Module):
    """Evidence features to motion features, by one of two estimators."""

    def __init__(self, config: DecoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or DecoderConfig()
        self.vae = MotionVae(self.config.vae)
        self.denoiser = Denoiser(self.config.denoiser, self.config.vae)
        self.regressor = DirectRegressor(self.config.regressor)
        self.schedule = NoiseSchedule()
        self.sha256 = ""

    def diffuse(self, features: Tensor, noise: Tensor, steps: int = 1) -> tuple[Tensor, Read]:
        """Motion by denoising.

        Args:
            features: (B, T, E) evidence features.
            noise: (B, N, D) standard normal.
            steps: DDIM steps along trailing times.

        Returns:
            Motion features (B, T, F), and what the last step's evidence tokens say.
        """
        times = [*trailing_times(steps), -1]
        latents, read = self._denoised(features, noise, times[0], times[1])
        for now, following in itertools.pairwise(times[1:]):
            latents, read = self._denoised(features, latents, now, following)
        return self.vae.decode(latents), read

    def _denoised(self, features: Tensor, latents: Tensor, now: int, following: int) -> tuple[Tensor, Read]:
        when = torch.full((len(features),), now, device=features.device)
        velocity, read = self.denoiser(features, latents, when)
        return self.schedule.step(latents, velocity, now, following), read

    def regress(self, features: Tensor) -> tuple[Tensor, Read]:
        """Motion without noise: (B, T, E) -> motion features (B, T, F), and what the evidence says."""
        motion, read = self.regressor(features)
        return blurred(motion) * self.vae.deviation + self.vae.mean, read

    def noise(self, count: int, seed: int) -> Tensor:
        """Noise (count, N, D) for windows, the same for the same seed on every device."""
        generator = torch.Generator().manual_seed(seed)
        vae = self.config.vae
        return torch.randn(count, vae.tokens, vae.latent, generator=generator)

    def training_latents(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents for training: half of them at the last time, where one-step sampling begins.

        Returns:
            Noisy latents (B, N, D), times (B,), and the v to predict.
        """
        count = len(clean)
        times = torch.randint(TIMES, (count,), generator=generator)
        times = torch.where(torch.rand(count, generator=generator) < 0.5, TIMES - 1, times)
        noise = torch.randn(clean.shape, generator=generator)
        times, noise = times.to(clean.device), noise.to(clean.device)
        return (
            self.schedule.mixed(clean, noise, times),
            times,
            self.schedule.velocity(clean, noise, times),
        )


def save_decoder(decoder: MotionDecoder, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write weights in half precision and sizes as two safetensors files, each whole or not at all.

    Args:
        decoder: the networks.
        path: ends in ``.safetensors``; the regressor's weights go beside it.
        metadata: how it was trained; kept in the file's head beside the sizes.

    Raises:
        BadInput: the place cannot be written to.
    """
    state = {name: _half(name, one) for name, one in decoder.state_dict().items()}
    regressor = {name: one for name, one in state.items() if name.startswith(_REGRESSOR)}
    rest = {name: one for name, one in state.items() if name not in regressor}
    beside = safetensors.torch.save(regressor)
    head = {
        "config": asdict(decoder.config),
        "training": dict(metadata or {}),
        "regressor": hashlib.sha256(beside).hexdigest(),
    }
    with written_whole(regressor_file(path)) as file:
        file.write(beside)
    with written_whole(path) as file:
        file.write(safetensors.torch.save(rest, metadata={_KEY: json.dumps(head, sort_keys=True)}))


def regressor_file(path: Path) -> Path:
    """Where the regressor's weights lie that belong to a file of the others."""
    return path.with_suffix(".regressor.safetensors")


def load_decoder(path: Path | None = None) -> MotionDecoder:
    """Read a motion decoder.

    Args:
        path: a file of :func:`save_decoder`; None for the one that comes along.

    Raises:
        MissingModel: there is no such file, or the regressor's beside it is not there.
        BadInput: it is damaged, or not a motion decoder.
    """
    path = path or WEIGHTS
    if not path.is_file():
        raise MissingModel(
            f"There is no motion decoder at {path}. Train one with `fasthmr train decoder`, "
            "or use --decoder landmark_fit."
        )
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})[_KEY])
        config = DecoderConfig.from_json(head["config"])
        weights = safetensors.torch.load_file(path)
        digest = head.get("regressor")
        decoder = MotionDecoder(config)
    except (
        SafetensorError,
        OSError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise BadInput(
            f"{path} is no motion decoder, or it is damaged ({error}). Get the file again, "
            "or train one with `fasthmr train decoder`."
        ) from error
    if digest is not None:
        weights |= _regressor_weights(path, digest)
    decoder.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        decoder.load_state_dict({name: one.float() for name, one in weights.items()}, strict=True)
    except RuntimeError as error:
        raise BadInput(f"{path} is the motion decoder of another version: {error}") from error
    if any(not one.isfinite().all() for one in decoder.state_dict().values()):
        raise BadInput(f"{path} holds weights that are not finite. Get the file again.")
    return decoder.eval().requires_grad_(False)


def _regressor_weights(path: Path, digest: str) -> dict[str, Tensor]:
    beside = regressor_file(path)
    if not beside.is_file():
        raise MissingModel(
            f"{path} lacks its second part {beside.name}. Put it beside the first; both were made together."
        )
    content = beside.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise BadInput(f"{beside} does not belong to {path.name}, or it is damaged. Get both files again.")
    return safetensors.torch.load(content)


def _half(name: str, value: Tensor) -> Tensor:
    """Matrices in half precision; vectors (norms, biases, statistics) are small and stay as they are."""
    return value.half().contiguous() if value.ndim > 1 and value.is_floating_point() else value.contiguous()
