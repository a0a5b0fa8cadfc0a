# SPDX-License-Identifier: Apache-2.0
"""What BlazePose gets wrong, drawn for thousands of frames at once.

A detector's error has parts that act differently on whoever smooths it, so they are modelled apart: what it
always gets wrong in a pose (a mean that depends on it), what it gets wrong for a whole clip (offsets, size,
lean), what wanders within seconds, what jumps from frame to frame, what it guesses of hidden limbs, sides
taken for each other, and frames in which it sees nothing. The parameters are estimated from recorded pairs
(:mod:`fasthmr.training.evidence.estimate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.people.landmarks import LANDMARK_COUNT, LANDMARK_INDEX, LANDMARK_MIRROR

PARAMETERS: Final = Path(__file__).with_name("blazepose_errors.npz")

_NUMBERS: Final = 5 * LANDMARK_COUNT
_SHAPES: Final = {
    "mean_in": (3 * LANDMARK_COUNT, None),
    "mean_inner": (None,),
    "mean_out": (None, 5 * LANDMARK_COUNT),
    "mean_constant": (5 * LANDMARK_COUNT,),
    "clip": (LANDMARK_COUNT, 5),
    "slow": (LANDMARK_COUNT, 5),
    "fast": (LANDMARK_COUNT, 5),
    "clip_ties": (_NUMBERS, _NUMBERS),
    "slow_ties": (_NUMBERS, _NUMBERS),
    "fast_ties": (_NUMBERS, _NUMBERS),
    "memory": (5,),
    "size": (),
    "lean": (2,),
    "hidden": (5,),
    "visibility": (LANDMARK_COUNT, 2),
    "hidden_visibility": (),
    "swaps": (3,),
    "lost": (2,),
    "box": (2,),
}

# Landmarks of the limbs that objects hide together.
_LIMBS: Final = tuple(
    [LANDMARK_INDEX[f"{side}_{name}"] for name in names]
    for side in ("left", "right")
    for names in (
        ("elbow", "wrist", "pinky", "index", "thumb"),
        ("wrist", "pinky", "index", "thumb"),
        ("knee", "ankle", "heel", "foot_index"),
        ("ankle", "heel", "foot_index"),
    )
)
_LEGS: Final = [
    LANDMARK_INDEX[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("hip", "knee", "ankle", "heel", "foot_index")
]


@dataclass(frozen=True)
class ErrorParameters:
    """How far BlazePose is off. World errors in metres along x, y, z of the view; image errors over the box.

    Attributes:
        mean_in, mean_inner, mean_out, mean_constant: a network of one layer from the true landmarks (33 x 3,
            about the hips, in the view) to the mean error of each landmark: world x, y, z and image x, y.
        clip: (33, 5) deviation of what stays for a clip.
        slow: (33, 5) deviation of what wanders.
        fast: (33, 5) deviation of what jumps from frame to frame.
        clip_ties, slow_ties, fast_ties: (165, 165) roots of the correlations among all these: a limb is wrong
            as a whole, so that its many landmarks are no more evidence than one.
        memory: (5,) share of the slow error that is left after a thirtieth of a second.
        size: deviation of the size of the figure, as a share.
        lean: deviations of the tilt towards the camera: of a clip, and wandering; a share of the height.
        hidden: (5,) deviation of what is guessed of hidden landmarks.
        visibility: (33, 2) mean and deviation of the logit of the visibility of what is in sight.
        hidden_visibility: what hiding takes from the logit.
        swaps: how often a second begins a stretch of exchanged sides: all, legs, arms.
        lost: how often a second begins a stretch of lost frames, and its mean length in seconds.
        box: deviation of the edges of the box over its size: wandering, and jumping.
    """

    mean_in: Tensor
    mean_inner: Tensor
    mean_out: Tensor
    mean_constant: Tensor
    clip: Tensor
    slow: Tensor
    fast: Tensor
    clip_ties: Tensor
    slow_ties: Tensor
    fast_ties: Tensor
    memory: Tensor
    size: Tensor
    lean: Tensor
    hidden: Tensor
    visibility: Tensor
    hidden_visibility: Tensor
    swaps: Tensor
    lost: Tensor
    box: Tensor

    def mean(self, landmarks: Tensor) -> Tensor:
        """Mean errors (..., 33, 5) for true landmarks (..., 33, 3) about the hips in the view."""
        inner = torch.tanh(landmarks.flatten(-2) @ self.mean_in + self.mean_inner)
        return (inner @ self.mean_out + self.mean_constant).unflatten(-1, (LANDMARK_COUNT, 5))

    def noise(self, count: int, frames: int, step: Tensor, generator: torch.Generator) -> Tensor:
        """What is wrong beside the mean: what lasts a clip, what wanders and what jumps.

        Args:
            count: windows B.
            frames: T.
            step: (B,) seconds between frames.
            generator: of what is drawn.

        Returns:
            (B, T, 33, 5).
        """
        shape = (count, frames, LANDMARK_COUNT, 5)
        slow = wandering(torch.empty(shape), self.memory, generator, step)
        clip = torch.randn(count, 1, *shape[2:], generator=generator)
        fast = torch.randn(shape, generator=generator)
        return (
            self.slow * tied(slow, self.slow_ties)
            + self.clip * tied(clip, self.clip_ties)
            + self.fast * tied(fast, self.fast_ties)
        )

    def save(self, path: Path) -> None:
        """Write the parameters as ``.npz``, whole or not at all."""
        save_arrays(path, {name: getattr(self, name).numpy().astype(np.float32) for name in _SHAPES})

    @classmethod
    def load(cls, path: Path = PARAMETERS) -> ErrorParameters:
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or of another shape.
        """
        arrays = load_arrays(path, "error parameters")
        for name, shape in _SHAPES.items():
            there = arrays[name].shape if name in arrays else None
            fits = there is not None and len(there) == len(shape)
            if not fits or any(
                want not in (None, size) for want, size in zip(shape, there or (), strict=True)
            ):
                raise BadInput(f"The error parameters {path} lack '{name}' as {shape}. Estimate them again.")
        return cls(**{name: torch.from_numpy(arrays[name]).float() for name in _SHAPES})


