# SPDX-License-Identifier: Apache-2.0
"""What an encoder says of the pose, made ready for the fit.

An encoder has seen the picture: it knows what landmarks leave open (the twist of forearms and thighs,
where the head and the hands turn, limbs that are hidden, what is near and what is far), and its
errors jump from frame to frame. So its rotations start the fit and stay in the objective as a pull, each as
strong as it is believed; where the body is in the picture is left to the landmarks.
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import roma
import torch
from torch import Tensor

from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit.trajectory import smooth_trajectory
from fasthmr.evidence import Evidence

# Belief from which the start begins to take the encoder's rotation, and from which it takes nothing else.
_DOUBTFUL: Final = 0.2
_SURE: Final = 0.5

# How the encoder's rotations are smoothed for the start: entries of the matrices, and what they do (1/s²).
_START_DEVIATION: Final = 0.15
_START_ACCELERATION: Final = 20.0


def encoder_rotations(evidence: Evidence) -> tuple[Tensor, Tensor] | None:
    """The encoder's rotations (T, 24, 3, 3) and the belief in them (T, 24); None without an encoder.

    Raises:
        ValueError: there are rotations and nothing says how far they are to be believed.
    """
    if evidence.rotations is None:
        return None
    if evidence.joint_confidence is None:
        raise ValueError("rotations without joint_confidence: say how far they are to be believed")
    return torch.from_numpy(evidence.rotations).float(), torch.from_numpy(evidence.joint_confidence).float()


def encoder_shape(evidence: Evidence) -> Tensor | None:
    """The person's shape (10,) as the encoder sees it: the median of the frames that are believed.

    Returns:
        None where the encoder's shape does not fit the body, or no frame is believed.
    """
    if evidence.betas is None or evidence.joint_confidence is None:
        return None
    believed = evidence.joint_confidence.mean(axis=1) > _DOUBTFUL
    if not believed.any():
        return None
    return torch.from_numpy(np.median(evidence.betas[believed], axis=0)).float()


def start_from_encoder(rotations: Tensor, evidence: Evidence) -> Tensor:
    """Let a first pose take the encoder's place of each limb, as far as the encoder is believed.

    The two are mixed in the camera's axes: an encoder spreads a turn over spine and collar bones
    otherwise than the closed form does, and only where limbs point can be compared.

    Args:
        rotations: (T, 24, 3, 3) first pose from the landmarks.
        evidence: may have no rotations; the first pose is then given back as it is.

    Returns:
        (T, 24, 3, 3): the root's in the camera frame, the others' in their parent's.
    """
    given = encoder_rotations(evidence)
    if given is None:
        return rotations
    seen, belief = given
    share = ((belief - _DOUBTFUL) / (_SURE - _DOUBTFUL)).clamp(0, 1)
    if not (share > 0).any():
        return rotations
    calm = _in_camera(_calm_rotations(seen, belief, evidence.timestamps))
    own = _in_camera(rotations)
    way = roma.rotmat_to_rotvec(own.mT @ calm)
    return _in_parents(own @ roma.rotvec_to_rotmat(share[..., None] * way))


def _calm_rotations(rotations: Tensor, belief: Tensor, timestamps: np.ndarray) -> Tensor:
    """Rotations smoothed over time: entry by entry, then the nearest rotation."""
    calm = [
        smooth_trajectory(
            rotations[:, joint].reshape(-1, 9).numpy(),
            timestamps,
            belief[:, joint].numpy(),
            _START_DEVIATION,
            _START_ACCELERATION,
        )
        for joint in range(rotations.shape[1])
    ]
    entries = torch.from_numpy(np.stack(calm, axis=1)).float()
    return cast(Tensor, roma.special_procrustes(entries.reshape(rotations.shape)))


def _in_camera(local: Tensor) -> Tensor:
    """Rotations in each joint's parent -> in the root's frame."""
    turned = [local[:, 0]]
    for joint in range(1, local.shape[1]):
        turned.append(turned[PARENTS[joint]] @ local[:, joint])
    return torch.stack(turned, dim=1)


def _in_parents(turned: Tensor) -> Tensor:
    """The way back from :func:`_in_camera`."""
    local = [turned[:, 0]]
    local += [turned[:, PARENTS[joint]].mT @ turned[:, joint] for joint in range(1, turned.shape[1])]
    return torch.stack(local, dim=1)
