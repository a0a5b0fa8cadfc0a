# SPDX-License-Identifier: Apache-2.0
"""What an encoder saw of a person, put beside the landmarks as evidence for any decoder.

HMR2.0 knows nothing but the crop, and gives the body's orientation as if the camera looked straight at it
(HMR, Kanazawa et al., CVPR 2018: the camera never turns, the person does); it is turned to the line
of sight through the crop's centre, as the detector's world landmarks are. CameraHMR is told where the crop
lies and how long the lens is (CLIFF, Li et al., ECCV 2022) and answers in the axes of the whole picture's
camera. Our own network is told nothing either.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import numpy as np
import roma
import torch
from torch import Tensor

from fasthmr.body import INDEX, BodyModel
from fasthmr.body.projection import directions, turn_from_forward
from fasthmr.encoder.agreement import joint_belief
from fasthmr.encoder.encoding import Encoding
from fasthmr.errors import BadInput
from fasthmr.evidence import Evidence

# Encoders whose orientation is in the axes of the whole picture's camera already.
_IN_CAMERA: Final = {"camerahmr"}
# Encoders whose shape coefficients are those of the neutral SMPL body; the others' are the open body's.
_SMPL_SHAPE: Final = {"hmr2", "camerahmr"}
_SMPL_VERTICES: Final = 6890
_ONE_SEX: Final = re.compile(r"(^|[^a-z])(f|m|male|female)([^a-z]|$)", re.IGNORECASE)


def add_encoding(evidence: Evidence, encoding: Encoding, body: BodyModel) -> Evidence:
    """Put an encoder's estimate beside what perception found.

    Args:
        evidence: of the same person; its landmarks judge the estimate.
        encoding: the frames in which the person was seen, or some of them.
        body: the body that will wear the pose; its bones make the joints.

    Returns:
        The evidence with ``rotations`` (the root's in the camera), ``joints`` (pelvis at the origin),
        ``joint_confidence``, ``token``, and ``betas`` where the encoder's shape is this body's. In frames
        without an estimate rotations are interpolated and the confidence is 0.

    Raises:
        BadInput: the estimate has no frame of finite numbers.
        ValueError: the encoding has frames that the evidence does not have.
    """
    rows = np.searchsorted(evidence.frame_indices, encoding.frame_indices)
    inside = np.minimum(rows, evidence.frame_count - 1)
    if (evidence.frame_indices[inside] != encoding.frame_indices).any():
        raise ValueError("the encoding has frames that the evidence does not have")
    outputs = (encoding.rotmat, encoding.betas, encoding.camera, encoding.token)
    sound = np.all([np.isfinite(part).reshape(len(rows), -1).all(1) for part in outputs], axis=0)
    if not sound.any():
        raise BadInput(
            "The encoder gave no finite numbers in any frame. Use precision fp32; if it stays so, the "
            "checkpoint is damaged: download it again."
        )
    at, times = rows[sound], evidence.timestamps
    token, camera, squares, betas = (
        _interpolate(values[sound], times[at], times)
        for values in (encoding.token, encoding.camera, encoding.squares, encoding.betas)
    )
    seen_rotations = torch.from_numpy(np.ascontiguousarray(encoding.rotmat[sound], np.float32))
    local = _interpolate_rotations(seen_rotations, times[at], times)
    toward = directions(torch.from_numpy(squares[:, :2]), torch.tensor(evidence.intrinsics).float())
    turn = turn_from_forward(toward)
    known = encoding.kind in _IN_CAMERA
    in_crop = torch.cat([(turn.mT @ local[:, 0])[:, None], local[:, 1:]], dim=1) if known else local
    in_camera = local if known else torch.cat([(turn @ local[:, 0])[:, None], local[:, 1:]], dim=1)

    plain = body.to("cpu", torch.float32)
    shaped = _shape_fits(encoding.kind, body)
    shape = torch.from_numpy(betas) if shaped else torch.zeros(10)
    joints, turned = plain.joints(in_crop, shape)
    joints = joints - joints[:, :1]
    belief = joint_belief(
        joints.numpy(),
        turned[:, INDEX["head"]].numpy(),
        0.5 * camera[:, 0] * squares[:, 2],
        evidence.landmarks_image[..., :2],
        evidence.visibility,
    )
    missing = np.ones(evidence.frame_count, bool)
    missing[at] = False
    belief[missing] = 0
    return replace(
        evidence,
        rotations=in_camera.numpy(),
        joints=((turn[:, None] @ joints[..., None])[..., 0]).numpy(),
        betas=betas if shaped else None,
        joint_confidence=belief,
        token=token,
    )


def _interpolate(values: np.ndarray, times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (n, C) at some times -> (T, C) float32 at all, along straight lines; held at both ends."""
    columns = [np.interp(wanted, times, column) for column in values.T.astype(np.float64)]
    return np.stack(columns, axis=1).astype(np.float32)


def _interpolate_rotations(rotations: Tensor, times: np.ndarray, wanted: np.ndarray) -> Tensor:
    """Rotations (n, 24, 3, 3) at some times -> (T, 24, 3, 3) at all, along the shortest turn (slerp)."""
    if len(times) == 1:
        return rotations.expand(len(wanted), -1, -1, -1).clone()
    after = np.clip(np.searchsorted(times, wanted, side="right"), 1, len(times) - 1)
    share = np.clip((wanted - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    start, end = rotations[after - 1], rotations[after]
    way = roma.rotmat_to_rotvec(start.mT @ end)
    between = start @ roma.rotvec_to_rotmat(torch.from_numpy(share).float()[:, None, None] * way)
    exact = torch.from_numpy(share)
    between[exact == 0], between[exact == 1] = start[exact == 0], end[exact == 1]
    return between


def _shape_fits(kind: str, body: BodyModel) -> bool:
    """Whether an encoder's shape coefficients mean this body's: shape spaces differ from body to body."""
    if kind not in _SMPL_SHAPE:
        return body.name == "open"
    return len(body.v_template) == _SMPL_VERTICES and not _ONE_SEX.search(body.name)