def exact() -> ErrorParameters:
    """Parameters of a detector that is never wrong."""
    zeros = {name: torch.zeros([size or 1 for size in shape]) for name, shape in _SHAPES.items()}
    visibility = torch.zeros(LANDMARK_COUNT, 2)
    visibility[:, 0] = 6.0
    alone = {f"{name}_ties": torch.eye(_NUMBERS) for name in ("clip", "slow", "fast")}
    return ErrorParameters(**{**zeros, **alone, "visibility": visibility, "memory": torch.full((5,), 0.9)})


def usual() -> ErrorParameters:
    """Parameters set by hand, from what was tried before anything was measured; for tests and first runs."""
    reach = torch.ones(LANDMARK_COUNT, 1)
    for name, factor in (
        ("elbow", 1.3),
        ("wrist", 1.8),
        ("pinky", 2),
        ("index", 2),
        ("thumb", 2),
        ("knee", 1.2),
    ):
        for side in ("left", "right"):
            reach[LANDMARK_INDEX[f"{side}_{name}"]] = factor
    for name in ("ankle", "heel", "foot_index"):
        for side in ("left", "right"):
            reach[LANDMARK_INDEX[f"{side}_{name}"]] = 1.6
    plain = exact()
    visibility = plain.visibility.clone()
    visibility[:, 0], visibility[:, 1] = 4.0, 1.5
    return ErrorParameters(
        mean_in=plain.mean_in,
        mean_inner=plain.mean_inner,
        mean_out=plain.mean_out,
        mean_constant=plain.mean_constant,
        clip=reach * torch.tensor([0.015, 0.015, 0.025, 0.015, 0.015]),
        slow=reach * torch.tensor([0.018, 0.018, 0.040, 0.012, 0.012]),
        fast=reach * torch.tensor([0.004, 0.004, 0.010, 0.006, 0.006]),
        clip_ties=plain.clip_ties,
        slow_ties=plain.slow_ties,
        fast_ties=plain.fast_ties,
        memory=torch.tensor([0.85, 0.85, 0.93, 0.85, 0.85]),
        size=torch.tensor(0.05),
        lean=torch.tensor([0.08, 0.05]),
        hidden=torch.tensor([0.07, 0.07, 0.12, 0.06, 0.06]),
        visibility=visibility,
        hidden_visibility=torch.tensor(4.0),
        swaps=torch.tensor([0.05, 0.05, 0.03]),
        lost=torch.tensor([0.06, 0.3]),
        box=torch.tensor([0.015, 0.01]),
    )


