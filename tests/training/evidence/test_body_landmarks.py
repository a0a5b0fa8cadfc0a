# SPDX-License-Identifier: Apache-2.0
"""Landmarks of many bodies are those of one body at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from fasthmr.body import load_body
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from tests.training.evidence.seen_motion import windows_of


def test_each_is_where_the_fit_has_it(tmp_path: Path) -> None:
    body = load_body("open")
    motion = windows_of(body, tmp_path / "set", 6).draw(3)
    marks = BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas)
    assert marks.shape == (3, 6, 33, 3)
    model = landmark_model(body, as_detected=False)
    for row in range(3):
        wanted = model.place(motion.joints[row], motion.turns[row], motion.betas[row])
        assert torch.allclose(marks[row][:, model.indices], wanted, atol=1e-5)


def test_landmarks_without_a_place_take_their_neighbours(tmp_path: Path) -> None:
    body = load_body("open")
    motion = windows_of(body, tmp_path / "set", 2).draw(1)
    marks = BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas)
    for name, source in (
        ("left_thumb", "left_index"),
        ("mouth_right", "nose"),
        ("right_eye_inner", "right_eye"),
    ):
        assert torch.equal(marks[:, :, LANDMARK_INDEX[name]], marks[:, :, LANDMARK_INDEX[source]])
