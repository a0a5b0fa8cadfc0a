# SPDX-License-Identifier: Apache-2.0
"""A recovered person laid beside the truth of a rendered clip, and the figures of that.

The recovered person is the one whose limbs lie on the true person's in the picture; where tracking lost the
person and found it again as somebody else, the parts are put together. Frames without any part are not
measured, and count in the coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np
import roma
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel
from fasthmr.errors import BadInput
from fasthmr.evaluation import metrics
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.evaluation.metrics import LIMB_JOINTS
from fasthmr.motion import Motion
from fasthmr.placement.soles import find_soles

# Limbs this far off on average, as a share of the true person's height in the picture, are somebody else's.
_SAME_PERSON: Final = 0.25
# Frames whose vertices are in memory at the same time.
_TOGETHER: Final = 32


@dataclass(frozen=True)
class TruthFigures:
    """Figures of one sequence; nan where a figure means nothing.

    Attributes:
        frames: measured frames.
        coverage: share of the frames with a visible person that have a motion, percent.
        mpjpe, pa_mpjpe: over the 24 joints, mm.
        mpjpe_limbs, pa_mpjpe_limbs: over the 12 joints of the limbs, mm.
        pve: over the vertices, mm.
        accel: m/s².
        jitter: 10 m/s³.
        jitter_truth: of the truth.
        jitter_ratio: jitter over that of the truth.
        foot_sliding: mm in a thirtieth of a second.
        foot_sliding_truth: of the truth's own standing soles.
        w_mpjpe100, wa_mpjpe100: mm.
        rte: percent.
    """

    frames: float
    coverage: float
    mpjpe: float
    pa_mpjpe: float
    mpjpe_limbs: float
    pa_mpjpe_limbs: float
    pve: float
    accel: float
    jitter: float
    jitter_truth: float
    jitter_ratio: float
    foot_sliding: float
    foot_sliding_truth: float
    w_mpjpe100: float
    wa_mpjpe100: float
    rte: float

    def to_json(self) -> dict[str, float | None]:
        """The figures by name; None for nan, which JSON does not know."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Part:
    """Frames of a motion that show the true person.

    Attributes:
        motion: whose.
        rows: (N,) of the motion.
        frames: (N,) of the truth, increasing.
    """

    motion: Motion
    rows: NDArray[np.int64]
    frames: NDArray[np.int64]


def match(motions: Sequence[Motion], truth: GroundTruth, body: BodyModel) -> list[Part]:
    """Find the true person among the recovered ones.

    Args:
        motions: everybody who was recovered in the clip.
        truth: the one who was filmed.
        body: the open body.

    Returns:
        Parts that share no frame, in the order of time; a frame that two could take belongs to the one that
        is longer and lies nearer. Empty where the person was not recovered.
    """
    joints, _ = truth.joints(body)
    where = _pixels(joints, truth.intrinsics)
    height = np.ptp(where[..., 1], axis=1)
    width = np.ptp(where[..., 0], axis=1)
    size = np.maximum(height, width)
    candidates: list[tuple[float, Part]] = []
    for motion in motions:
        frames = np.rint(motion.timestamps * truth.frame_rate).astype(np.int64)
        # A clip at a higher rate than the truth's has several rows a frame: the first counts.
        frames, rows = np.unique(frames, return_index=True)
        inside = (frames >= 0) & (frames < truth.frame_count)
        frames, rows = frames[inside], rows[inside]
        inside = truth.visible[frames]
        frames, rows = frames[inside], rows[inside]
        if not len(frames):
            continue
        found = _pixels(motion.joints_camera[rows].astype(np.float64), motion.camera_intrinsics)
        off = np.linalg.norm(found - where[frames], axis=-1)[:, list(LIMB_JOINTS)].mean(1) / size[frames]
        nearness = 1 - float(np.median(off)) / _SAME_PERSON
        if nearness > 0:
            candidates.append((nearness * len(frames), Part(motion, rows, frames)))
    parts: list[Part] = []
    free = np.ones(truth.frame_count, bool)
    for _, part in sorted(candidates, key=lambda candidate: -candidate[0]):
        still = free[part.frames]
        if still.any():
            parts.append(Part(part.motion, part.rows[still], part.frames[still]))
            free[part.frames] = False
    return sorted(parts, key=lambda part: int(part.frames[0]))


