# SPDX-License-Identifier: Apache-2.0
"""How far the motion decoder is off on windows that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.evidence_features import evidence_features
from fasthmr.decoder.motion_decoder import MotionDecoder
from fasthmr.decoder.motion_features import read_features
from fasthmr.decoder.networks import Read
from fasthmr.decoder.segments import joints_of_segments
from fasthmr.training.motion_losses import Truth, truth_of

_CHUNK: Final = 64


@dataclass(frozen=True)
class MotionError:
    """Errors over the joints of valid frames.

    Attributes:
        mpjpe_mm: mean distance of joints about the pelvis.
        pa_mpjpe_mm: the same after the best similarity a frame.
        accel: mean error of accelerations, m/s².
        jitter: mean third derivative over that of the truth.
        up_degrees: mean angle between the found and the true direction against gravity.
    """

    mpjpe_mm: float
    pa_mpjpe_mm: float
    accel: float
    jitter: float
    up_degrees: float


def motion_errors(
    decoder: MotionDecoder, evidence: EvidenceBatch, motion: MotionBatch, body: BodyModel
) -> dict[str, MotionError]:
    """Errors of the VAE's reconstruction, one-step diffusion, and the regressor on the same windows."""
    truth = truth_of(motion, evidence, body)
    features = evidence_features(evidence)
    found: dict[str, list[tuple[Tensor, Tensor]]] = {"vae": [], "diffusion": [], "regressor": []}
    with torch.no_grad():
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            given = features[rows]
            rebuilt = decoder.vae.decode(decoder.vae.encode(truth.features[rows]))
            found["vae"].append(_joints(rebuilt, truth.betas[rows], body))
            found["diffusion"].append(
                _read(decoder.diffuse(given, decoder.noise(len(given), start).to(given)), body)
            )
            found["regressor"].append(_read(decoder.regress(given), body))
    errors = {}
    for name, parts in found.items():
        joints, up = (torch.cat([part[index] for part in parts]) for index in (0, 1))
        errors[name] = compare(joints, up, truth, evidence.step)
    return errors


def compare(joints: Tensor, up: Tensor, truth: Truth, step: Tensor) -> MotionError:
    """Errors of joints (B, T, 24, 3) about the pelvis and of up (B, T, 3), both in the view frame."""
    valid = truth.valid > 0
    distance = (joints - truth.joints).norm(dim=-1).mean(-1)
    aligned = align(joints[valid], truth.joints[valid])
    pa = (aligned - truth.joints[valid]).norm(dim=-1).mean()
    inner = valid[:, 2:] & valid[:, :-2]
    bend = (joints - truth.joints).diff(n=2, dim=1).norm(dim=-1).mean(-1) / step[:, None] ** 2
    third, true_third = (
        x.diff(n=3, dim=1).norm(dim=-1).mean(-1)[valid[:, 3:]] for x in (joints, truth.joints)
    )
    true_up = read_features(truth.features).up
    angle = (up * true_up).sum(-1).clamp(-1, 1).acos()[valid].mean()
    return MotionError(
        mpjpe_mm=1e3 * float(distance[valid].mean()),
        pa_mpjpe_mm=1e3 * float(pa),
        accel=float(bend[inner].mean()),
        jitter=float(third.mean() / true_third.mean()),
        up_degrees=float(angle.rad2deg()),
    )


def align(points: Tensor, target: Tensor) -> Tensor:
    """Move, turn and scale points (N, J, 3) onto targets as well as a similarity can (Umeyama, 1991)."""
    middle, wanted = points.mean(1, keepdim=True), target.mean(1, keepdim=True)
    points, target = points - middle, target - wanted
    product = target.mT @ points
    rotation = cast(Tensor, roma.special_procrustes(product))
    scale = (rotation * product).sum((-1, -2)) / points.square().sum((-1, -2)).clamp_min(1e-12)
    return scale[:, None, None] * points @ rotation.mT + wanted


def _read(result: tuple[Tensor, Read], body: BodyModel) -> tuple[Tensor, Tensor]:
    features, read = result
    return _joints(features, read.betas, body)


def _joints(features: Tensor, betas: Tensor, body: BodyModel) -> tuple[Tensor, Tensor]:
    view = read_features(features)
    return joints_of_segments(view.segments, body.rest_joints(betas)[:, None]), view.up
