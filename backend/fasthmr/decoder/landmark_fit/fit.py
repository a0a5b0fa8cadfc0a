# SPDX-License-Identifier: Apache-2.0
"""Fit the body to a track's landmarks: the estimator that needs no trained network.

In three steps: a first pose in closed form (:mod:`.initial_pose`); the shape of the person from a few
hundred frames spread over the track; then the motion, all frames of a window at once, so that time
smooths what single frames leave open. The idea is SMPLify's (Bogo et al., ECCV 2016) with world
landmarks beside those of the image, which take away most of its ambiguity. Where an encoder has seen the
person too, its rotations start the fit and pull on it (:mod:`.encoder_pose`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np
import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.projection import directions, rays, translation_from_rays, turn_from_forward
from fasthmr.decoder.landmark_fit.confidence import joint_confidence
from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel, landmark_model
from fasthmr.decoder.landmark_fit.encoder_pose import encoder_rotations, encoder_shape, start_from_encoder
from fasthmr.decoder.landmark_fit.initial_pose import initial_pose
from fasthmr.decoder.landmark_fit.limits import joint_limits
from fasthmr.decoder.landmark_fit.objective import Deviations, Objective, Targets, Variables
from fasthmr.decoder.landmark_fit.sketches import FigureSketches
from fasthmr.decoder.landmark_fit.standing import standing_feet
from fasthmr.decoder.landmark_fit.trajectory import smooth_trajectory
from fasthmr.decoder.landmark_fit.windows import ramp, windows
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress

# Depths in metres between which a person is looked for when the first estimate makes no sense.
_NEAREST: Final = 0.5
_FARTHEST: Final = 60.0
# Where a person of whom nothing is known stands, metres.
_USUAL_DISTANCE: Final = 4.0

# How the evidence of the first guess is smoothed: world landmarks (metres, m/s²) and the pelvis's depth
# (share of the distance, m/s²).
_START_DEVIATION: Final = 0.04
_START_ACCELERATION: Final = 10.0
_START_DEPTH_DEVIATION: Final = 0.04
_START_DEPTH_ACCELERATION: Final = 2.0


@dataclass(frozen=True)
class FitSettings:
    """How long the fit works.

    Attributes:
        shape_frames: most frames that the shape is taken from.
        shape_steps: optimiser steps for the shape.
        motion_steps: optimiser steps for each window.
        window: frames of a window.
        overlap: frames that windows share.
        step_size: first step in radians and metres; it falls to a hundredth along a cosine.
        deviations: the weights of the objective.
    """

    shape_frames: int = 120
    shape_steps: int = 120
    motion_steps: int = 150
    window: int = 600
    overlap: int = 40
    step_size: float = 0.03
    deviations: Deviations = field(default_factory=Deviations)


def fit_landmarks(
    evidence: Evidence,
    body: BodyModel,
    progress: Progress | None = None,
    settings: FitSettings | None = None,
) -> BodyEstimate:
    """Fit the body to one person's landmarks, and to an encoder's rotations where the evidence has them.

    Args:
        evidence: T frames; gaps have visibility 0 and are bridged by the smoothness in time.
        body: the body to fit.
        progress: told as stage "fit"; may cancel.
        settings: defaults are those of the product.

    Returns:
        The body in the camera frame, one shape for the person; confidence is 0 in gaps.

    Raises:
        Cancelled: the user cancelled.
    """
    progress = progress or Progress()
    settings = settings or FitSettings()
    body = body.to("cpu", torch.float32)  # hundreds of tiny operations a step: a GPU would only wait
    with _one_thread():
        return _fit(evidence, body, progress, settings)


def _fit(evidence: Evidence, body: BodyModel, progress: Progress, settings: FitSettings) -> BodyEstimate:
    marks = landmark_model(body)
    objective = Objective(body, marks, joint_limits(), settings.deviations)
    targets = _targets(evidence, marks)
    start = _first_guess(evidence, targets, body, marks)
    targets = replace(targets, still=standing_feet(targets, start.pelvis[:, 2], marks))
    spans = list(windows(evidence.frame_count, settings.window, settings.overlap))
    steps = settings.shape_steps + settings.motion_steps * len(spans)
    clock = _StepCounter(progress, steps, FigureSketches(objective, evidence))

    start = _fit_shape(objective, start, targets, settings, clock)

    def motion_of(span: slice) -> Variables:
        part, seen = start.select(span), targets.select(span)
        return _minimise(
            objective, part, seen, settings.motion_steps, settings.step_size, clock.at(span), with_shape=False
        )

    fitted = motion_of(spans[0])
    for before, span in pairwise(spans):
        fitted = _blend(fitted, motion_of(span), ramp(span, before.stop))
    return _estimate(objective, fitted, targets, evidence)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep PyTorch on one thread: handing out operations this small costs ten times what they take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _targets(evidence: Evidence, marks: LandmarkModel) -> Targets:
    """The evidence as tensors, with the world landmarks turned to the person's line of sight.

    The detector sees a crop around the person and gives its world landmarks as if the camera looked
    straight at the crop; a person at the edge of a wide picture is seen from the side.
    """
    intrinsics = torch.tensor(evidence.intrinsics, dtype=torch.float32)
    image = torch.from_numpy(evidence.landmarks_image)
    world = torch.from_numpy(evidence.landmarks_world)
    visibility = torch.from_numpy(evidence.visibility)
    centres = torch.from_numpy(evidence.boxes).reshape(-1, 2, 2).mean(1)
    toward = directions(centres, intrinsics)
    turn = turn_from_forward(toward)
    rotations, belief = encoder_rotations(evidence) or (None, None)
    return Targets(
        pixels=image[:, marks.indices, :2],
        world=(turn[:, None] @ world[:, marks.indices, :, None])[..., 0],
        weights=visibility[:, marks.indices].square(),
        toward=toward,
        timestamps=torch.from_numpy(evidence.timestamps),
        intrinsics=intrinsics,
        still=torch.zeros(evidence.frame_count, len(marks.indices)),
        rotations=rotations,
        belief=belief,
        betas=encoder_shape(evidence),
    )


def _first_guess(evidence: Evidence, targets: Targets, body: BodyModel, marks: LandmarkModel) -> Variables:
    """Pose in closed form, then the place at which its landmarks fall on those of the image.

    Both come from smoothed evidence: the optimiser is quick to follow the landmarks and slow to calm
    a start that jumps from frame to frame.
    """
    turn = turn_from_forward(targets.toward)
    world = _calm_landmarks(evidence)
    rotations = initial_pose((turn[:, None] @ world[..., None])[..., 0], body)
    rotations = start_from_encoder(rotations, evidence)
    limits = joint_limits()
    turns = roma.rotmat_to_rotvec(rotations[:, 1:])
    betas = torch.zeros(10) if targets.betas is None else targets.betas
    start = Variables(
        root_start=rotations[:, 0],
        root_turn=torch.zeros(len(rotations), 3),
        turns=torch.minimum(torch.maximum(turns, limits.low), limits.high),
        pelvis=torch.zeros(len(rotations), 3),
        betas=betas,
        correction=torch.zeros(len(marks.indices), 3),
    )
    joints, frames = body.joints(start.rotations(), betas)
    points = marks.place(joints, frames, betas) - joints[:, :1]
    return replace(start, pelvis=_first_places(points, targets, torch.from_numpy(evidence.seen)))


def _calm_landmarks(evidence: Evidence) -> Tensor:
    """World landmarks (T, 33, 3) smoothed over time, each by its own visibility."""
    calm = [
        smooth_trajectory(
            evidence.landmarks_world[:, index],
            evidence.timestamps,
            evidence.visibility[:, index],
            _START_DEVIATION,
            _START_ACCELERATION,
        )
        for index in range(evidence.landmarks_world.shape[1])
    ]
    return torch.from_numpy(np.stack(calm, axis=1)).float()


def _first_places(points: Tensor, targets: Targets, seen: Tensor) -> Tensor:
    """Where the pelvis is (T, 3), metres: a smooth depth, then the place beside the axis for that depth.

    Args:
        points: (T, K, 3) the posed body's landmarks about its pelvis.
        targets: the evidence.
        seen: (T,) bool.
    """
    through = rays(targets.pixels, targets.intrinsics)
    depth = translation_from_rays(points, through, targets.weights)[:, 2]
    belief = targets.weights.sum(1)
    good = seen & (belief > 1) & (depth > _NEAREST) & (depth < _FARTHEST)
    if not good.any():
        return targets.toward * _USUAL_DISTANCE
    middle = float(depth[good].median())
    smooth = smooth_trajectory(
        torch.where(good, depth / middle, 1.0)[:, None].numpy(),
        targets.timestamps.numpy(),
        torch.where(good, belief / belief.max(), 0.0).numpy(),
        _START_DEPTH_DEVIATION,
        _START_DEPTH_ACCELERATION / middle,
    )
    depth = torch.from_numpy(smooth[:, 0]).float().clamp(0.2, 5.0) * middle
    return translation_from_rays(points, through, targets.weights.clamp_min(1e-3), depth)


def _fit_shape(
    objective: Objective,
    start: Variables,
    targets: Targets,
    settings: FitSettings,
    clock: _StepCounter,
) -> Variables:
    """Find the person's shape and landmark offsets on frames spread over the track."""
    belief = targets.weights.sum(1)
    count = len(belief)
    chosen = torch.linspace(0, count - 1, min(count, settings.shape_frames)).round().long().unique()
    clear = chosen[belief[chosen] >= 0.5 * belief.max()]
    rows = clear if len(clear) else chosen
    part = _minimise(
        objective,
        start.select(rows),
        targets.select(rows),
        settings.shape_steps,
        settings.step_size,
        clock.at(rows),
        with_shape=True,
    )
    # The person's size has changed, and with it the distance: the ratio is the same in every frame.
    ratio = (part.pelvis[:, 2] / start.pelvis[rows, 2]).median()
    return replace(start, betas=part.betas, correction=part.correction, pelvis=start.pelvis * ratio)


