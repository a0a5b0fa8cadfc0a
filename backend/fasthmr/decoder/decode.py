# SPDX-License-Identifier: Apache-2.0
"""From evidence to a body in motion, by the trained motion decoder.

    evidence at even times -> windows -> network -> cross-fade -> shape, place, confidence -> the frames

Clips of any length: a short one is a window with nothing seen after its end. Windows overlap and cross-fade,
so that a long clip has no seams. The same seed gives the same motion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.decoder.batches import EvidenceBatch
from fasthmr.decoder.evidence_features import evidence_features
from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel, landmark_model
from fasthmr.decoder.landmark_fit.windows import windows
from fasthmr.decoder.motion_decoder import Estimator, MotionDecoder
from fasthmr.decoder.motion_features import read_features
from fasthmr.decoder.root_path import PathDeviations, root_path
from fasthmr.decoder.segments import joints_of_segments, local_from_segments
from fasthmr.decoder.time_grid import TimeGrid
from fasthmr.decoder.view_frame import box_rays, camera_from_view, steady_boxes
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress

# Windows that go through the network together.
_TOGETHER: Final = 32
# A joint that is expected to be off by this much has confidence 1 - 1/e.
_CONFIDENT: Final = 0.1  # metres
# The body shape is the mean of the windows', each as strong as it was seen; a guess stays near the mean body.
_LARGEST_BETA: Final = 3.0


@dataclass(frozen=True)
class DecodeSettings:
    """How the motion decoder is used.

    Attributes:
        estimator: "diffusion" or "regressor"; None for the one that measured better.
        steps: denoising steps.
        samples: motions drawn and averaged; their disagreement lowers the confidence.
        seed: of the noise.
        overlap: frames (of 30 a second) that windows share; 0 shows the seams.
        without: channels of evidence to leave out (ablations).
        path: how far measurements of the pelvis's place are off.
    """

    estimator: Estimator | None = None
    steps: int = 1
    samples: int = 1
    seed: int = 0
    overlap: int = 24
    without: tuple[str, ...] = ()
    path: PathDeviations = field(default_factory=PathDeviations)


def decode(
    evidence: Evidence,
    body: BodyModel,
    decoder: MotionDecoder,
    progress: Progress | None = None,
    settings: DecodeSettings | None = None,
) -> BodyEstimate:
    """Recover one person's motion.

    Args:
        evidence: T frames; gaps have visibility 0 and are filled.
        body: wears the motion. The decoder's idea of a shape is the open body's; another body gets its mean.
        decoder: the networks.
        progress: told as stage "fit"; may cancel.
        settings: defaults are those of the product.

    Returns:
        The body in the camera frame, one shape for the person; confidence is 0 in frames in which the person
        was not seen.

    Raises:
        Cancelled: the user cancelled.
        ValueError: the settings ask for less than one step or sample, for an overlap that is not shorter than
            a window, or an unknown channel.
    """
    progress = progress or Progress()
    settings = settings or DecodeSettings()
    if settings.samples < 1:
        raise ValueError(f"{settings.samples} samples: it must be at least one")
    if not 0 <= settings.overlap < decoder.config.vae.window:
        raise ValueError(
            f"an overlap of {settings.overlap}: it must be 0 to {decoder.config.vae.window - 1}, "
            "less than a window"
        )
    grid = TimeGrid.over(evidence.timestamps, evidence.frame_rate)
    batch = evidence_on_grid(evidence, grid)
    told = _run(batch, decoder, settings, progress)
    betas = told.betas if body.name == "open" else torch.zeros(10)
    return _assemble(told, betas, evidence, batch, grid, body, settings)


def evidence_on_grid(evidence: Evidence, grid: TimeGrid) -> EvidenceBatch:
    """One clip's evidence at even times, as a batch of one window of N frames."""
    visibility = evidence.visibility.astype(np.float64)
    seen = evidence.seen.astype(np.float64)
    belief = np.maximum(visibility, 1e-3) * seen[:, None]
    image, _ = grid.gather(evidence.landmarks_image[..., :2].astype(np.float64), belief)
    world, _ = grid.gather(evidence.landmarks_world.astype(np.float64), belief)
    shown, there = grid.gather(visibility, seen[:, None].repeat(visibility.shape[1], 1))
    rotations = belief_in_joints = None
    if evidence.rotations is not None and evidence.joint_confidence is not None:
        given = evidence.joint_confidence.astype(np.float64)
        mixed, believed = grid.gather(evidence.rotations.astype(np.float64), np.maximum(given, 1e-6))
        rotations = _tensor(_nearest_rotations(mixed))
        belief_in_joints = _tensor(np.where(believed > 1e-5, np.clip(believed, 0, 1), 0))
    return EvidenceBatch(
        landmarks_image=_tensor(image),
        landmarks_world=_tensor(world),
        visibility=_tensor(np.where(there > 0, np.clip(shown, 0, 1), 0)),
        boxes=steady_boxes(_tensor(grid.fill(evidence.boxes))),
        intrinsics=_tensor(evidence.intrinsics),
        step=torch.tensor([grid.step], dtype=torch.float32),
        rotations=rotations,
        joint_confidence=belief_in_joints,
    )


