# SPDX-License-Identifier: Apache-2.0
"""What a good fit is: the energy that :mod:`.fit` makes small.

Every term is a squared error over its variance, so that their weights have units and can be argued
about (maximum a posteriori): landmarks in the image, landmarks in space, joint limits and pose
spread, body shape, and accelerations in time. Errors in the image are turned into metres at the
person's depth, so that the size of the figure in the picture does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.projection import project
from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel
from fasthmr.decoder.landmark_fit.limits import JointLimits


@dataclass(frozen=True)
class Deviations:
    """Standard deviations of what is measured and of what bodies do.

    Attributes:
        image: metres at the person's depth, a landmark in the image.
        world: metres, a world landmark across the line of sight.
        world_depth: metres, a world landmark along the line of sight.
        limit: radians beyond a joint's range.
        joint_acceleration: m/s² of the joints about the pelvis.
        pelvis_acceleration: m/s² of the pelvis across the line of sight.
        depth_acceleration: m/s² of the pelvis along the line of sight.
        turn_acceleration: rad/s² of every joint's own turn: what smooths twist.
        standing_speed: m/s of a foot that stands still in the image.
        offset: metres, correction of a limb landmark's offset.
        independent_frames: how many frames' worth of evidence a clip holds about shape and offsets.
            What the detector gets wrong about a person it gets wrong in every frame.
        rotation: radians, an encoder's rotation of a joint that is fully believed.
        shape: an encoder's betas, in their own unit.
    """

    image: float = 0.015
    world: float = 0.04
    world_depth: float = 0.07
    limit: float = 0.03
    joint_acceleration: float = 3.0
    pelvis_acceleration: float = 6.0
    depth_acceleration: float = 2.0
    turn_acceleration: float = 20.0
    standing_speed: float = 0.05
    offset: float = 0.03
    independent_frames: float = 8.0
    rotation: float = 0.2
    shape: float = 0.5


@dataclass(frozen=True)
class Targets:
    """The evidence as tensors; T frames, K landmarks.

    Attributes:
        pixels: (T, K, 2) landmarks in the image.
        world: (T, K, 3) metres, camera axes, turned to the person's line of sight, origin mid-hips.
        weights: (T, K) belief in each landmark, 0..1.
        toward: (T, 3) unit vectors from the camera to the person.
        timestamps: (T,) seconds.
        intrinsics: (3, 3) pixels.
        still: (T, K) how far a landmark of the feet stands still in the image; 0 for all others. While
            the camera stands still, what does not move in the image does not move.
        rotations: (T, 24, 3, 3) an encoder's, the root's in the camera frame, the others' in their
            parent's; None without an encoder.
        belief: (T, 24) in each of them, 0..1.
        betas: (10,) the shape that the encoder sees, where it is this body's.
    """

    pixels: Tensor
    world: Tensor
    weights: Tensor
    toward: Tensor
    timestamps: Tensor
    intrinsics: Tensor
    still: Tensor
    rotations: Tensor | None = None
    belief: Tensor | None = None
    betas: Tensor | None = None

    def select(self, rows: Tensor | slice) -> Targets:
        """The evidence of some of the frames."""
        return Targets(
            self.pixels[rows],
            self.world[rows],
            self.weights[rows],
            self.toward[rows],
            self.timestamps[rows],
            self.intrinsics,
            self.still[rows],
            None if self.rotations is None else self.rotations[rows],
            None if self.belief is None else self.belief[rows],
            self.betas,
        )


@dataclass
class Variables:
    """What a fit changes.

    Attributes:
        root_start: (T, 3, 3) orientation from which ``root_turn`` counts: no singularity is near.
        root_turn: (T, 3) radians.
        turns: (T, 23, 3) axis-angle of the joints below the root.
        pelvis: (T, 3) metres in the camera frame.
        betas: (10,) body shape.
        correction: (K, 3) metres, offsets of limb landmarks.
    """

    root_start: Tensor
    root_turn: Tensor
    turns: Tensor
    pelvis: Tensor
    betas: Tensor
    correction: Tensor

    def rotations(self) -> Tensor:
        """(T, 24, 3, 3): the root's in the camera frame, the others' in their parent's."""
        root = self.root_start @ roma.rotvec_to_rotmat(self.root_turn)
        return torch.cat([root[:, None], roma.rotvec_to_rotmat(self.turns)], dim=1)

    def select(self, rows: Tensor | slice) -> Variables:
        """The variables of some of the frames; shape and offsets are shared."""
        return Variables(
            self.root_start[rows],
            self.root_turn[rows],
            self.turns[rows],
            self.pelvis[rows],
            self.betas,
            self.correction,
        )


@dataclass(frozen=True)
class Posed:
    """A body with its landmarks in the camera frame.

    Attributes:
        joints: (T, 24, 3) metres.
        landmarks: (T, K, 3) metres.
    """

    joints: Tensor
    landmarks: Tensor