def compare(motions: Sequence[Motion], truth: GroundTruth, body: BodyModel) -> TruthFigures:
    """Measure what was recovered of a rendered clip.

    Args:
        motions: everybody who was recovered in it, with the open body.
        truth: the truth.
        body: the open body.

    Raises:
        BadInput: the clip has another size than the truth.
    """
    for motion in motions:
        if tuple(motion.image_size) != tuple(truth.image_size):
            raise BadInput(
                f"The motion was recovered from pictures of {motion.image_size.tolist()} pixels, and the "
                f"truth is of {truth.image_size.tolist()}: they are of different clips."
            )
    parts = match(motions, truth, body)
    recovered = np.zeros(truth.frame_count, bool)
    for part in parts:
        recovered[part.frames] = True
    coverage = 100 * metrics.coverage(truth.visible, recovered)
    if not parts:
        nothing = dict.fromkeys((item.name for item in fields(TruthFigures)), float("nan"))
        return TruthFigures(**{**nothing, "frames": 0, "coverage": coverage})
    order = np.argsort(np.concatenate([part.frames for part in parts]))
    frames = np.concatenate([part.frames for part in parts])[order]
    camera = np.concatenate([part.motion.joints_camera[part.rows] for part in parts]).astype(np.float64)[
        order
    ]
    world, soles = (
        np.concatenate(values)[order]
        for values in zip(*(_in_world(part, body) for part in parts), strict=True)
    )
    true_camera = truth.joints(body)[0][frames]
    true_world, true_turns = (values[frames] for values in truth.joints_world(body))
    true_soles = _soles(body, truth.betas, true_world, true_turns)
    rate = truth.frame_rate
    jitter = metrics.jitter(world, rate, frames)
    jitter_truth = metrics.jitter(true_world, rate, frames)
    return TruthFigures(
        frames=len(frames),
        coverage=coverage,
        mpjpe=metrics.mpjpe(camera, true_camera),
        pa_mpjpe=metrics.pa_mpjpe(camera, true_camera),
        mpjpe_limbs=metrics.mpjpe(camera, true_camera, LIMB_JOINTS),
        pa_mpjpe_limbs=metrics.pa_mpjpe(camera, true_camera, LIMB_JOINTS),
        pve=_pve(parts, truth, body),
        accel=metrics.acceleration_error(camera, true_camera, rate, frames),
        jitter=jitter,
        jitter_truth=jitter_truth,
        jitter_ratio=jitter / jitter_truth if jitter_truth > 0 else float("nan"),
        foot_sliding=metrics.foot_sliding(soles, true_soles, rate, frames),
        foot_sliding_truth=metrics.foot_sliding(true_soles, true_soles, rate, frames),
        w_mpjpe100=metrics.w_mpjpe100(world, true_world, rate),
        wa_mpjpe100=metrics.wa_mpjpe100(world, true_world, rate),
        rte=metrics.rte(world[:, 0], true_world[:, 0]),
    )


def mean_of(figures: Sequence[TruthFigures]) -> TruthFigures:
    """The mean over sequences, each counting the same; a sequence where a figure is nan is left out of it.

    ``frames`` is the sum.
    """
    means = {}
    for item in fields(TruthFigures):
        values = np.array([getattr(one, item.name) for one in figures], np.float64)
        known = values[~np.isnan(values)]
        means[item.name] = float(known.mean()) if len(known) else float("nan")
    means["frames"] = float(sum(one.frames for one in figures))
    return TruthFigures(**means)


def _in_world(part: Part, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 24, 3) and sole points (N, 4, 3) in the motion's world."""
    motion = part.motion
    rotations = _rotations(motion, part.rows)
    betas = torch.from_numpy(motion.betas)
    joints, turns = body.joints(rotations, betas, torch.from_numpy(motion.trans[part.rows]))
    places = joints.numpy().astype(np.float64)
    return places, _soles(body, motion.betas, places, turns.numpy())


def _soles(body: BodyModel, betas: np.ndarray, joints: np.ndarray, turns: np.ndarray) -> np.ndarray:
    shape = torch.from_numpy(np.asarray(betas, np.float32))
    placed = find_soles(body, shape).place(
        torch.from_numpy(joints.astype(np.float32)), torch.from_numpy(turns.astype(np.float32))
    )
    return placed.numpy().astype(np.float64)


def _pve(parts: Sequence[Part], truth: GroundTruth, body: BodyModel) -> float:
    """Mean over all frames; vertices are made a few frames at a time."""
    total, count = 0.0, 0
    true_joints, _ = truth.joints(body)
    for part in parts:
        betas = torch.from_numpy(part.motion.betas)
        for start in range(0, len(part.rows), _TOGETHER):
            rows = part.rows[start : start + _TOGETHER]
            frames = part.frames[start : start + _TOGETHER]
            skin, joints = body.vertices(_rotations(part.motion, rows), betas)
            # Turned from the world into the camera; where it stands does not matter.
            turn = part.motion.world_from_camera[rows, :3, :3]
            vertices = skin.numpy().astype(np.float64) @ turn
            hips = metrics.hips_of(joints.numpy().astype(np.float64) @ turn)
            error = metrics.pve(
                vertices, truth.vertices(body, frames), hips, metrics.hips_of(true_joints[frames])
            )
            total, count = total + error * len(rows), count + len(rows)
    return total / count


def _rotations(motion: Motion, rows: np.ndarray) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.from_numpy(motion.poses[rows]).reshape(-1, 24, 3))


def _pixels(joints: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    seen = joints @ intrinsics.T
    return seen[..., :2] / np.maximum(seen[..., 2:], 1e-6)
