# SPDX-License-Identifier: Apache-2.0
"""What is filmed: held-out clips alone, every set-up, several bodies, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.errors import BadCall, BadInput
from fasthmr.evaluation.footage.cameras import SET_UPS, project
from fasthmr.evaluation.footage.plan import (
    IMAGE_SIZES,
    changing_boxes,
    choose_clips,
    other_bodies,
    plan_sequences,
    scene_of,
    truth_of,
)
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.training.mocap.packed import MocapSet
from tests.decoder.landmark_fit.synthetic import BODY
from tests.evaluation.filmed_walk import little_set


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> MocapSet:
    return little_set(tmp_path_factory.mktemp("mocap") / "set", 7, 60)


def test_only_held_out_clips_each_once(mocap: MocapSet) -> None:
    clips = choose_clips(mocap, 7, 30, 0)
    assert {clip.split for clip in clips} == {"test"}
    assert len({clip.name for clip in clips}) == 7
    assert len({clip.label for clip in choose_clips(mocap, 4, 30, 0)}) == 4  # activities take turns
    with pytest.raises(BadInput, match="fewer than 8"):
        choose_clips(mocap, 8, 30, 0)
    with pytest.raises(BadInput, match="fewer than 1"):
        choose_clips(mocap, 1, 61, 0)


def test_bodies_differ_and_are_plausible() -> None:
    bodies = other_bodies(0)
    assert len(bodies) >= 4
    assert np.abs(bodies).max() <= 1.6
    statures = [float(np.ptp(BODY.rest_vertices(torch.from_numpy(betas)).numpy()[:, 1])) for betas in bodies]
    assert max(statures) - min(statures) > 0.15
    assert 1.4 < min(statures) < max(statures) < 2.1


def test_plan_takes_turns_and_is_the_same_for_a_seed(mocap: MocapSet) -> None:
    planned = plan_sequences(mocap, BODY, 7, 1.0, 5)
    assert [sequence.shot.set_up for sequence in planned] == [SET_UPS[k % 3] for k in range(7)]
    assert len({sequence.performance.betas.tobytes() for sequence in planned}) >= 4
    assert len({sequence.name for sequence in planned}) == 7
    again = plan_sequences(mocap, BODY, 7, 1.0, 5)
    for one, two in zip(planned, again, strict=True):
        assert (one.name, one.clip) == (two.name, two.clip)
        np.testing.assert_array_equal(one.shot.camera_from_world, two.shot.camera_from_world)
        np.testing.assert_array_equal(one.performance.joints, two.performance.joints)
        np.testing.assert_array_equal(one.place.props, two.place.props)
    other = plan_sequences(mocap, BODY, 7, 1.0, 6)
    assert any(one.clip != two.clip for one, two in zip(planned, other, strict=True))
    for sequence in planned:
        assert len(sequence.performance.pelvis) == 30
        assert sequence.shot.image_size == IMAGE_SIZES[sequence.shot.set_up]


def test_senseless_plans_are_refused(mocap: MocapSet) -> None:
    for count, seconds in ((0, 1.0), (1, 0.0)):
        with pytest.raises(BadCall):
            plan_sequences(mocap, BODY, count, seconds)


def test_truth_is_valid_and_lies_in_the_picture(mocap: MocapSet, tmp_path: Path) -> None:
    for sequence in plan_sequences(mocap, BODY, 3, 1.0, 1):
        arrays = truth_of(sequence)
        names = {name: arrays[name] for name in arrays if name not in ("clip", "set_up", "frame_rate")}
        truth = GroundTruth(str(arrays["clip"]), str(arrays["set_up"]), 30.0, **names)
        truth.save(tmp_path / f"{sequence.name}.truth.npz")
        world, _ = truth.joints_world(BODY)
        np.testing.assert_allclose(world, sequence.performance.joints, atol=2e-5)
        camera, _ = truth.joints(BODY)
        pixels, _ = project(world, truth.intrinsics, truth.camera_from_world)
        seen = camera @ truth.intrinsics.T
        np.testing.assert_allclose(seen[..., :2] / seen[..., 2:], pixels, atol=0.05)
        assert truth.visible.mean() > 0.9
        assert ((pixels > 0) & (pixels < truth.image_size)).mean() > 0.95


def test_boxes_hold_person_and_shadow(mocap: MocapSet) -> None:
    (sequence,) = plan_sequences(mocap, BODY, 1, 0.3, 1)
    scene = scene_of(sequence, BODY)
    boxes = scene["boxes"]
    width, height = scene["image_size"]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 2).all()
    sun = scene["sun"]
    vertices = scene["vertices"].astype(np.float64)
    for points in (vertices, vertices - vertices[..., 2:] / sun[2] * sun):
        pixels, _ = project(points, sequence.shot.intrinsics, sequence.shot.camera_from_world)
        inside = np.all((pixels >= boxes[:, None, :2]) & (pixels <= boxes[:, None, 2:]), axis=-1)
        seen = np.all((pixels >= 0) & (pixels <= (width, height)), axis=-1)
        assert inside[seen].all()
    np.testing.assert_array_equal(changing_boxes(scene["vertices"], sun, sequence.shot), boxes)


def test_scene_is_drawn_from_the_seed_alone(mocap: MocapSet) -> None:
    (sequence,) = plan_sequences(mocap, BODY, 1, 0.3, 1)
    one, two = scene_of(sequence, BODY), scene_of(sequence, BODY)
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])
        assert not np.asarray(array).dtype.hasobject
