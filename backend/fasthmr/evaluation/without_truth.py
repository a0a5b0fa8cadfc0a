# SPDX-License-Identifier: Apache-2.0
"""What can be measured of a motion when nobody knows the truth.

Reprojection says whether the body stays on the person in the picture, the rest whether a body could
have moved like that. Jitter and foot sliding follow WHAM's evaluation (Shin et al., CVPR 2024), with
the footage's own evidence of contact in place of the truth's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.motion import Motion
from fasthmr.people import Track
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.placement.soles import find_soles

_LIMBS: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LANDMARKS: Final = [LANDMARK_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in _LIMBS]

# A landmark that the detector hardly sees is a guess of the detector's: no yardstick.
_SEEN: Final = 0.5
# A sole stands when its contact is at least this likely.
_STANDING: Final = 0.5
# Between neighbouring frames 1/30 s apart nobody turns further than this.
_FLIP_DEGREES: Final = 60.0
# No joint of a body is further from the pelvis, metres.
_REACH: Final = 1.6


@dataclass(frozen=True)
class Consistency:
    """Figures of one person's motion.

    Attributes:
        frames: frames of the motion.
        coverage: share of them in which the person was seen.
        reprojection_px: median distance in pixels of limb landmarks from the detector's: of the places on the
            body that the detector calls so, which are not the joints (``landmark_fit.correspondence``).
        reprojection_share: the same over the height of the person's box, in percent.
        reprojection_share_p95: its 95th percentile.
        jitter: mean third derivative of the joints in the world, 10 m/s³.
        acceleration: mean second derivative of the joints in the world, m/s².
        foot_sliding_mm: mean motion of a standing sole between frames, mm.
        bone_length_spread: greatest standard deviation of a bone's length, percent of its mean.
        flips: frames in which the body turns further than anybody can.
        explosions: frames with a joint further from the pelvis than limbs reach.
    """

    frames: int
    coverage: float
    reprojection_px: float
    reprojection_share: float
    reprojection_share_p95: float
    jitter: float
    acceleration: float
    foot_sliding_mm: float
    bone_length_spread: float
    flips: int
    explosions: int

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def measure(motion: Motion, body: BodyModel, track: Track) -> Consistency:
    """Measure a motion against the landmarks it was made from and against itself.

    Args:
        motion: one person's motion.
        body: the body it was recovered with.
        track: what the detector saw of that person.
    """
    joints, turns, soles = _in_world(motion, body)
    pixels, share = _reprojection(motion, body, turns, track)
    bones = motion.joints_camera[:, 1:] - motion.joints_camera[:, PARENTS[1:]]
    lengths = np.linalg.norm(bones.astype(np.float64), axis=-1)
    return Consistency(
        frames=motion.frame_count,
        coverage=len(track.frame_indices) / motion.frame_count,
        reprojection_px=_percentile(pixels, 50),
        reprojection_share=100 * _percentile(share, 50),
        reprojection_share_p95=100 * _percentile(share, 95),
        jitter=_mean_derivative(joints, motion.mocap_framerate, 3) / 10,
        acceleration=_mean_derivative(joints, motion.mocap_framerate, 2),
        foot_sliding_mm=foot_sliding_mm(soles, motion.contacts),
        bone_length_spread=100 * float((lengths.std(0) / lengths.mean(0)).max()),
        flips=count_flips(turns[:, 0], motion.timestamps),
        explosions=int((np.linalg.norm(joints - joints[:, :1], axis=-1).max(1) > _REACH).sum()),
    )


def foot_sliding_mm(soles: np.ndarray, contacts: np.ndarray) -> float:
    """Mean horizontal and vertical motion of standing soles between frames.

    Args:
        soles: (T, 4, 3) metres in the world.
        contacts: (T, 4) likelihood of contact.

    Returns:
        Millimetres a frame; nan where nothing stands.
    """
    standing = (contacts[1:] > _STANDING) & (contacts[:-1] > _STANDING)
    if not standing.any():
        return float("nan")
    return 1e3 * float(np.linalg.norm(np.diff(soles, axis=0), axis=-1)[standing].mean())


def count_flips(orientation: np.ndarray, timestamps: np.ndarray) -> int:
    """Frames to which the body turns faster than anybody can.

    Args:
        orientation: (T, 3, 3) of the pelvis.
        timestamps: (T,) seconds; the limit is per thirtieth of a second, and never beyond 170 degrees.
    """
    if len(orientation) < 2:
        return 0
    step = orientation[:-1].transpose(0, 2, 1) @ orientation[1:]
    angle = np.degrees(np.arccos(np.clip((np.trace(step, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    limit = np.minimum(_FLIP_DEGREES * np.maximum(1.0, 30 * np.diff(timestamps)), 170.0)
    return int((angle > limit).sum())


def _in_world(motion: Motion, body: BodyModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints (T, 24, 3), their rotations (T, 24, 3, 3) and sole points (T, 4, 3) in the world."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses).reshape(-1, 24, 3))
    betas = torch.from_numpy(motion.betas)
    joints, frames = body.joints(rotations, betas, torch.from_numpy(motion.trans))
    soles = find_soles(body, betas).place(joints, frames)
    return (
        joints.numpy().astype(np.float64),
        frames.numpy().astype(np.float64),
        soles.numpy().astype(np.float64),
    )


def _reprojection(
    motion: Motion, body: BodyModel, turns: np.ndarray, track: Track
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the seen limb landmarks: in pixels, and over the height of the box."""
    rows = track.frame_indices - motion.frame_indices[0]
    inside = (rows >= 0) & (rows < motion.frame_count)
    rows = rows[inside]
    in_camera = motion.world_from_camera[rows, :3, :3].transpose(0, 2, 1)[:, None] @ turns[rows]
    marks = landmark_model(body)
    placed = marks.place(
        torch.from_numpy(motion.joints_camera[rows].astype(np.float32)),
        torch.from_numpy(in_camera.astype(np.float32)),
        torch.from_numpy(motion.betas.astype(np.float32)),
    )
    order = marks.indices.tolist()
    points = placed[:, [order.index(landmark) for landmark in _LANDMARKS]].numpy().astype(np.float64)
    projected = points @ motion.camera_intrinsics.T
    projected = projected[..., :2] / projected[..., 2:]
    distance = np.linalg.norm(projected - track.landmarks_image[inside][:, _LANDMARKS, :2], axis=-1)
    height = (track.boxes[inside, 3] - track.boxes[inside, 1])[:, None]
    seen = track.visibility[inside][:, _LANDMARKS] > _SEEN
    return distance[seen], (distance / height)[seen]


def _mean_derivative(values: np.ndarray, frame_rate: float, order: int) -> float:
    """Mean length of a finite difference, per second to the ``order``; nan for too few frames."""
    if len(values) <= order:
        return float("nan")
    return float(np.linalg.norm(np.diff(values, n=order, axis=0), axis=-1).mean()) * frame_rate**order


def _percentile(values: np.ndarray, share: float) -> float:
    return float(np.percentile(values, share)) if values.size else float("nan")
