# SPDX-License-Identifier: Apache-2.0
"""How far our encoder is off on people that it was not trained on, beside the landmarks that it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.landmark_vertices import LANDMARK_JOINTS
from fasthmr.body.skeleton import INDEX
from fasthmr.encoder.model import HMRModel
from fasthmr.evaluation.alignment import align_each_frame
from fasthmr.training.single_frames import EncoderBatch

_CHUNK: Final = 32
# The twelve joints of the limbs, of the landmarks and of SMPL.
_MARKS: Final = list(LANDMARK_JOINTS)
_LIMBS: Final = list(LANDMARK_JOINTS.values())
_HIPS: Final = [_LIMBS.index(INDEX[name]) for name in ("left_hip", "right_hip")]


@dataclass(frozen=True)
class EncoderError:
    """Mean errors, millimetres and degrees.

    Attributes:
        mpjpe_mm: of the 24 joints about the pelvis.
        pa_mpjpe_mm: the same after the best similarity.
        limbs_mm: of the twelve joints of the limbs about the middle of the hips.
        limbs_pa_mm: the same after the best similarity.
        landmarks_mm: of the twelve landmarks that the network was given, about the same; where it got any.
        landmarks_pa_mm: the same after the best similarity.
        degrees: mean angle between found and true rotation of a joint in its parent.
        root_degrees: of the pelvis.
    """

    mpjpe_mm: float
    pa_mpjpe_mm: float
    limbs_mm: float
    limbs_pa_mm: float
    landmarks_mm: float
    landmarks_pa_mm: float
    degrees: float
    root_degrees: float


def encoder_errors(
    model: HMRModel, batches: EncoderBatch, body: BodyModel, chunk: int = _CHUNK
) -> EncoderError:
    """Measure a network.

    Args:
        model: on any device; its token merging, if any, is used.
        batches: people with crops and all their patches, or landmarks alone where ``crops`` is None.
        body: the open body.
        chunk: people at a time.
    """
    found, shapes = [], []
    training = model.training
    model.eval()
    device = model.backbone.pos_embed.device
    with torch.no_grad():
        for start in range(0, len(batches.betas), chunk):
            part = batches.rows(slice(start, start + chunk)).to(device)
            rotations, betas = _estimated(model, part)
            found.append(rotations.float().cpu())
            shapes.append(betas.float().cpu())
    model.train(training)
    rotations = torch.cat(found)
    made = _about_pelvis(body, rotations, torch.cat(shapes))
    true = _about_pelvis(body, batches.rotations, batches.betas)
    limbs, true_limbs = (_about_hips(one[:, _LIMBS]) for one in (made, true))
    told = batches.landmarks[..., 2].amax(1) > 0
    marks = _about_hips(batches.world[:, _MARKS][told].numpy().astype(np.float64))
    angles = _degrees(rotations, batches.rotations)
    return EncoderError(
        mpjpe_mm=_distance(made, true),
        pa_mpjpe_mm=_distance(align_each_frame(made, true), true),
        limbs_mm=_distance(limbs, true_limbs),
        limbs_pa_mm=_distance(align_each_frame(limbs, true_limbs), true_limbs),
        landmarks_mm=_distance(marks, true_limbs[told.numpy()]),
        landmarks_pa_mm=_distance(
            align_each_frame(marks, true_limbs[told.numpy()]), true_limbs[told.numpy()]
        ),
        degrees=float(angles[:, 1:].mean()),
        root_degrees=float(angles[:, 0].mean()),
    )


def _estimated(model: HMRModel, batch: EncoderBatch) -> tuple[Tensor, Tensor]:
    if batch.crops is not None:
        output = model(batch.crops, protection=batch.levels, landmarks=batch.landmarks)
        return output.rotmat, output.betas
    guess = model.smpl_head.guess(batch.landmarks)
    assert guess is not None  # noqa: S101 (only networks that read landmarks are measured on them)
    return model.smpl_head.guessed(guess)[:2]


def _about_pelvis(body: BodyModel, rotations: Tensor, betas: Tensor) -> np.ndarray:
    joints = body.joints(rotations, betas)[0]
    return (joints - joints[:, :1]).double().numpy()


def _about_hips(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, _HIPS].mean(1, keepdims=True)


def _distance(joints: np.ndarray, truth: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(joints - truth, axis=-1).mean())


def _degrees(rotations: Tensor, truth: Tensor) -> Tensor:
    """Angles between rotations (B, 24, 3, 3), degrees."""
    cosine = ((rotations * truth).sum((-1, -2)) - 1) / 2
    return torch.rad2deg(cosine.clamp(-1, 1).acos())
