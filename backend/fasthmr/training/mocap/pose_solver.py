# SPDX-License-Identifier: Apache-2.0
"""Poses that bring points of a body to given places: all frames of a clip at once.

Damped Gauss-Newton with the exact Jacobian. A point carried by joint j moves, when a joint k above it
turns by a small vector w, by w x (point - joint k). Each frame is a system of its own (72 unknowns),
so a batch of them is three batched matrix operations; frames talk to each other through a pull towards
the mean of their neighbours, taken anew in each round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import roma
import torch
from torch import Tensor

from fasthmr.body.skeleton import INDEX, JOINT_COUNT, PARENTS
from fasthmr.decoder.landmark_fit.limits import JointLimits, joint_limits

# Hands stay as they are: no source says how their joint turns.
_TURNING: Final = tuple(j for j in range(JOINT_COUNT) if j not in (INDEX["left_hand"], INDEX["right_hand"]))
_CHUNK: Final = 512
_LARGEST_STEP: Final = 0.6  # radians


@dataclass(frozen=True)
class Points:
    """Points of a body that were seen.

    Attributes:
        carriers: (P,) joint that carries each.
        offsets: (P, 3) metres from that joint, in the rest pose's axes.
        weights: (P,) 1 / deviation, 1/m.
    """

    carriers: Tensor
    offsets: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Priors:
    """What decides where points do not.

    Attributes:
        limits: ranges and spreads of the joints.
        spread: multiplies the spreads: a smaller one pulls harder to the rest pose.
        beyond: deviation of an angle beyond its range, radians.
        neighbours: deviation of a joint's rotation from the mean of the frames beside it, radians.
        damping: added to the diagonal, 1/rad².
    """

    limits: JointLimits
    spread: float = 1.0
    beyond: float = 0.05
    neighbours: float = 0.3
    damping: float = 0.1

    @classmethod
    def usual(cls) -> Priors:
        """With the limits of the landmark fit."""
        return cls(joint_limits())


def solve_poses(
    rest: Tensor,
    points: Points,
    targets: Tensor,
    rotations: Tensor,
    pelvis: Tensor,
    priors: Priors,
    rounds: int,
    connected: bool = True,
) -> tuple[Tensor, Tensor]:
    """Improve poses until the points are where they were seen.

    Args:
        rest: (24, 3) joints at rest.
        points: which points of the body.
        targets: (T, P, 3) where they were seen, metres.
        rotations: (T, 24, 3, 3) poses to begin with, joints in their parents, root in the world.
        pelvis: (T, 3) pelvis joint to begin with.
        priors: what decides where the points do not.
        rounds: of Gauss-Newton.
        connected: frames follow each other in time, so neighbours should be alike.

    Returns:
        Rotations (T, 24, 3, 3) and pelvis (T, 3).
    """
    system = _System(rest, points, priors)
    rotations, pelvis = rotations.clone(), pelvis.clone()
    for _ in range(rounds):
        mean = _between_neighbours(rotations) if connected and len(rotations) > 2 else None
        for start in range(0, len(rotations), _CHUNK):
            part = slice(start, start + _CHUNK)
            beside = None if mean is None else mean[part]
            rotations[part], pelvis[part] = system.step(targets[part], rotations[part], pelvis[part], beside)
    return rotations, pelvis


def place_points(
    rest: Tensor, points: Points, rotations: Tensor, pelvis: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (T, P, 3), joints (T, 24, 3) and global rotations (T, 24, 3, 3) of poses."""
    turns, joints = [rotations[:, 0]], [pelvis]
    for joint in range(1, JOINT_COUNT):
        parent = PARENTS[joint]
        turns.append(turns[parent] @ rotations[:, joint])
        joints.append(joints[parent] + turns[parent] @ (rest[joint] - rest[parent]))
    all_turns, all_joints = torch.stack(turns, 1), torch.stack(joints, 1)
    carried = (all_turns[:, points.carriers] @ points.offsets[:, :, None])[..., 0]
    return all_joints[:, points.carriers] + carried, all_joints, all_turns


