# SPDX-License-Identifier: Apache-2.0
"""Where on the body a detector puts its landmarks, on average: measured on recorded pairs.

A detector's "ankle" is not the body model's ankle joint, and its "nose" is not the tip of the nose. What it
means is carried by the bone like the landmark itself, so that it looks different from every side: from many
views an offset in the bone's own axes can be told although each view shows two of its three numbers. The
table in :mod:`fasthmr.decoder.landmark_fit.correspondence` was measured so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.evidence.paired import load_pairs, pair_files

_NEEDED: Final = (
    "landmarks_image", "visibility", "inside", "valid", "true_landmarks", "rotations", "intrinsics",
)  # fmt: skip
_SEEN: Final = 0.5  # visibility from which a landmark is measured
_FARTHEST: Final = 0.3  # metres; what is farther off is an exchanged or a lost limb
# Metres from which a residual counts less (Geman and McClure's weight), and rounds of reweighting.
_USUAL: Final = 0.03
_ROUNDS: Final = 20
_NEAREST: Final = 0.3  # metres from the camera
_EVERY: Final = 3  # neighbouring frames say the same
# Square metres that a view is worth against no offset at all: for landmarks that are hardly ever seen.
_RIDGE: Final = 1e-3


@dataclass(frozen=True)
class LandmarkOffset:
    """What was measured of one landmark.

    Attributes:
        name: of the landmark.
        offset: (3,) metres, in the rest axes of the joint that carries it, from where the body has it.
        views: how many frames it was measured on.
        before: median distance in the image at the person's depth, metres, without the offset.
        after: the same with it.
    """

    name: str
    offset: np.ndarray
    views: int
    before: float
    after: float


def measure_offsets(folder: Path, body: BodyModel) -> list[LandmarkOffset]:
    """Measure the offsets of the landmarks that the fit uses; both sides are measured as one.

    Args:
        folder: of the recording (``fasthmr train evidence``); what training holds out is left out.
        body: the one that was recorded.

    Raises:
        BadInput: there are no pairs, or damaged ones.
    """
    arrays = load_pairs(pair_files(folder, held_out=False), _NEEDED)
    marks = landmark_model(body, as_detected=False)
    names = {index: name for name, index in LANDMARK_INDEX.items()}
    turns = _in_camera(arrays["rotations"])
    views = {
        names[int(index)]: _views(arrays, turns, int(index), int(joint))
        for index, joint in zip(marks.indices, marks.joints, strict=True)
    }
    measured = []
    for name, (looks, residuals) in views.items():
        if name.startswith("right"):
            continue
        other = name.replace("left", "right")
        if other != name:
            looks = np.concatenate([looks, views[other][0] * (-1, 1, 1)])  # mirrored: x the other way
            residuals = np.concatenate([residuals, views[other][1]])
        offset = robust_offset(looks, residuals)
        if other == name:
            offset[0] = 0.0
        left = residuals - looks @ offset
        before, after = (_median_length(one) for one in (residuals, left))
        measured.append(LandmarkOffset(name, offset, len(looks), before, after))
    return measured


def robust_offset(looks: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """The offset that explains residuals best, where some of them are gross errors.

    Args:
        looks: (N, 2, 3) how an offset shows in each view.
        residuals: (N, 2) metres, across the line of sight.

    Returns:
        (3,) metres.
    """
    offset = np.zeros(3)
    for _ in range(_ROUNDS):
        apart = np.linalg.norm(residuals - looks @ offset, axis=1)
        weight = 1.0 / (1.0 + np.square(apart / _USUAL)) ** 2
        normal = np.einsum("n,nij,nik->jk", weight, looks, looks) + _RIDGE * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("n,nij,ni->j", weight, looks, residuals))
    return offset


def _views(
    arrays: dict[str, np.ndarray], turns: np.ndarray, landmark: int, joint: int
) -> tuple[np.ndarray, np.ndarray]:
    """How an offset of one landmark shows in every frame (N, 2, 3), and what was seen there (N, 2)."""
    true = arrays["true_landmarks"][:, :, landmark].astype(np.float64)
    depth = true[..., 2].clip(_NEAREST)
    focal = np.stack([arrays["intrinsics"][:, axis, axis] for axis in (0, 1)], axis=-1)[:, None]
    middle = arrays["intrinsics"][:, None, :2, 2]
    pixels = true[..., :2] / depth[..., None] * focal + middle
    residuals = (arrays["landmarks_image"][:, :, landmark] - pixels) * depth[..., None] / focal
    across = np.zeros((*true.shape[:2], 2, 3))
    across[..., 0, 0] = across[..., 1, 1] = 1.0
    across[..., 2] = -true[..., :2] / depth[..., None]
    good = (arrays["visibility"] * arrays["inside"])[:, :, landmark] > _SEEN
    good &= arrays["valid"].astype(bool) & (np.linalg.norm(residuals, axis=-1) < _FARTHEST)
    good[:, np.arange(good.shape[1]) % _EVERY != 0] = False
    return (across @ turns[:, :, joint])[good], residuals[good]


def _in_camera(rotations: np.ndarray) -> np.ndarray:
    """(N, T, 24, 3, 3) of joints in their parents -> in the camera."""
    turned = [rotations[:, :, 0]]
    for joint in range(1, rotations.shape[2]):
        turned.append(turned[PARENTS[joint]] @ rotations[:, :, joint])
    return np.stack(turned, axis=2)


def _median_length(vectors: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(vectors, axis=-1))) if len(vectors) else float("nan")
