# SPDX-License-Identifier: Apache-2.0
"""Sketches of a fit: the bones of the frame they name, through the clip, remembered frames first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fasthmr.body.projection import project
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.live_preview import Sketch, Sketcher
from fasthmr.progress import Progress
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS, evidence_of, walk


class Collector(Progress):
    """Takes every sketch that is offered."""

    def __init__(self, known: Sequence[int]) -> None:
        super().__init__()
        self.known, self.sketches = known, list[Sketch]()

    def offer(self, make: Sketcher, folder: Path | None = None) -> None:
        sketch = make(self.known)
        assert sketch is not None
        self.sketches.append(sketch)


EVIDENCE, _ = evidence_of(*walk(40), torch.zeros(10))
QUICK = FitSettings(shape_steps=6, motion_steps=30, shape_frames=10)


def test_the_bones_are_those_of_the_body_in_that_frame() -> None:
    progress = Collector(known=())
    estimate = fit_landmarks(EVIDENCE, BODY, progress, QUICK)
    last = progress.sketches[-1]
    row = int(np.flatnonzero(EVIDENCE.frame_indices == last.frame)[0])
    joints = torch.from_numpy(estimate.joints[row])
    pixels = project(joints, torch.tensor(INTRINSICS, dtype=torch.float32)).numpy()
    expected = [[pixels[parent], pixels[joint]] for joint, parent in enumerate(PARENTS) if parent >= 0]
    assert last.lines.shape == (23, 2, 2)
    assert np.abs(last.lines - np.array(expected)).max() < 0.5  # the sketch is made after the last step
    assert last.image_size == tuple(EVIDENCE.image_size)


def test_offering_changes_nothing_in_the_fit() -> None:
    with_pictures = fit_landmarks(EVIDENCE, BODY, Collector(()), QUICK)
    without = fit_landmarks(EVIDENCE, BODY, Progress(), QUICK)
    np.testing.assert_array_equal(with_pictures.rotations, without.rotations)


def test_it_goes_through_the_clip_and_prefers_frames_with_a_picture() -> None:
    frames = EVIDENCE.frame_indices.tolist()
    progress = Collector(known=())
    fit_landmarks(EVIDENCE, BODY, progress, QUICK)
    assert len({sketch.frame for sketch in progress.sketches}) > 10
    known = [frames[3], frames[20], 100_000]
    progress = Collector(known)
    fit_landmarks(EVIDENCE, BODY, progress, QUICK)
    assert {sketch.frame for sketch in progress.sketches[QUICK.shape_steps :]} == {frames[3], frames[20]}
