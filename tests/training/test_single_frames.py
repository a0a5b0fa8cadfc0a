# SPDX-License-Identifier: Apache-2.0
"""People in single frames: mirrors, and what a detector makes of them."""

from __future__ import annotations

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.landmark_vertices import LANDMARK_JOINTS
from fasthmr.body.projection import directions, turn_from_forward
from fasthmr.encoder.landmark_tokens import READ
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.training import single_frames
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.errors import exact, usual
from fasthmr.training.single_frames import Frames, detected, mirrored, observed
from tests.training.tiny_people import FOCAL, SIZE, true_frames

COUNT = 6
LEFT_ANKLE, RIGHT_ANKLE = LANDMARK_INDEX["left_ankle"], LANDMARK_INDEX["right_ankle"]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def frames(body: BodyModel) -> Frames:
    return true_frames(body, COUNT, seed=3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def _always_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_frames, "_LOST", 0.0)
    monkeypatch.setattr(single_frames, "_HIDDEN", 0.0)


def pixels_of(frames: Frames) -> torch.Tensor:
    return FOCAL * frames.points[..., :2] / frames.points[..., 2:] + frames.intrinsics[:, None, :2, 2]


def test_a_mirror_shows_the_body_that_stands_in_it(body: BodyModel, frames: Frames) -> None:
    other = mirrored(frames, torch.ones(COUNT, dtype=torch.bool))
    width = SIZE[0]
    expected = pixels_of(frames)[:, list(LANDMARK_MIRROR)]
    expected[..., 0] = width - 1 - expected[..., 0]
    torch.testing.assert_close(pixels_of(other), expected, rtol=0, atol=1e-3)
    # The mirrored rotations pose the body so that its landmarks are the mirrored ones (those on joints
    # exactly, if the shape is symmetric: with no shape at all).
    plain = frames._replace(betas=torch.zeros_like(frames.betas))

    def marks_of(one: Frames) -> torch.Tensor:
        joints, turns = body.joints(one.rotations, one.betas)
        joints = joints - joints[:, :1] + one.pelvis[:, None]
        return BodyLandmarks(body).place(joints[:, None], turns[:, None], one.betas)[:, 0]

    before, marks = marks_of(plain), marks_of(mirrored(plain, torch.ones(COUNT, dtype=torch.bool)))
    turned = before[:, list(LANDMARK_MIRROR)] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(
        marks[:, list(LANDMARK_JOINTS)], turned[:, list(LANDMARK_JOINTS)], rtol=0, atol=5e-3
    )


def test_two_mirrors_show_what_is_and_only_those_asked_for_change(frames: Frames) -> None:
    which = torch.tensor([True, False] * 3)
    once = mirrored(frames, which)
    for name, one in once._asdict().items():
        before = getattr(frames, name)
        assert torch.equal(one[~which], before[~which]), name
        torch.testing.assert_close(getattr(mirrored(once, which), name), before, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("_always_found")
def test_a_detector_without_errors_sees_what_is(body: BodyModel, frames: Frames) -> None:
    in_sight = frames._replace(visible=torch.ones_like(frames.visible))
    image, world, visibility = detected(in_sight, exact(), generator())
    torch.testing.assert_close(image, pixels_of(frames), rtol=0, atol=1e-2)
    assert visibility.min() > 0.99
    view = turn_from_forward(directions(frames.squares[:, :2], frames.intrinsics[0]))
    for person in range(COUNT):
        hips = frames.points[person, [23, 24]].mean(0)
        for mark in range(33):
            expected = view[person].T @ (frames.points[person, mark] - hips)
            torch.testing.assert_close(world[person, mark], expected, rtol=0, atol=1e-4)
    batch = observed(in_sight, exact(), generator())
    torch.testing.assert_close(batch.marks, batch.landmarks[..., [0, 1, 3, 4, 5]], rtol=0, atol=1e-4)
    joints, _ = body.joints(batch.rotations, batch.betas)
    joints = joints - joints[:, [1, 2]].mean(1, keepdim=True)
    marks = list(LANDMARK_JOINTS)
    torch.testing.assert_close(joints[:, list(LANDMARK_JOINTS.values())], world[:, marks], rtol=0, atol=1e-3)
    # s times the distance is twice the focal length over the side; the pelvis lies where it lies.
    torch.testing.assert_close(batch.scale * frames.squares[:, 2], torch.full((COUNT,), 2 * FOCAL))
    torch.testing.assert_close(batch.pelvis.norm(dim=1), frames.pelvis.norm(dim=1))


@pytest.mark.usefixtures("_always_found")
def test_sides_are_exchanged_as_often_as_asked(frames: Frames) -> None:
    many = Frames(*(one[:1].expand(400, *one.shape[1:]) for one in frames))
    errors = exact()
    errors = type(errors)(**{**vars(errors), "swaps": torch.tensor([0.0, 0.5, 0.0])})
    image, _, _ = detected(many, errors, generator())
    truth = pixels_of(many)
    swapped = (image[:, LEFT_ANKLE] - truth[:, RIGHT_ANKLE]).norm(dim=-1) < 1e-2
    assert 0.25 < swapped.float().mean() < 0.45  # 0.5 a second, 0.7 seconds each
    arm = LANDMARK_INDEX["left_wrist"]
    assert (image[:, arm] - truth[:, arm]).norm(dim=-1).max() < 1e-2


def test_errors_are_of_the_size_asked_for_and_hidden_limbs_are_guessed(frames: Frames) -> None:
    many = Frames(*(one[:1].expand(600, *one.shape[1:]) for one in frames))
    many = many._replace(visible=torch.ones_like(many.visible))
    hidden = many._replace(visible=many.visible.clone())
    hidden.visible[:, LEFT_ANKLE] = False
    image, _, seen = detected(many, usual(), generator())
    guessed, _, unseen = detected(hidden, usual(), generator())
    error = (image - pixels_of(many))[:, LEFT_ANKLE].norm(dim=-1)
    error_hidden = (guessed - pixels_of(many))[:, LEFT_ANKLE].norm(dim=-1)
    assert error_hidden.mean() > 1.5 * error.mean()
    assert unseen[:, LEFT_ANKLE].mean() < 0.7 * seen[:, LEFT_ANKLE].mean()
    lost = seen.amax(1) == 0
    assert 0 < lost.float().mean() < 0.06


def test_the_same_seed_gives_the_same_errors(frames: Frames) -> None:
    one, same, other = (observed(frames, usual(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.landmarks, same.landmarks)
    assert not torch.equal(one.landmarks, other.landmarks)
    assert one.landmarks.shape == (COUNT, len(READ), 6)
    part = one.rows(slice(1, 3))
    assert torch.equal(part.betas, one.betas[1:3])
    assert part.crops is None
