# SPDX-License-Identifier: Apache-2.0
"""Estimate the model of a detector's errors from recorded pairs.

Errors are measured as :mod:`fasthmr.training.evidence.synthesis` makes them: world landmarks about the hips
in the line-of-sight frame, image landmarks over the size of the box. What is left of them after a mean that
depends on the pose is split by how long it lasts: for the clip, for a while (an autoregressive process, from
the covariances of errors one and five frames apart), for one frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.decoder.view_frame import box_rays, camera_from_view
from fasthmr.people.landmarks import LANDMARK_COUNT, LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.training.evidence.errors import ErrorParameters, usual
from fasthmr.training.evidence.paired import load_pairs, pair_files
from fasthmr.training.evidence.synthesis import boxes_around

_INNER: Final = 48
_STEPS: Final = 400
_FOLDS: Final = 4
_BATCH: Final = 4096
_DECAY: Final = 1e-3
_SEEN: Final = 0.5  # visibility from which a landmark counts as in sight
# Share of independent noise that few samples leave open.
_SHRINK: Final = 0.05
_LAGS: Final = (1, 5)
_SWAP_GAIN: Final = 0.5  # share of the error that is left when exchanged sides are put right
_SWAP_LEAST: Final = 0.08  # metres between the sides, for an exchange to be told at all
_HIPS: Final = [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]


@dataclass(frozen=True)
class Measured:
    """Errors of N sequences of T frames.

    Attributes:
        truth: (N, T, 33, 3) true landmarks about the hips, in the view.
        errors: (N, T, 33, 5) of detected ones: world x, y, z in metres, image x, y over the box's size.
        visibility: (N, T, 33), 0 where nothing was detected.
        inside: (N, T, 33) bool, in the picture.
        edges: (N, T, 4) errors of the box's edges over its size.
        step: (N,) seconds between frames.
    """

    truth: Tensor
    errors: Tensor
    visibility: Tensor
    inside: Tensor
    edges: Tensor
    step: Tensor

    @property
    def seen(self) -> Tensor:
        """(N, T) bool: frames with a detection."""
        return self.visibility.amax(-1) > 0

    def with_errors(self, errors: Tensor) -> Measured:
        """The same sequences with other errors (N, T, 33, 5)."""
        return replace(self, errors=errors)

    @property
    def in_sight(self) -> Tensor:
        """(N, T, 33) bool: landmarks that the detector calls visible, in the picture."""
        return (self.visibility > _SEEN) & self.inside


def measure_errors(folder: Path, held_out: bool = False) -> Measured:
    """Read recorded pairs and compare them with the truth.

    Raises:
        BadInput: no pairs there, or damaged ones.
    """
    names = (
        *("landmarks_image", "landmarks_world", "visibility", "boxes", "intrinsics", "image_size", "step"),
        *("true_landmarks", "inside", "valid"),
    )
    arrays = {
        name: torch.from_numpy(one) for name, one in load_pairs(pair_files(folder, held_out), names).items()
    }
    points, intrinsics = arrays["true_landmarks"].float(), arrays["intrinsics"].float()
    focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], dim=-1)[:, None, None]
    pixels = points[..., :2] / points[..., 2:].clamp_min(0.1) * focal + intrinsics[:, None, None, :2, 2]
    boxes = boxes_around(pixels, arrays["inside"], arrays["image_size"].float())
    side = (boxes[..., 2:] - boxes[..., :2]).amax(-1).clamp_min(1.0)[..., None]
    view = camera_from_view(box_rays(boxes, intrinsics)[0])
    truth = (points - points[:, :, _HIPS].mean(2, keepdim=True)) @ view
    image = (arrays["landmarks_image"] - pixels) / side[..., None]
    visibility = arrays["visibility"].float() * arrays["valid"][..., None]
    return Measured(
        truth=truth,
        errors=torch.cat([arrays["landmarks_world"] - truth, image], dim=-1),
        visibility=visibility,
        inside=arrays["inside"],
        edges=(arrays["boxes"] - boxes) / side,
        step=arrays["step"].float(),
    )


def estimate(measured: Measured, seed: int = 0) -> ErrorParameters:
    """Parameters of the model of errors.

    Args:
        measured: errors of at least a few dozen sequences.
        seed: of the network for the mean.
    """
    swaps = _swaps(measured)
    parameters = _fit_mean(measured, torch.arange(len(measured.step)), seed)
    rest = _unexplained(measured, seed)
    weight = measured.in_sight.float()
    rest, size, lean = _without_figure(measured.truth, rest, weight)
    clip, slow, fast, memory = _lasting(rest, weight)
    clip_ties, slow_ties, fast_ties = _ties(rest, weight)
    logit = torch.logit(measured.visibility.clamp(1e-3, 1 - 1e-3))
    inside = (measured.inside & measured.seen[..., None]).float()
    outside = (~measured.inside & measured.seen[..., None]).float()
    mean_logit = _mean(logit, inside, (0, 1))
    spread = _mean((logit - mean_logit).square(), inside, (0, 1)).sqrt()
    hidden = (measured.seen[..., None] & ~measured.in_sight).float()
    excess = _mean(rest.square(), hidden[..., None], (0, 1, 2)) - _mean(
        rest.square(), weight[..., None], (0, 1, 2)
    )
    seen = measured.seen.float()
    edges = measured.edges - _mean(measured.edges, seen[..., None], (0, 1))
    drift = _mean(edges[:, 1:] * edges[:, :-1], (seen[:, 1:] * seen[:, :-1])[..., None], (0, 1, 2)).clamp_min(
        0
    )
    jump = (_mean(edges.square(), seen[..., None], (0, 1, 2)) - drift).clamp_min(0)
    hand_set = usual()
    return replace(
        parameters,
        clip=clip,
        slow=slow,
        fast=fast,
        clip_ties=clip_ties,
        slow_ties=slow_ties,
        fast_ties=fast_ties,
        memory=memory,
        size=size,
        lean=lean,
        hidden=excess.clamp_min(1e-4).sqrt(),
        visibility=torch.stack([mean_logit, spread], dim=-1),
        hidden_visibility=(_mean(logit, inside) - _mean(logit, outside)).clamp_min(1.0)
        if outside.sum() > 100
        else hand_set.hidden_visibility,
        swaps=swaps,
        lost=_lost(measured),
        box=torch.stack([drift.sqrt(), jump.sqrt()]),
    )


def root_mean_squares(measured: Measured) -> Tensor:
    """(33, 5) how far off each landmark is in frames with a detection, in sight or not."""
    weight = (measured.seen[..., None] & measured.inside).float()
    return _mean(measured.errors.square(), weight[..., None], (0, 1)).sqrt()


def _unexplained(measured: Measured, seed: int) -> Tensor:
    """Errors (N, T, 33, 5) less means that were fitted to other sequences.

    A mean fitted to the same sequences would explain what is special to each, and what it then lasts.
    """
    count = len(measured.step)
    rest = torch.empty_like(measured.errors)
    fold = torch.arange(count) % min(_FOLDS, count)
    for number in range(int(fold.max()) + 1):
        others, own = torch.nonzero(fold != number)[:, 0], torch.nonzero(fold == number)[:, 0]
        mean = _fit_mean(measured, others if len(others) else own, seed).mean(measured.truth[own])
        rest[own] = measured.errors[own] - mean
    return rest


def _fit_mean(measured: Measured, sequences: Tensor, seed: int) -> ErrorParameters:
    """The mean error of some sequences as a small network of the pose, by weighted least squares."""
    keep = torch.zeros_like(measured.seen)
    keep[sequences] = (measured.seen & measured.in_sight.any(-1))[sequences]
    inputs = measured.truth[keep].flatten(1)
    wanted, weight = measured.errors[keep], measured.in_sight[keep].float()[..., None]
    scale = _mean(wanted.square(), weight, (0, 1)).sqrt().clamp_min(1e-3)
    generator = torch.Generator().manual_seed(seed)
    first = 0.5 * torch.randn(3 * LANDMARK_COUNT, _INNER, generator=generator) / 4
    weights = [
        first,
        torch.zeros(_INNER),
        torch.zeros(_INNER, 5 * LANDMARK_COUNT),
        torch.zeros(5 * LANDMARK_COUNT),
    ]
    for one in weights:
        one.requires_grad_()
    optimiser = torch.optim.AdamW(weights, lr=5e-3, weight_decay=_DECAY)
    plain = usual()

    def parameters() -> ErrorParameters:
        return replace(
            plain,
            mean_in=weights[0],
            mean_inner=weights[1],
            mean_out=weights[2],
            mean_constant=weights[3],
        )

    for step in range(_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * (1 - step / _STEPS)
        rows = torch.randint(len(inputs), (min(_BATCH, len(inputs)),), generator=generator)
        made = parameters().mean(inputs[rows].unflatten(1, (LANDMARK_COUNT, 3)))
        loss = (weight[rows] * ((made - wanted[rows]) / scale).square()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for one in weights:
        one.requires_grad_(False)
    return parameters()


def _without_figure(truth: Tensor, rest: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take size and lean of the whole figure out of the errors; their deviations beside."""
    flat, y = truth[..., :2], truth[..., 1]
    size = (weight[..., None] * flat * rest[..., :2]).sum((1, 2, 3)) / (
        (weight[..., None] * flat.square()).sum((1, 2, 3)).clamp_min(1e-6)
    )
    rest = torch.cat([rest[..., :2] - size[:, None, None, None] * flat, rest[..., 2:]], dim=-1)
    frame = (weight * y * rest[..., 2]).sum(2) / (weight * y.square()).sum(2).clamp_min(1e-3)
    there = (weight.sum(2) > 3).float()
    of_clip = _mean(frame, there, (1,))
    lean = _mean((frame - of_clip[:, None]).square(), there).sqrt()
    depth = rest[..., 2] - (frame * there)[..., None] * y
    rest = torch.cat([rest[..., :2], depth[..., None], rest[..., 3:]], dim=-1)
    return rest, size.std(), torch.stack([of_clip.std(), lean])


