# SPDX-License-Identifier: Apache-2.0
"""What the live preview shows of a fit: the body's bones as they lie in one frame at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body.projection import project
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit.objective import Objective, Variables
from fasthmr.evidence import Evidence
from fasthmr.live_preview import Sketch

_BONES: Final = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0)


class FigureSketches:
    """Sketches of a figure that is being fitted, through the clip, one frame a picture.

    Args:
        objective: poses the body.
        evidence: says which frames the fit is about, and through which camera they are seen.
    """

    def __init__(self, objective: Objective, evidence: Evidence) -> None:
        self._objective, self._evidence = objective, evidence
        self._shown = 0

    @torch.no_grad()
    def sketch(self, variables: Variables, rows: Tensor | slice, known: Sequence[int]) -> Sketch:
        """The bones in the next frame.

        Args:
            variables: the pose in the frames that are being fitted.
            rows: which frames of the evidence those are.
            known: frames of the clip that the preview has a picture of; those come first.
        """
        frames = self._evidence.frame_indices[rows.numpy() if isinstance(rows, Tensor) else rows]
        places = np.flatnonzero(np.isin(frames, known))
        if not len(places):
            places = np.arange(0, len(frames), max(1, len(frames) // 24))
        place = int(places[self._shown % len(places)])
        self._shown += 1
        posed = self._objective.pose(variables.select(slice(place, place + 1)))
        intrinsics = torch.tensor(self._evidence.intrinsics, dtype=torch.float32)
        pixels = project(posed.joints[0], intrinsics).numpy()
        width, height = self._evidence.image_size
        return Sketch(
            frame=int(frames[place]),
            image_size=(int(width), int(height)),
            image=None,
            boxes=np.zeros((0, 4), np.float32),
            lines=np.stack([pixels[list(bone)] for bone in _BONES]),
        )
