# SPDX-License-Identifier: Apache-2.0
"""Looks: what may be covered, what never is, and that seeds decide."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.synthesis.look import Look, Wardrobe


@pytest.fixture(scope="module")
def looks(body: BodyModel) -> list[Look]:
    wardrobe = Wardrobe(body)
    return [wardrobe.random_look(np.random.default_rng(seed)) for seed in range(14)]


def carried_by(body: BodyModel, *names: str) -> np.ndarray:
    carrier = body.weights.argmax(1).numpy()
    return np.isin(carrier, [INDEX[name] for name in names])


def test_numbers_are_sound(looks: list[Look], body: BodyModel) -> None:
    for look in looks:
        assert look.colours.shape == (len(body.v_template), 3)
        assert look.colours.dtype == look.offsets.dtype == np.float32
        assert look.colours.min() >= 0
        assert look.colours.max() <= 1
        assert look.offsets.min() >= 0
        assert 0.003 < look.offsets.max() < 0.08


def test_hands_and_nose_are_bare(looks: list[Look], body: BodyModel) -> None:
    hands = carried_by(body, "left_hand", "right_hand")
    assert body.landmark_vertices is not None
    nose = int(body.landmark_vertices[LANDMARK_INDEX["nose"]])
    assert hands.sum() > 100
    for look in looks:
        assert not look.offsets[hands].any()
        assert look.offsets[nose] == 0


def test_clothes_are_worn_and_differ(looks: list[Look], body: BodyModel) -> None:
    hips, chest = carried_by(body, "left_hip", "right_hip"), carried_by(body, "spine3")
    arms = carried_by(body, "left_elbow", "right_elbow")
    for look in looks:
        assert (look.offsets[hips] > 0).mean() > 0.4
        assert (look.offsets[chest] > 0).mean() > 0.9
    sleeves = [(look.offsets[arms] > 0).mean() for look in looks]
    assert min(sleeves) < 0.1  # short ones
    assert max(sleeves) > 0.8  # and long ones
    shirts = np.array([look.colours[chest].mean(0) for look in looks])
    assert shirts.std(0).min() > 0.05


def test_skin_has_the_colour_of_the_hands_all_over(looks: list[Look], body: BodyModel) -> None:
    hands = carried_by(body, "left_hand", "right_hand")
    wrists = carried_by(body, "left_wrist", "right_wrist")
    for look in looks:
        bare = wrists & (look.offsets == 0)
        if bare.sum() > 20:
            np.testing.assert_allclose(look.colours[bare].mean(0), look.colours[hands].mean(0), rtol=0.15)


def test_eyes_are_darker_than_the_face(looks: list[Look], body: BodyModel) -> None:
    assert body.landmark_vertices is not None
    nose = int(body.landmark_vertices[LANDMARK_INDEX["nose"]])
    for name in ("left_eye", "right_eye"):
        eye = int(body.landmark_vertices[LANDMARK_INDEX[name]])
        for look in looks:
            if look.offsets[eye] == 0:
                assert look.colours[eye].sum() < 0.8 * look.colours[nose].sum()


def test_a_seed_gives_a_look(looks: list[Look], body: BodyModel) -> None:
    again = Wardrobe(body).random_look(np.random.default_rng(3))
    np.testing.assert_array_equal(again.colours, looks[3].colours)
    np.testing.assert_array_equal(again.offsets, looks[3].offsets)
    assert (looks[3].colours != looks[4].colours).any()
