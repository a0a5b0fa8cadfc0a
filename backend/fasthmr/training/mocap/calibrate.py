# SPDX-License-Identifier: Apache-2.0
"""What is constant for a skeleton: the body's shape, and where exactly its joints sit on the body.

Shape from bone lengths; then poses and places of the joints are improved in turns. A constant shift of
a joint and a constant turn of a bone look the same, so the shifts stay small across bones, and where a
turn would show, something that is known decides: planted feet are level, and heads of people who
stand and walk are upright on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.training.mocap.fit_skeleton import begin_poses
from fasthmr.training.mocap.joint_maps import Anchor, anchor_index
from fasthmr.training.mocap.packed import FRAME_RATE
from fasthmr.training.mocap.pose_solver import Points, Priors, place_points, solve_poses

_SAMPLES: Final = 300
_TURNS: Final = 8
# All frames together count as so many independent ones: they share what is wrong with the model.
_EFFECTIVE_FRAMES: Final = 10.0
# Bones whose lengths give the shape, and how well they should be met, metres.
_BONES: Final[tuple[tuple[str, str, float], ...]] = (
    ("left_hip", "left_knee", 0.02),
    ("left_knee", "left_ankle", 0.02),
    ("left_shoulder", "left_elbow", 0.02),
    ("left_elbow", "left_wrist", 0.02),
    ("left_hip", "right_hip", 0.03),
    ("left_shoulder", "right_shoulder", 0.03),
)
_TRUNK_DEVIATION: Final = 0.03
_PLANTED_SPEED: Final = 0.12  # m/s
_PLANTED_HEIGHT: Final = 0.03  # metres above the lowest an ankle gets in a clip
_UPRIGHT: Final = 0.9  # cosine of the trunk's lean
_HELD: Final = 0.002  # metres: hardly moves any more


@dataclass(frozen=True)
class Calibration:
    """What is constant for a skeleton.

    Attributes:
        anchors: P of them.
        betas: (10,) body shape.
        offsets: (P, 3) metres from the carrier joint, in the rest pose's axes.
    """

    anchors: tuple[Anchor, ...]
    betas: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def points(self) -> Points:
        """As the solver wants them."""
        return Points(
            torch.tensor([INDEX[anchor.carrier] for anchor in self.anchors]),
            torch.from_numpy(self.offsets),
            torch.tensor([1 / anchor.deviation for anchor in self.anchors]),
        )


def anchor_positions(
    anchors: Sequence[Anchor], joint_names: Sequence[str], positions: np.ndarray
) -> NDArray[np.float32]:
    """(T, P, 3) where the anchors were, from (T, J, 3) joints."""
    place = {name: index for index, name in enumerate(joint_names)}
    rows = [positions[:, [place[name] for name in anchor.sources]].mean(1) for anchor in anchors]
    return np.stack(rows, 1).astype(np.float32)


def calibrate(anchors: Sequence[Anchor], clips: Sequence[np.ndarray], body: BodyModel) -> Calibration:
    """Find shape and places for a skeleton.

    Args:
        anchors: P of them.
        clips: of this one skeleton, each (T, P, 3) anchors at 30 frames a second, metres, z up.
        body: to be fitted.
    """
    anchors = tuple(anchors)
    betas = fit_shape(anchors, clips, body)
    rest = body.rest_joints(torch.from_numpy(betas)).float()
    start, bounds = _first_places(anchors, clips, rest)
    points = Points(
        torch.tensor([INDEX[anchor.carrier] for anchor in anchors]),
        start.clone(),
        torch.tensor([1 / anchor.deviation for anchor in anchors]),
    )
    seen = torch.from_numpy(_evenly(clips, _SAMPLES))
    # A stronger pull to rest than in the fit itself: on average people stand as the body does at rest.
    priors = Priors.usual()
    rotations, pelvis = begin_poses(anchors, seen, body, rest)
    for turn in range(_TURNS):
        rounds = 8 if turn == 0 else 3
        rotations, pelvis = solve_poses(
            rest, points, seen, rotations, pelvis, priors, rounds, connected=False
        )
        _, joints, turns = place_points(rest, points, rotations, pelvis)
        local = turns[:, points.carriers].mT @ (seen - joints[:, points.carriers])[..., None]
        # The median: a span in which a marker was lost does not count.
        found = local[..., 0].median(0).values
        data = _EFFECTIVE_FRAMES * points.weights.square()[:, None]
        hold = bounds.square().reciprocal()
        points = Points(points.carriers, (data * found + hold * start) / (data + hold), points.weights)
    return Calibration(anchors, betas, points.offsets.numpy())


def fit_shape(anchors: Sequence[Anchor], clips: Sequence[np.ndarray], body: BodyModel) -> NDArray[np.float32]:
    """(10,) shape whose bones are as long as those between the anchors, as far as shapes go."""
    seen = _evenly(clips, _SAMPLES)

    def at(name: str) -> np.ndarray:
        index = anchor_index(anchors, name)
        if index is None:
            raise ValueError(f"no anchor is at {name}")
        return seen[:, index]

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(a - b, axis=-1)))

    lengths = [distance(at(a), at(b)) for a, b, _ in _BONES]
    for number, (a, b, _) in enumerate(_BONES[:4]):
        other = distance(at(a.replace("left", "right")), at(b.replace("left", "right")))
        lengths[number] = 0.5 * (lengths[number] + other)
    hips, shoulders = at("left_hip") + at("right_hip"), at("left_shoulder") + at("right_shoulder")
    lengths.append(0.5 * distance(hips, shoulders))
    template = body.rest_joints(torch.zeros(10)).double().numpy()
    basis = np.stack([body.rest_joints(torch.eye(10)[k]).double().numpy() - template for k in range(10)], -1)
    deviations = np.array([row[2] for row in _BONES] + [_TRUNK_DEVIATION])

    def errors(betas: np.ndarray) -> np.ndarray:
        rest = template + basis @ betas
        bones = [np.linalg.norm(rest[INDEX[a]] - rest[INDEX[b]]) for a, b, _ in _BONES]
        middle = (
            rest[[INDEX["left_hip"], INDEX["right_hip"]]]
            - rest[[INDEX["left_shoulder"], INDEX["right_shoulder"]]]
        )
        bones.append(np.linalg.norm(middle.mean(0)))
        return np.concatenate([(np.array(bones) - lengths) / deviations, betas])

    return least_squares(errors, np.zeros(10)).x.astype(np.float32)


def _first_places(
    anchors: Sequence[Anchor], clips: Sequence[np.ndarray], rest: Tensor
) -> tuple[Tensor, Tensor]:
    """Offsets (P, 3) to begin with and how far each may move along each axis (P, 3)."""
    offsets, bounds = [], []
    for anchor in anchors:
        carrier, place = rest[INDEX[anchor.carrier]], rest[INDEX[anchor.place]]
        offset = place - carrier + torch.tensor(anchor.shift)
        bone = offset.norm()
        direction = offset / bone.clamp_min(1e-6) if bone > 0.03 else torch.zeros(3)
        # Axis by axis: bones of the rest pose lie along the axes closely enough.
        bounds.append(anchor.across + (anchor.along - anchor.across) * direction.abs())
        offsets.append(offset)
    start, free = torch.stack(offsets), torch.stack(bounds)
    _level_feet(anchors, clips, rest, start, free)
    _upright_head(anchors, clips, start, free)
    return start, free


def _level_feet(
    anchors: Sequence[Anchor], clips: Sequence[np.ndarray], rest: Tensor, start: Tensor, free: Tensor
) -> None:
    """Put balls and toes where they are, seen from the ankle, while a foot stands on the floor."""
    for upper, lower in (("ankle", "ball"), ("ball", "toe")):
        bones, indices = [], []
        for side in ("left", "right"):
            ankle, ball = (_of_role(anchors, role, side) for role in ("ankle", "ball"))
            first, second = (_of_role(anchors, role, side) for role in (upper, lower))
            if ankle is None or ball is None or first is None or second is None:
                continue
            indices.append((side, ball, second))
            for clip in clips:
                planted = _planted(clip[:, [ankle, ball]])
                bones.append(clip[planted, second] - clip[planted, first])
        if sum(len(row) for row in bones) < FRAME_RATE:
            continue
        seen = np.concatenate(bones)
        drop = float(np.median(seen[:, 2]))
        ahead = float(np.sqrt(max(np.median((seen**2).sum(-1)) - drop**2, 0.0)))
        for side, ball, index in indices:
            offset = torch.tensor([0.0, drop, ahead])
            if lower == "toe":  # carried by the ball joint, which need not be where the ball is seen
                offset += start[ball] - (rest[INDEX[f"{side}_foot"]] - rest[INDEX[f"{side}_ankle"]])
            start[index] = offset
            free[index] = _HELD


def _planted(feet: np.ndarray) -> NDArray[np.bool_]:
    """(T,) frames in which ankle and ball (T, 2, 3) rest, near the lowest that the ankle gets."""
    if len(feet) < 3:
        return np.zeros(len(feet), bool)
    speed = np.linalg.norm(np.gradient(feet, axis=0), axis=-1).max(-1) * FRAME_RATE
    height = feet[:, 0, 2]
    return (speed < _PLANTED_SPEED) & (height < np.percentile(height, 2) + _PLANTED_HEIGHT)


def _upright_head(
    anchors: Sequence[Anchor], clips: Sequence[np.ndarray], start: Tensor, free: Tensor
) -> None:
    """Put points of the skull where they are, seen from its base, on average over upright frames."""
    skull = [index for index, anchor in enumerate(anchors) if anchor.role == "crown"]
    base = anchor_index(anchors, "head", "neck")
    base = anchor_index(anchors, "neck", "spine3") if base is None else base
    if base is None or not skull:
        return
    seen = np.concatenate(clips)
    left, right, hips = (
        seen[:, _at(anchors, "left_shoulder")],
        seen[:, _at(anchors, "right_shoulder")],
        0.5 * (seen[:, _at(anchors, "left_hip")] + seen[:, _at(anchors, "right_hip")]),
    )
    trunk = 0.5 * (left + right) - hips
    upright = trunk[:, 2] > _UPRIGHT * np.linalg.norm(trunk, axis=-1)
    if upright.sum() < FRAME_RATE:
        return
    across = (left - right)[upright] * (1, 1, 0)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    ahead = np.cross(across, (0.0, 0.0, 1.0))
    for index in skull:
        bone = seen[upright, index] - seen[upright, base]
        sideways = float(np.median((bone * across).sum(-1))) if anchors[index].shift[0] else 0.0
        up, forward = float(np.median(bone[:, 2])), float(np.median((bone * ahead).sum(-1)))
        # The base of the skull hangs on the neck; from there on it is the head's own.
        start[index] = torch.tensor([sideways, up, forward])
        free[index] = 0.01


def _at(anchors: Sequence[Anchor], place: str) -> int:
    index = anchor_index(anchors, place)
    if index is None:
        raise ValueError(f"no anchor is at {place}")
    return index


def _of_role(anchors: Sequence[Anchor], role: str, side: str) -> int | None:
    for index, anchor in enumerate(anchors):
        if anchor.role == role and anchor.place.startswith(side):
            return index
    return None


def _evenly(clips: Sequence[np.ndarray], count: int) -> NDArray[np.float32]:
    """At most so many frames, evenly from all clips."""
    frames = np.concatenate(clips)
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return frames[chosen]