def _lasting(rest: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Deviations (33, 5) of what lasts a clip, a while, a frame; memory (5,) of what lasts a while."""
    shares = weight[..., None]
    of_clip = _mean(rest, shares, (1,))
    known = (weight.sum(1) > 0.3 * weight.shape[1]).float()[..., None]
    clip = _mean(of_clip.square(), known, (0,)).sqrt()
    moving = rest - of_clip[:, None]

    def covariance(lag: int) -> Tensor:
        both = shares[:, lag:] * shares[:, : shares.shape[1] - lag]
        return _mean(moving[:, lag:] * moving[:, : moving.shape[1] - lag], both, (0, 1))

    now, near, far = covariance(0), *(covariance(lag).clamp_min(1e-9) for lag in _LAGS)
    memory = (far.mean(0) / near.mean(0)).clamp(1e-3, 1.0) ** (1 / (_LAGS[1] - _LAGS[0]))
    memory = memory.clamp(0.5, 0.98)
    slow = near / memory
    return clip, slow.sqrt(), (now - slow).clamp_min(1e-8).sqrt(), memory


def _ties(rest: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Roots (165, 165) of the correlations of what lasts a clip, a while, a frame, among all numbers."""
    shares = weight[..., None]
    of_clip = _mean(rest, shares, (1,))
    known = (weight.sum(1) > 0.3 * weight.shape[1]).float()[..., None].expand_as(of_clip)
    moving = (rest - of_clip[:, None]).flatten(2)
    there = shares.expand_as(rest).flatten(2)

    def covariance(lag: int) -> Tensor:
        late, early = (moving * there)[:, lag:], (moving * there)[:, : moving.shape[1] - lag]
        both = there[:, lag:].flatten(0, 1).mT @ there[:, : moving.shape[1] - lag].flatten(0, 1)
        found = (late.flatten(0, 1).mT @ early.flatten(0, 1)) / both.clamp_min(1.0)
        return 0.5 * (found + found.mT)

    slow = covariance(_LAGS[0])
    flat, sure = (of_clip * known).flatten(1), known.flatten(1)
    clip = (flat.mT @ flat) / (sure.mT @ sure).clamp_min(1.0)
    return _root(clip), _root(slow), _root(covariance(0) - slow)


def _root(covariance: Tensor) -> Tensor:
    """A root of the correlations of a covariance (D, D) that is known from few samples: no negative ones."""
    values, vectors = torch.linalg.eigh(covariance.double())
    whole = (vectors * values.clamp_min(0)) @ vectors.mT
    size = whole.diagonal().clamp_min(1e-12).sqrt()
    correlation = whole / size[:, None] / size
    correlation = (1 - _SHRINK) * correlation + _SHRINK * torch.eye(len(correlation), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(correlation)
    return (vectors * values.clamp_min(0).sqrt()).float()


def _swaps(measured: Measured) -> Tensor:
    """How often a second begins a stretch of exchanged sides: everything, legs alone, arms alone."""
    found = measured.errors[..., :2] + measured.truth[..., :2]
    mirror = list(LANDMARK_MIRROR)
    wrong = {}
    for name, joints in (("arms", ("elbow", "wrist")), ("legs", ("knee", "ankle"))):
        rows = [LANDMARK_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in joints]
        others = [mirror[row] for row in rows]
        plain = (found[:, :, rows] - measured.truth[:, :, rows, :2]).norm(dim=-1).mean(-1)
        turned = (found[:, :, others] - measured.truth[:, :, rows, :2]).norm(dim=-1).mean(-1)
        apart = (measured.truth[:, :, rows, :2] - measured.truth[:, :, others, :2]).norm(dim=-1).mean(-1)
        wrong[name] = (turned < _SWAP_GAIN * plain) & (apart > _SWAP_LEAST) & measured.seen
    both = wrong["arms"] & wrong["legs"]
    kinds = (both, wrong["legs"] & ~both, wrong["arms"] & ~both)
    seconds = (measured.seen * measured.step[:, None]).sum().clamp_min(1.0)
    return torch.stack([(one[:, 1:] & ~one[:, :-1]).sum() / seconds for one in kinds])


def _lost(measured: Measured) -> Tensor:
    """How often a second begins a stretch without a detection, and its mean length in seconds.

    Frames before the first detection and after the last say where a clip begins, not what gets lost in it.
    """
    seen = measured.seen
    within = seen.int().cummax(1).values.bool() & seen.flip(1).int().cummax(1).values.flip(1).bool()
    gone = within & ~seen
    begun = (gone[:, 1:] & ~gone[:, :-1]).sum()
    length = (gone * measured.step[:, None]).sum() / begun.clamp_min(1)
    seconds = (within * measured.step[:, None]).sum().clamp_min(1.0)
    return torch.stack([begun / seconds, length.clamp_min(0.05)])


def _mean(values: Tensor, weight: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
    """Weighted mean along axes, or of everything."""
    weight = weight.expand_as(values)
    if axes is None:
        return (values * weight).sum() / weight.sum().clamp_min(1e-6)
    return (values * weight).sum(axes) / weight.sum(axes).clamp_min(1e-6)


def compare_text(real: Tensor, modelled: Tensor) -> str:
    """A table of root mean squares (33, 5) of real errors beside modelled ones: world in mm, image in %."""
    lines = [
        f"{'landmark':18}" + "".join(f"{axis:>14}" for axis in ("x mm", "y mm", "z mm", "image x %", "y %"))
    ]
    scale = np.array([1000, 1000, 1000, 100, 100])
    for name, row in LANDMARK_INDEX.items():
        pairs = zip(real[row].numpy() * scale, modelled[row].numpy() * scale, strict=True)
        lines.append(f"{name:18}" + "".join(f"{a:7.1f}{b:7.1f}" for a, b in pairs))
    return "\n".join(lines)
