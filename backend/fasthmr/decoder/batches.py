# SPDX-License-Identifier: Apache-2.0
"""Evidence and motion as batches of tensors: what the motion decoder's networks are trained and run on.

:class:`fasthmr.evidence.Evidence` is one person in one clip; these are B windows of T frames with one time
between frames. Training makes them by the thousand, the decoder cuts them from a clip.

Camera frame: OpenCV (x right, y down, z forward), metres; images in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class EvidenceBatch:
    """What was seen; the same meaning as in :class:`fasthmr.evidence.Evidence`.

    Attributes:
        landmarks_image: (B, T, 33, 2) pixels.
        landmarks_world: (B, T, 33, 3) metres about the mid-hips, as the detector gives them: seen by a camera
            that looks straight at the person's box.
        visibility: (B, T, 33) in 0..1; 0 for every landmark of a frame in which nothing was seen.
        boxes: (B, T, 4) x0 y0 x1 y1, pixels.
        intrinsics: (B, 3, 3) pixels.
        step: (B,) seconds between frames.
        rotations: (B, T, 24, 3, 3) an encoder's, root in the camera, others in their parents; or None.
        joint_confidence: (B, T, 24) belief in these, 0 where there is none; or None.
    """

    landmarks_image: Tensor
    landmarks_world: Tensor
    visibility: Tensor
    boxes: Tensor
    intrinsics: Tensor
    step: Tensor
    rotations: Tensor | None = None
    joint_confidence: Tensor | None = None

    def to(self, device: torch.device | str) -> EvidenceBatch:
        """The same on another device."""
        return _moved(self, device)

    def select(self, rows: Tensor | slice) -> EvidenceBatch:
        """Some of the B windows."""
        return _selected(self, rows)


@dataclass(frozen=True)
class MotionBatch:
    """What was done: the truth in training.

    Attributes:
        rotations: (B, T, 24, 3, 3) joint rotations, root in the camera frame, others in their parents.
        pelvis: (B, T, 3) metres, in the camera frame.
        betas: (B, 10) body shape.
        up: (B, T, 3) unit vector against gravity, in the camera frame.
        contacts: (B, T, 4) 0 or 1: left heel, left toe, right heel, right toe on the floor.
        valid: (B, T) bool: frames that belong to the clip (a short clip does not fill its window).
    """

    rotations: Tensor
    pelvis: Tensor
    betas: Tensor
    up: Tensor
    contacts: Tensor
    valid: Tensor

    def to(self, device: torch.device | str) -> MotionBatch:
        """The same on another device."""
        return _moved(self, device)

    def select(self, rows: Tensor | slice) -> MotionBatch:
        """Some of the B windows."""
        return _selected(self, rows)


def _moved(batch, device):  # type: ignore[no-untyped-def]
    return replace(batch, **{name: value.to(device) for name, value in _tensors(batch)})


def _selected(batch, rows):  # type: ignore[no-untyped-def]
    return replace(batch, **{name: value[rows] for name, value in _tensors(batch)})


def _tensors(batch: EvidenceBatch | MotionBatch) -> list[tuple[str, Tensor]]:
    values = [(field.name, getattr(batch, field.name)) for field in fields(batch)]
    return [(name, value) for name, value in values if value is not None]