def tied(noise: Tensor, ties: Tensor) -> Tensor:
    """Independent noise (B, T, 33, 5) of unit size -> noise with the correlations ``ties @ tiesᵀ``."""
    return (noise.flatten(-2) @ ties.mT).unflatten(-1, (LANDMARK_COUNT, 5))


def wandering(like: Tensor, memory: Tensor, generator: torch.Generator, step: Tensor) -> Tensor:
    """Noise of unit size that forgets with time: a first-order process along axis 1.

    Args:
        like: (B, T, ...) only its shape is read.
        memory: share left after a thirtieth of a second; broadcast to the last axes.
        generator: of what is drawn.
        step: (B,) seconds between frames.
    """
    shape = like.shape
    keep = memory ** (30 * step).reshape(-1, *[1] * (len(shape) - 2))  # (B, ...)
    keep = keep.expand(shape[0], *shape[2:])
    fresh = (1 - keep.square()).clamp_min(0).sqrt()
    drawn = torch.randn(shape, generator=generator)
    values = [drawn[:, 0]]
    for frame in range(1, shape[1]):
        values.append(torch.addcmul(fresh * drawn[:, frame], keep, values[-1]))
    return torch.stack(values, dim=1)


def stretches(
    count: int, frames: int, rate: Tensor | float, length: float, step: Tensor, generator: torch.Generator
) -> Tensor:
    """(B, T) bool: one stretch of frames in some of the windows.

    Args:
        count: windows B.
        frames: T.
        rate: how many begin in a second.
        length: their mean length, seconds.
        step: (B,) seconds between frames.
        generator: of what is drawn.
    """
    seconds = frames * step
    begun = torch.rand(count, generator=generator) < 1 - torch.exp(-rate * seconds)
    first = torch.rand(count, generator=generator) * seconds
    lasts = -length * torch.log(torch.rand(count, generator=generator).clamp_min(1e-6))
    time = torch.arange(frames) * step[:, None]
    inside = (time >= first[:, None] - 0.5 * lasts[:, None]) & (time < first[:, None] + 0.5 * lasts[:, None])
    return inside & begun[:, None]


def hidden_landmarks(
    count: int, frames: int, step: Tensor, generator: torch.Generator, rate: float = 0.08
) -> Tensor:
    """(B, T, 33) bool: limbs, or everything below the hips, behind something for a while."""
    hidden = torch.zeros(count, frames, LANDMARK_COUNT, dtype=torch.bool)
    for limb in (*_LIMBS, _LEGS):
        gone = stretches(count, frames, rate, 0.8, step, generator)
        hidden[:, :, limb] |= gone[:, :, None]
    return hidden


def exchange_sides(values: Tensor, swapped: Tensor, which: list[int] | None = None) -> Tensor:
    """Take left for right in some frames: (B, T, 33, ...) values, (B, T) bool, and which landmarks (all)."""
    order = torch.arange(LANDMARK_COUNT)
    mirror = torch.tensor(LANDMARK_MIRROR)
    if which is None:
        order = mirror
    else:
        order[which] = mirror[which]
    where = swapped.reshape(*swapped.shape, *[1] * (values.ndim - 2))
    return torch.where(where, values[:, :, order], values)
