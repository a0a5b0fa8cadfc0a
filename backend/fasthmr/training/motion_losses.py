# SPDX-License-Identifier: Apache-2.0
"""What the motion decoder's networks are trained to make small.

Numbers are compared as numbers; joints, by forward kinematics, where they are; and both over neighbouring
frames, for jitter is what an animator sees first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.motion_features import CONTACTS, SPEED, motion_features, read_features
from fasthmr.decoder.networks import Read
from fasthmr.decoder.segments import joints_of_segments


@dataclass(frozen=True)
class LossWeights:
    """What each part counts.

    Attributes:
        features: standardised motion features, smooth L1.
        joints: distance of joints, per metre.
        steps: distance of what joints do from frame to frame, per metre.
        bends: the same of second differences.
        planted: speed of soles that stand, per m/s.
        betas: squared body shape.
        error: likelihood of the expected error.
    """

    features: float = 1.0
    joints: float = 10.0
    steps: float = 20.0
    bends: float = 10.0
    planted: float = 0.2
    betas: float = 0.05
    error: float = 0.05

    def eased(self, done: float) -> LossWeights:
        """Weights for the moment when this share of a training is done: what moves counts less at first.

        Standing still is the smoothest motion there is. With the whole weights from the start, networks stay
        at the mean pose, since every step away from it jitters at first.
        """
        share = min(1.0, 0.1 + 1.8 * done)
        return replace(self, steps=share * self.steps, bends=share * self.bends, planted=share * self.planted)


@dataclass(frozen=True)
class Truth:
    """A batch's truth, made ready once for all networks.

    Attributes:
        features: (B, T, F) motion features.
        joints: (B, T, 24, 3) metres about the pelvis, in the view frame.
        betas: (B, 10).
        valid: (B, T) float.
    """

    features: Tensor
    joints: Tensor
    betas: Tensor
    valid: Tensor


def truth_of(motion: MotionBatch, evidence: EvidenceBatch, body: BodyModel) -> Truth:
    """The truth as the networks' outputs are compared with it."""
    features = motion_features(motion, evidence)
    rest = body.rest_joints(motion.betas)[:, None]
    joints = joints_of_segments(read_features(features).segments, rest)
    return Truth(features, joints, motion.betas, motion.valid.to(features))


def motion_loss(
    features: Tensor,
    betas: Tensor,
    truth: Truth,
    deviation: Tensor,
    body: BodyModel,
    step: Tensor,
    weights: LossWeights,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Compare motion features with the truth.

    Args:
        features: (B, T, F) predicted.
        betas: (B, 10) predicted body shape.
        truth: of the same windows.
        deviation: (F,) of each motion feature over the training data.
        body: whose joints are compared.
        step: (B,) seconds between frames.
        weights: of the parts.

    Returns:
        The loss, its parts before weighting, and the distance of each joint (B, T, 24), metres.
    """
    valid = truth.valid
    view = read_features(features)
    joints = joints_of_segments(view.segments, body.rest_joints(betas)[:, None])
    distance = _length(joints - truth.joints)
    pair = valid[:, 1:] * valid[:, :-1]
    parts = {
        "features": _mean(
            torch.nn.functional.smooth_l1_loss(
                features / deviation, truth.features / deviation, reduction="none", beta=0.2
            ).mean(-1),
            valid,
        ),
        "joints": _mean(distance.mean(-1), valid),
        "steps": _mean(_length((joints - truth.joints).diff(dim=1)).mean(-1), pair),
        "bends": _mean(
            _length((joints - truth.joints).diff(n=2, dim=1)).mean(-1), pair[:, 1:] * pair[:, :-1]
        ),
        "planted": _planted(joints, features, truth, step, pair),
        "betas": (betas - truth.betas).square().mean(),
    }
    loss = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
    return loss, parts, distance


def error_likelihood(read: Read, distance: Tensor, valid: Tensor) -> Tensor:
    """Negative log likelihood of the joints' distances (B, T, 24) under the expected errors (exponential)."""
    ratio = distance.detach() / read.error
    return _mean((ratio + read.error.log()).mean(-1), valid)


def _planted(joints: Tensor, features: Tensor, truth: Truth, step: Tensor, pair: Tensor) -> Tensor:
    """How fast ankles and feet move that stand on the floor in truth.

    The view frame hardly turns between two frames, so that speeds in it can be added.
    """
    feet = joints[:, :, [7, 10, 8, 11]]
    speed = feet.diff(dim=1) / step[:, None, None, None] + features[:, :-1, None, SPEED]
    true_feet = truth.joints[:, :, [7, 10, 8, 11]]
    true_speed = true_feet.diff(dim=1) / step[:, None, None, None] + truth.features[:, :-1, None, SPEED]
    stands = (truth.features[..., CONTACTS] > 0).to(pair)
    stands = stands[:, 1:] * stands[:, :-1] * pair[..., None]
    return (_length(speed - true_speed) * stands).sum() / stands.sum().clamp_min(1)


def _length(vectors: Tensor) -> Tensor:
    """Euclidean length with a gradient at zero."""
    return (vectors.square().sum(-1) + 1e-10).sqrt()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1)
