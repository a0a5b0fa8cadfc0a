# SPDX-License-Identifier: Apache-2.0
"""A posed body on its way from the camera's frame into the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fasthmr.body import BodyModel
from fasthmr.placement.soles import find_soles


@dataclass(frozen=True)
class Figure:
    """One person, T frames, in some frame of reference.

    Attributes:
        rotations: (T, 24, 3, 3) float64; the root's in the frame of reference, the others' in their parent's.
        translation: (T, 3) float64, metres: joints = forward kinematics + translation.
        betas: (10,) float32, body shape.
    """

    rotations: np.ndarray
    translation: np.ndarray
    betas: np.ndarray

    def joints(self, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
        """Joints (T, 24, 3) in metres and their rotations (T, 24, 3, 3) in the frame of reference."""
        joints, turns = body.joints(
            torch.from_numpy(self.rotations).float(),
            torch.from_numpy(self.betas),
            torch.from_numpy(self.translation).float(),
        )
        return joints.numpy().astype(np.float64), turns.numpy().astype(np.float64)

    def soles(self, body: BodyModel) -> np.ndarray:
        """Sole points (T, 4, 3), metres."""
        joints, turns = (torch.from_numpy(array).float() for array in self.joints(body))
        return find_soles(body, torch.from_numpy(self.betas)).place(joints, turns).numpy().astype(np.float64)

    def moved(self, rotation: np.ndarray, shift: np.ndarray, rest_pelvis: np.ndarray) -> Figure:
        """The same person in another frame of reference.

        Args:
            rotation: (3, 3) from this frame into the other.
            shift: (3,) metres, where this frame's origin is in the other.
            rest_pelvis: (3,) of the body at rest: what the root turns about.
        """
        rotations = self.rotations.copy()
        rotations[:, 0] = rotation @ rotations[:, 0]
        pelvis = (self.translation + rest_pelvis) @ rotation.T + shift
        return Figure(rotations, pelvis - rest_pelvis, self.betas)
