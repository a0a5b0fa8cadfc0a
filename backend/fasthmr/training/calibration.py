# SPDX-License-Identifier: Apache-2.0
"""Crops that a network is measured on while its layers are merged, and their file.

The file is an ``.npz`` (docs/layer_merging.md):

- ``crops`` (N,3,256,192): uint8 RGB, or floating-point and normalised as the network takes them; for our own
  network its channels (N,C,256,192), floating-point.
- ``joints`` (N,24,3), labelled sets only: SMPL's joints in metres, camera axes (x right, y down, z forward).
- ``box_info`` (N,3), for CameraHMR: as :meth:`fasthmr.encoder.model.HMRModel.forward` takes it.
- ``landmarks`` (N,L,6), for a network that reads them (:mod:`fasthmr.encoder.landmark_tokens`).
- ``protection`` (N,192) uint8, if tokens are merged too: 0 background, 1 person, 2 must stay.

What a network is reported on must not be in such a set: layers are chosen by it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.encoder.config import LANDMARK_NUMBERS, EncoderConfig
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays

# Of ImageNet's channels R, G, B, in 0..1.
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
_HIPS: Final = (1, 2)  # of SMPL's joints
_LARGEST_NORMALISED: Final = 20.0  # colours end near 2.7; beyond this they were not normalised
_NAMES: Final = ("crops", "joints", "box_info", "protection", "landmarks")
_LONGEST_BODY: Final = 4.0  # metres between the pelvis and a joint; beyond it the unit is another
_SHORTEST_BODY: Final = 0.2


class CropBatch(NamedTuple):
    """What :class:`fasthmr.encoder.model.HMRModel` takes: normalised crops (B,C,H,W), and what goes along."""

    crops: Tensor
    box_info: Tensor | None
    protection: Tensor | None
    landmarks: Tensor | None = None


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Crops of people, and what is known of them.

    Attributes:
        crops: (N,3,H,W) uint8 RGB, or (N,C,H,W) float32 and normalised.
        joints: (N,24,3) float32, metres, camera axes; None: nobody knows them.
        box_info: (N,3) float32; None: not given.
        protection: (N,tokens) uint8; None: not given.
        landmarks: (N,L,6) float32; None: the network reads none.
        description: where the crops come from; JSON values.
    """

    crops: np.ndarray
    joints: np.ndarray | None = None
    box_info: np.ndarray | None = None
    protection: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    description: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.crops)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the numbers; equal sets have equal digests."""
        found = hashlib.sha256()
        for name, array in _arrays(self).items():
            found.update(f"{name} {array.dtype} {array.shape} ".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def spread(self, count: int) -> CalibrationSet:
        """So many of the crops, evenly spread from the first to the last; all if there are not more."""
        if count >= len(self):
            return self
        rows = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        return replace(self, **{name: array[rows] for name, array in _arrays(self).items()})

    def batch(self, rows: slice, device: torch.device) -> CropBatch:
        """A part of the set on a device, its crops normalised."""
        crops, box_info, protection, landmarks = (
            None if array is None else torch.from_numpy(array[rows]).to(device)
            for array in (self.crops, self.box_info, self.protection, self.landmarks)
        )
        assert crops is not None  # noqa: S101 (for the type checker)
        if crops.dtype == torch.uint8:
            mean, deviation = (torch.tensor(one, device=device)[:, None, None] for one in (_MEAN, _DEVIATION))
            crops = (crops.float() / 255 - mean) / deviation
        return CropBatch(crops, box_info, protection, landmarks)

    def save(self, path: Path) -> None:
        """Write the set, whole or not at all.

        Raises:
            BadInput: the place cannot be written to.
        """
        save_arrays(path, {**_arrays(self), "description": np.array(json.dumps(dict(self.description)))})


def load_calibration(path: Path, config: EncoderConfig, labelled: bool) -> CalibrationSet:
    """Read a set, and check that it is one for this network.

    Args:
        path: the ``.npz``.
        config: sizes of the network.
        labelled: whether joints are needed.

    Raises:
        BadInput: the file is missing, damaged, or not such a set; the message says what is wrong with it.
    """
    found = load_arrays(path, "calibration set")
    try:
        return _checked(found, config, labelled)
    except ValueError as error:
        raise BadInput(
            f"The calibration set {path} cannot be used: {error}. docs/layer_merging.md describes the file."
        ) from error


def aligned(joints: Tensor) -> Tensor:
    """Joints (N,24,3) with the middle of the two hips at the origin, as EMDB's evaluation has them."""
    return joints - joints[:, _HIPS].mean(dim=1, keepdim=True)