def _minimise(
    objective: Objective,
    start: Variables,
    targets: Targets,
    steps: int,
    step_size: float,
    clock: Callable[[Variables], None],
    *,
    with_shape: bool,
) -> Variables:
    """Adam on the pose, and on the shape where asked; frames are taken as neighbours in time if not."""
    free = replace(
        start,
        root_turn=start.root_turn.clone().requires_grad_(),
        turns=start.turns.clone().requires_grad_(),
        pelvis=start.pelvis.clone().requires_grad_(),
        betas=start.betas.clone().requires_grad_(with_shape),
        correction=start.correction.clone().requires_grad_(with_shape),
    )
    groups = [{"params": [free.root_turn, free.turns, free.pelvis], "lr": step_size}]
    if with_shape:
        groups += [
            {"params": [free.betas], "lr": 2 * step_size},
            {"params": [free.correction], "lr": 0.05 * step_size},
        ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.01 + 0.495 * (1 + math.cos(math.pi * step / steps))
    )
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        energy = torch.stack(list(objective.terms(free, targets, in_time=not with_shape).values())).sum()
        energy.backward()
        optimiser.step()
        schedule.step()
        clock(free)
    return Variables(
        *(getattr(free, name).detach() for name in ("root_start", "root_turn", "turns", "pelvis", "betas")),
        correction=free.correction.detach(),
    )