class _System:
    """The linear system of a round, for one body, one set of points and one set of priors."""

    def __init__(self, rest: Tensor, points: Points, priors: Priors) -> None:
        self.rest, self.points, self.priors = rest, points, priors
        self.joints = torch.tensor(_TURNING)
        slot = {joint: place for place, joint in enumerate(_TURNING)}
        pairs = []
        for point, carrier in enumerate(points.carriers.tolist()):
            joint = carrier
            while joint >= 0:
                if joint in slot:
                    pairs.append((point, joint, slot[joint]))
                joint = PARENTS[joint]
        self.pair_points, self.pair_joints, self.pair_slots = torch.tensor(pairs).T
        inner = [joint - 1 for joint in _TURNING[1:]]
        limits = priors.limits
        self.limits = JointLimits(limits.low[inner], limits.high[inner], limits.deviation[inner])

    def step(
        self, targets: Tensor, rotations: Tensor, pelvis: Tensor, beside: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        places, joints, turns = place_points(self.rest, self.points, rotations, pelvis)
        count, turning = len(targets), len(_TURNING)
        weights = self.points.weights
        residual = ((targets - places) * weights[:, None]).flatten(1)

        # Turning joint k about its own axis a moves a point along (axis in the world) x (arm).
        arm = places[:, self.pair_points] - joints[:, self.pair_joints]
        axes = turns[:, self.pair_joints].transpose(-1, -2)  # rows are the axes
        moves = torch.linalg.cross(axes, arm[:, :, None, :].expand_as(axes))
        moves = moves * weights[self.pair_points][:, None, None]
        jacobian = targets.new_zeros(count, len(weights), 1 + turning, 3, 3)  # point, slot, axis, coordinate
        jacobian[:, :, 0] = torch.eye(3) * weights[:, None, None]
        jacobian[:, self.pair_points, 1 + self.pair_slots] = moves
        jacobian = jacobian.permute(0, 1, 4, 2, 3).reshape(count, 3 * len(weights), -1)
        matrix = jacobian.mT @ jacobian
        right = (jacobian.mT @ residual[..., None])[..., 0]

        blocks, pulls = self._pulls(
            rotations[:, self.joints], None if beside is None else beside[:, self.joints]
        )
        for slot in range(turning):
            part = slice(3 + 3 * slot, 6 + 3 * slot)
            matrix[:, part, part] += blocks[:, slot]
        right[:, 3:] += pulls.flatten(1)
        matrix.diagonal(dim1=-2, dim2=-1).add_(self.priors.damping)
        factor = torch.linalg.cholesky(matrix)
        change = torch.cholesky_solve(right[..., None], factor)[..., 0]
        turn = change[:, 3:].unflatten(1, (turning, 3))
        size = turn.norm(dim=-1, keepdim=True)
        turn = turn * (_LARGEST_STEP / size.clamp_min(_LARGEST_STEP))
        rotations = rotations.clone()
        rotations[:, self.joints] = rotations[:, self.joints] @ roma.rotvec_to_rotmat(turn)
        return rotations, pelvis + change[:, :3]

    def _pulls(self, turns: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor]:
        """Normal-equation blocks (T, K, 3, 3) and right sides (T, K, 3) of the priors."""
        rotvec = roma.rotmat_to_rotvec(turns[:, 1:])
        inverse = _inverse_right_jacobian(rotvec)
        weight = (self.priors.spread * self.limits.deviation).square().reciprocal().expand_as(rotvec)
        error = -rotvec * weight
        over = (rotvec - self.limits.high).clamp_min(0) - (self.limits.low - rotvec).clamp_min(0)
        hard = (over != 0) / self.priors.beyond**2
        error = error - over * hard
        weight = weight + hard
        blocks = torch.zeros_like(turns)
        pulls = turns.new_zeros(turns.shape[:-1])
        blocks[:, 1:] = inverse.mT @ (weight[..., None] * inverse)
        pulls[:, 1:] = (inverse.mT @ error[..., None])[..., 0]
        if beside is not None:
            stiff = self.priors.neighbours**-2
            blocks = blocks + stiff * torch.eye(3)
            pulls = pulls + stiff * roma.rotmat_to_rotvec(turns.mT @ beside)
        return blocks, pulls


def _inverse_right_jacobian(rotvec: Tensor) -> Tensor:
    """(..., 3, 3) matrices M with log(R exp(d)) = r + M d for small d."""
    angle = rotvec.norm(dim=-1, keepdim=True)[..., None].clamp_min(1e-4)
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    factor = (1 - 0.5 * angle / torch.tan(0.5 * angle)) / angle.square()
    factor = torch.where(angle < 1e-2, torch.full_like(factor, 1 / 12), factor)
    return torch.eye(3) + 0.5 * cross + factor * (cross @ cross)


def _between_neighbours(rotations: Tensor) -> Tensor:
    """(T, 24, 3, 3) rotations halfway between the frames before and after; the ends stay."""
    between = rotations.clone()
    before, after = rotations[:-2], rotations[2:]
    half = 0.5 * roma.rotmat_to_rotvec(before.mT @ after)
    between[1:-1] = before @ roma.rotvec_to_rotmat(half)
    return between