def mean_distance_mm(joints: Tensor, wanted: Tensor) -> float:
    """Mean distance of aligned joints over all joints and crops: MPJPE if ``wanted`` is the truth.

    Args:
        joints: (N,24,3) metres.
        wanted: the same.

    Returns:
        Millimetres; not finite if a joint is not.
    """
    difference = aligned(joints.double()) - aligned(wanted.double())
    return float(torch.linalg.vector_norm(difference, dim=-1).mean()) * 1000


def _arrays(data: CalibrationSet) -> dict[str, np.ndarray]:
    named = {name: getattr(data, name) for name in _NAMES}
    return {name: array for name, array in named.items() if array is not None}


def _checked(found: Mapping[str, np.ndarray], config: EncoderConfig, labelled: bool) -> CalibrationSet:
    if "crops" not in found:
        raise ValueError(f"it has no array 'crops' (it has {', '.join(found) or 'none'})")
    crops = found["crops"]
    shape = (config.in_channels, *config.image_size)
    if crops.ndim != 4 or crops.shape[1:] != shape or not len(crops):
        raise ValueError(f"'crops' is {crops.shape}, not (N, {', '.join(map(str, shape))}) with N from 1 on")
    if crops.dtype == np.uint8 and config.reads_proxies:
        raise ValueError("'crops' are bytes; this network takes edges and masks, which are floating-point")
    if crops.dtype != np.uint8:
        crops = _numbers("crops", crops, crops.shape)
        if (largest := np.abs(crops).max()) > _LARGEST_NORMALISED:
            raise ValueError(
                f"'crops' are floating-point and go up to {largest:.4g}, so they are not normalised; give "
                "uint8"
            )
    count = len(crops)
    if labelled and "joints" not in found:
        raise ValueError("it has no array 'joints', so it is not labelled; use --clips for footage")
    if config.reads_box and "box_info" not in found:
        raise ValueError("this network reads where the box lies, and it has no array 'box_info'")
    if config.landmarks and "landmarks" not in found:
        raise ValueError("this network reads landmarks, and it has no array 'landmarks'")
    joints = box_info = protection = landmarks = None
    if labelled:
        joints = _numbers("joints", found["joints"], (count, JOINT_COUNT, 3))
        reach = np.linalg.norm(joints - joints[:, :1], axis=-1).max(axis=1)
        if not ((reach > _SHORTEST_BODY) & (reach < _LONGEST_BODY)).all():
            raise ValueError(
                f"the joints reach up to {reach.max():.4g} and down to {reach.min():.4g} from the pelvis; in "
                "metres a person reaches about 1"
            )
    if config.reads_box:
        box_info = _numbers("box_info", found["box_info"], (count, 3))
    if config.landmarks:
        landmarks = _numbers("landmarks", found["landmarks"], (count, config.landmarks, LANDMARK_NUMBERS))
    if "protection" in found:
        protection = found["protection"]
        if protection.shape != (count, config.tokens) or protection.dtype != np.uint8:
            raise ValueError(
                f"'protection' is {protection.dtype} {protection.shape}, not uint8 {(count, config.tokens)}"
            )
        if protection.max() > 2:
            raise ValueError("'protection' holds other numbers than 0, 1 and 2")
    return CalibrationSet(crops, joints, box_info, protection, landmarks, _description(found))


def _numbers(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array as float32, if it has this shape and finite numbers."""
    if array.shape != shape or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"'{name}' is {array.dtype} {array.shape}, not floating-point {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"'{name}' holds what is no finite number")
    return array.astype(np.float32)


def _description(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if "description" not in found:
        return {}
    try:
        content = json.loads(str(found["description"]))
    except ValueError as error:
        raise ValueError("its 'description' is no JSON") from error
    return content if isinstance(content, dict) else {"description": content}