@dataclass(frozen=True)
class _Told:
    """What the networks say of a clip at its even times, windows joined.

    Attributes:
        features: (N, 154) motion features.
        error: (N, 24) expected error of each joint, metres.
        betas: (10,) body shape.
    """

    features: Tensor
    error: Tensor
    betas: Tensor


def _run(batch: EvidenceBatch, decoder: MotionDecoder, settings: DecodeSettings, progress: Progress) -> _Told:
    size, count = decoder.config.vae.window, batch.boxes.shape[1]
    features = evidence_features(batch, settings.without)[0]
    spans = list(windows(count, size, settings.overlap))
    rows = torch.stack([_window(features, span, size) for span in spans])
    seen = rows[..., 0].mean(1)  # the first feature is whether anything was seen
    motion = torch.zeros(count, decoder.vae.mean.numel())
    error = torch.zeros(count, JOINT_COUNT)
    total = torch.zeros(count, 1)
    betas = torch.zeros(10)
    progress.report("fit", 0, len(spans))
    for start in range(0, len(spans), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        made, expected, shapes = _windows(rows[part], range(start, len(spans)), decoder, settings)
        for index, span in enumerate(spans[part]):
            length = span.stop - span.start
            share = _fade(span, count, length, settings.overlap)
            motion[span] += share * made[index, :length]
            error[span] += share * expected[index, :length]
            total[span] += share
        betas += (seen[part, None] * shapes).sum(0)
        progress.report("fit", min(start + _TOGETHER, len(spans)), len(spans))
    betas = betas / seen.sum().clamp_min(1e-6)
    return _Told(motion / total, error / total, betas.clamp(-_LARGEST_BETA, _LARGEST_BETA))


@torch.no_grad()
def _windows(
    rows: Tensor, numbers: Iterable[int], decoder: MotionDecoder, settings: DecodeSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Motion (W, T, F), expected errors (W, T, 24), shapes (W, 10) of windows, on the CPU."""
    device = decoder.vae.mean.device
    given = rows.to(device)
    if (settings.estimator or decoder.config.default) == "regressor":
        motion, read = decoder.regress(given)
        return motion.cpu(), read.error.cpu(), read.betas.cpu()
    # every window and sample has noise of its own, whatever it is computed together with
    numbers = list(numbers)[: len(rows)]
    motions, errors, betas = [], [], []
    for sample in range(settings.samples):
        seeds = [settings.seed * 1_000_003 + sample * 10_007 + number for number in numbers]
        noise = torch.cat([decoder.noise(1, seed) for seed in seeds]).to(device)
        motion, read = decoder.diffuse(given, noise, settings.steps)
        motions.append(motion)
        errors.append(read.error)
        betas.append(read.betas)
    error = torch.stack(errors).mean(0) + _disagreement(motions)
    return torch.stack(motions).mean(0).cpu(), error.cpu(), torch.stack(betas).mean(0).cpu()


def _disagreement(motions: list[Tensor]) -> Tensor:
    """How far samples' segments are apart (W, T, 24), as metres at the end of a 30 cm segment."""
    if len(motions) < 2:
        return torch.zeros((), device=motions[0].device)
    columns = torch.stack([read_features(motion).segments for motion in motions])
    return 0.3 * columns.std(0).norm(dim=(-1, -2)) / 2**0.5


def _window(features: Tensor, span: slice, size: int) -> Tensor:
    """A span's features, with unseen frames after a clip that is shorter than a window."""
    part = features[span]
    if len(part) == size:
        return part
    empty = part.new_zeros(size - len(part), part.shape[1])
    empty[:, 1] = part[0, 1]  # time goes on as before
    return torch.cat([part, empty])


def _fade(span: slice, count: int, length: int, overlap: int) -> Tensor:
    """(length, 1): a window counts most in its middle, and nothing beyond what it shares with neighbours."""
    if not overlap:
        return torch.ones(length, 1)
    place = torch.arange(length) + 1.0
    into = torch.ones(length) if span.start == 0 else (place / (overlap + 1)).clamp(max=1)
    out = torch.ones(length) if span.stop == count else ((length + 1 - place) / (overlap + 1)).clamp(max=1)
    return (into * out)[:, None]


def _assemble(
    told: _Told,
    betas: Tensor,
    evidence: Evidence,
    batch: EvidenceBatch,
    grid: TimeGrid,
    body: BodyModel,
    settings: DecodeSettings,
) -> BodyEstimate:
    """Motion features -> the estimate at the footage's frames."""
    rays, _ = box_rays(batch.boxes, batch.intrinsics)
    turn = camera_from_view(rays[0])
    view = read_features(told.features)
    segments = turn[:, None] @ view.segments
    rest = body.rest_joints(betas)
    path = _path(segments, rest, view.speed, turn, batch, grid, body, betas, settings)

    # Columns of matrices and places are smooth in time: brought to the frames, then made whole again.
    columns = grid.at_frames(segments.double().numpy().reshape(len(segments), -1)).reshape(-1, 24, 3, 3)
    segments_at = torch.from_numpy(_nearest_rotations(columns)).float()
    pelvis = torch.from_numpy(grid.at_frames(path)).float()
    up = torch.from_numpy(grid.at_frames((turn @ view.up[..., None])[..., 0].double().numpy())).float()
    contacts = grid.at_frames(view.contacts.double().numpy()).clip(0, 1)
    error = grid.at_frames(told.error.double().numpy()).clip(1e-3)
    confidence = (1 - np.exp(-_CONFIDENT / error)) * evidence.seen[:, None]
    joints = joints_of_segments(segments_at, rest) + pelvis[:, None]
    return BodyEstimate(
        rotations=local_from_segments(segments_at).numpy().astype(np.float32),
        betas=betas.numpy().astype(np.float32),
        translation=(pelvis - rest[0]).numpy().astype(np.float32),
        joints=joints.numpy().astype(np.float32),
        confidence=confidence.astype(np.float32),
        up=torch.nn.functional.normalize(up, dim=-1).numpy().astype(np.float32),
        contacts=contacts.astype(np.float32),
    )


def _path(
    segments: Tensor,
    rest: Tensor,
    speed: Tensor,
    turn: Tensor,
    batch: EvidenceBatch,
    grid: TimeGrid,
    body: BodyModel,
    betas: Tensor,
    settings: DecodeSettings,
) -> np.ndarray:
    """The pelvis's path (N, 3) at the even times, float64."""
    marks: LandmarkModel = landmark_model(body)
    joints = joints_of_segments(segments, rest)
    points = marks.place(joints, segments, betas)
    pixels = batch.landmarks_image[0][:, marks.indices]
    focal = torch.stack([batch.intrinsics[0, 0, 0], batch.intrinsics[0, 1, 1]])
    seen = (pixels - batch.intrinsics[0, :2, 2]) / focal
    return root_path(
        points.double().numpy(),
        seen.double().numpy(),
        batch.visibility[0][:, marks.indices].square().double().numpy(),
        (turn @ speed[..., None])[..., 0].double().numpy(),
        turn[..., 2].double().numpy(),
        grid.times,
        settings.path,
    )


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """Proper rotations (..., 3, 3) nearest to matrices; a matrix of zeros gives the unit matrix."""
    u, size, vt = np.linalg.svd(matrices)
    sign = np.sign(np.linalg.det(u @ vt))
    u = u * np.stack([np.ones_like(sign), np.ones_like(sign), sign], axis=-1)[..., None, :]
    return np.where((size[..., :1, None] > 1e-6), u @ vt, np.eye(3))


def _tensor(values: np.ndarray) -> Tensor:
    """A batch of one."""
    return torch.from_numpy(np.ascontiguousarray(values)).float()[None]