@dataclass(frozen=True)
class Objective:
    """The energy of a fit for one body.

    Attributes:
        body: the body model.
        landmarks: its landmarks.
        limits: its joints' ranges.
        deviations: the weights.
    """

    body: BodyModel
    landmarks: LandmarkModel
    limits: JointLimits
    deviations: Deviations = Deviations()

    def pose(self, variables: Variables) -> Posed:
        """Place the body and its landmarks in the camera frame."""
        joints, rotations = self.body.joints(variables.rotations(), variables.betas)
        shift = (variables.pelvis - joints[:, 0])[:, None]
        marks = self.landmarks.place(joints, rotations, variables.betas, variables.correction)
        return Posed(joints + shift, marks + shift)

    def terms(self, variables: Variables, targets: Targets, *, in_time: bool = True) -> dict[str, Tensor]:
        """The energy term by term, each a sum over frames.

        Args:
            variables: the pose, T frames.
            targets: the evidence, the same frames.
            in_time: the frames follow one another, so accelerations count.
        """
        deviations = self.deviations
        posed = self.pose(variables)
        repeats = max(1.0, len(targets.timestamps) / deviations.independent_frames)
        terms = {
            "image": (targets.weights * _robust(self.image_error(posed, targets) / deviations.image)).sum(),
            "world": (targets.weights * _robust(self._world_error(posed, targets))).sum(),
            "limits": (self.limits.excess(variables.turns) / deviations.limit).square().sum(),
            "spread": self._spread(variables, targets),
            "shape": repeats * self._shape(variables.betas, targets.betas),
            "offsets": repeats
            * (self.landmarks.symmetric(variables.correction) / deviations.offset).square().sum(),
        }
        if targets.rotations is not None and targets.belief is not None:
            error = self._rotation_error(variables, targets.rotations)
            terms["rotations"] = (targets.belief * _robust(error)).sum()
        if in_time and len(targets.timestamps) > 2:
            terms |= self._accelerations(posed, variables, targets)
        return terms

    def image_error(self, posed: Posed, targets: Targets) -> Tensor:
        """Distance (T, K) in the image between landmarks and the body's, as metres at its depth."""
        pixels = project(posed.landmarks, targets.intrinsics)
        metres_per_pixel = posed.joints[:, :1, 2].detach() / targets.intrinsics[0, 0]
        return _length(pixels - targets.pixels) * metres_per_pixel

    def _world_error(self, posed: Posed, targets: Targets) -> Tensor:
        """Error (T, K) of the landmarks about the mid-hips, in standard deviations."""
        left, right = self.landmarks.position("left_hip"), self.landmarks.position("right_hip")
        middle = 0.5 * (posed.landmarks[:, left] + posed.landmarks[:, right])
        error = posed.landmarks - middle[:, None] - targets.world
        toward = targets.toward[:, None]
        depth = (error * toward).sum(-1, keepdim=True)
        across = error - depth * toward
        return _length(
            torch.cat([across / self.deviations.world, depth / self.deviations.world_depth], dim=-1)
        )

    def _rotation_error(self, variables: Variables, rotations: Tensor) -> Tensor:
        """How far (T, 24) each joint is turned from an encoder's rotation, in standard deviations.

        The chord 2 sin(angle/2) stands for the angle: it has a gradient everywhere but at a half turn.
        """
        chord = (variables.rotations() - rotations).square().sum((-1, -2))
        return (0.5 * chord + 1e-12).sqrt() / self.deviations.rotation

    def _spread(self, variables: Variables, targets: Targets) -> Tensor:
        """What poses are usual: it speaks where nothing else does, so less where an encoder is believed."""
        error = (variables.turns / self.limits.deviation).square()
        if targets.belief is not None:
            error = (1 - targets.belief[:, 1:, None]) * error
        return error.sum()

    def _shape(self, betas: Tensor, seen: Tensor | None) -> Tensor:
        if seen is None:
            return betas.square().sum()
        return ((betas - seen) / self.deviations.shape).square().sum()

    def _accelerations(self, posed: Posed, variables: Variables, targets: Targets) -> dict[str, Tensor]:
        deviations = self.deviations
        times = targets.timestamps
        about_pelvis = posed.joints[:, 1:] - posed.joints[:, :1]
        pelvis = acceleration(variables.pelvis, times)
        toward = targets.toward[1:-1]
        depth = (pelvis * toward).sum(-1, keepdim=True)
        across = pelvis - depth * toward
        turns = acceleration(variables.turns, times)
        step = times.diff()[:, None, None].float()
        foot_speed = posed.landmarks.diff(dim=0) / step / deviations.standing_speed
        still = torch.minimum(targets.still[1:], targets.still[:-1])
        return {
            "joints in time": (acceleration(about_pelvis, times) / deviations.joint_acceleration)
            .square()
            .sum()
            / JOINT_COUNT,
            "pelvis in time": (across / deviations.pelvis_acceleration).square().sum()
            + (depth / deviations.depth_acceleration).square().sum(),
            "standing feet": (still * _robust(_length(foot_speed))).sum(),
            "turns in time": (turns / deviations.turn_acceleration).square().sum() / JOINT_COUNT,
        }


def acceleration(values: Tensor, times: Tensor) -> Tensor:
    """Second derivative in time at the inner frames, for any spacing of the frames.

    Args:
        values: (T, ...) samples.
        times: (T,) seconds, increasing.

    Returns:
        (T-2, ...) values per second squared.
    """
    step = times.diff().reshape(-1, *[1] * (values.dim() - 1)).to(values.dtype)
    speed = values.diff(dim=0) / step
    return speed.diff(dim=0) / (0.5 * (step[1:] + step[:-1]))


def _length(vectors: Tensor) -> Tensor:
    """Euclidean length with a gradient at zero."""
    return (vectors.square().sum(-1) + 1e-12).sqrt()


def _robust(error: Tensor) -> Tensor:
    """Pseudo-Huber: quadratic for small errors, linear beyond two deviations, so outliers pull less."""
    scale = 2.0
    return 2 * scale**2 * ((1 + (error / scale).square()).sqrt() - 1)
