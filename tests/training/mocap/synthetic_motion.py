# SPDX-License-Identifier: Apache-2.0
"""Motion whose truth is known: smooth random poses of the open body, seen through another skeleton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX, PARENTS
from fasthmr.decoder.landmark_fit.limits import joint_limits
from fasthmr.training.mocap.joint_maps import Anchor, joint_map, skeleton_names
from fasthmr.training.mocap.pose_solver import Points, place_points
from fasthmr.training.mocap.source_motion import SourceMotion


@dataclass(frozen=True)
class TrueMotion:
    """Poses (T, 24, 3, 3), pelvis (T, 3), shape (10,), anchor offsets (P, 3) and anchors seen (T, P, 3)."""

    rotations: Tensor
    pelvis: Tensor
    betas: Tensor
    points: Points
    seen: NDArray[np.float32]


def true_motion(
    body: BodyModel, anchors: tuple[Anchor, ...], count: int, seed: int, shift: float = 0.005
) -> TrueMotion:
    """Somebody who stands, sways and turns; anchors a few millimetres from where the map says."""
    rng = np.random.default_rng(seed)
    limits = joint_limits()
    angles = gaussian_filter1d(rng.normal(size=(count, 23, 3)), 8, axis=0)
    angles *= 0.6 * limits.deviation.numpy() / angles.std()
    angles = np.clip(angles, limits.low.numpy(), limits.high.numpy())
    angles[:, [INDEX["left_hand"] - 1, INDEX["right_hand"] - 1]] = 0
    vectors = torch.from_numpy(np.concatenate([np.zeros((count, 1, 3)), angles], 1)).float()
    rotations = roma.rotvec_to_rotmat(vectors)
    yaw = torch.zeros(count, 3)
    yaw[:, 2] = torch.from_numpy(np.cumsum(rng.normal(size=count) * 0.02))
    z_up = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    rotations[:, 0] = roma.rotvec_to_rotmat(yaw) @ z_up
    pelvis = torch.from_numpy(np.cumsum(rng.normal(size=(count, 3)) * 0.005, 0)).float()
    betas = torch.zeros(10)
    betas[:2] = torch.tensor([0.7, -0.5])
    rest = body.rest_joints(betas)
    skeleton = np.random.default_rng(99)  # one skeleton for all clips
    offsets = torch.stack(
        [rest[INDEX[a.place]] - rest[INDEX[a.carrier]] + torch.tensor(a.shift) for a in anchors]
    )
    offsets = offsets + torch.from_numpy(skeleton.normal(size=offsets.shape) * shift).float()
    points = Points(
        torch.tensor([INDEX[a.carrier] for a in anchors]),
        offsets,
        torch.tensor([1 / a.deviation for a in anchors]),
    )
    places, _, _ = place_points(rest, points, rotations, pelvis)
    return TrueMotion(rotations, pelvis, betas, points, places.numpy())


def walking_source(name: str, positions: np.ndarray, names: tuple[str, ...], rate: float) -> SourceMotion:
    """A source clip of given joints (T, J, 3), all hanging on the first."""
    parents = np.array([-1] + [0] * (len(names) - 1))
    return SourceMotion(name, "cmu_asf", rate, names, parents, positions.astype(np.float32))


def naive_places(rest: Tensor, points: Points, rotations: Tensor, pelvis: Tensor) -> Tensor:
    """Points of one pose (24, 3, 3) by walking the tree, joint by joint."""
    turns, joints = {0: rotations[0]}, {0: pelvis}
    for joint in range(1, 24):
        parent = PARENTS[joint]
        joints[joint] = joints[parent] + turns[parent] @ (rest[joint] - rest[parent])
        turns[joint] = turns[parent] @ rotations[joint]
    rows = [
        joints[carrier] + turns[carrier] @ offset
        for carrier, offset in zip(points.carriers.tolist(), points.offsets, strict=True)
    ]
    return torch.stack(rows)


def anchors_of(skeleton: str) -> tuple[Anchor, ...]:
    """All anchors of a naming."""
    return joint_map(skeleton, skeleton_names(skeleton))


def angles(ours: np.ndarray, theirs: torch.Tensor) -> np.ndarray:
    """(T, 24) degrees between rotations."""
    return np.rad2deg(roma.rotmat_to_rotvec(torch.from_numpy(ours).mT @ theirs).norm(dim=-1).numpy())