def _blend(done: Variables, new: Variables, share: np.ndarray) -> Variables:
    """Join a window to what is done, fading over what they share; turns follow the shorter way."""
    shared = int((share < 1).sum())
    fade = torch.from_numpy(share[:shared]).float()
    old = done.select(slice(len(done.pelvis) - shared, None))
    fresh = new.select(slice(0, shared))
    before, after = old.rotations(), fresh.rotations()
    way = roma.rotmat_to_rotvec(before.mT @ after)
    rotations = before @ roma.rotvec_to_rotmat(fade[:, None, None] * way)
    keep = len(done.pelvis) - shared

    def joined(kept: Tensor, blended: Tensor, rest: Tensor) -> Tensor:
        return torch.cat([kept[:keep], blended, rest[shared:]])

    return replace(
        done,
        root_start=joined(done.root_start, rotations[:, 0], new.root_start),
        root_turn=joined(done.root_turn, torch.zeros(shared, 3), new.root_turn),
        turns=joined(done.turns, roma.rotmat_to_rotvec(rotations[:, 1:]), new.turns),
        pelvis=joined(done.pelvis, torch.lerp(old.pelvis, fresh.pelvis, fade[:, None]), new.pelvis),
    )


@torch.no_grad()
def _estimate(objective: Objective, fitted: Variables, targets: Targets, evidence: Evidence) -> BodyEstimate:
    posed = objective.pose(fitted)
    rest_pelvis = objective.body.rest_joints(fitted.betas)[0]
    errors = objective.image_error(posed, targets)
    return BodyEstimate(
        rotations=fitted.rotations().numpy().astype(np.float32),
        betas=fitted.betas.numpy().astype(np.float32),
        translation=(fitted.pelvis - rest_pelvis).numpy().astype(np.float32),
        joints=posed.joints.numpy().astype(np.float32),
        confidence=joint_confidence(evidence.visibility, errors.numpy(), objective.landmarks),
    )


class _StepCounter:
    """Counts optimiser steps, tells the progress, and offers a picture of the figure."""

    def __init__(self, progress: Progress, total: int, sketches: FigureSketches) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._sketches = sketches

    def at(self, rows: Tensor | slice) -> Callable[[Variables], None]:
        """What to call after each step of a fit of these frames."""

        def count(variables: Variables) -> None:
            self._done += 1
            self._progress.report("fit", self._done, self._total)
            self._progress.offer(lambda known: self._sketches.sketch(variables, rows, known))

        return count
