# SPDX-License-Identifier: Apache-2.0
"""Every figure against a loop that follows its definition, and in cases whose figure is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fasthmr.body.skeleton import INDEX
from fasthmr.evaluation import metrics
from fasthmr.evaluation.alignment import fit_similarity
from fasthmr.evaluation.metrics import FOURTEEN_JOINTS, LIMB_JOINTS

HIPS = (INDEX["left_hip"], INDEX["right_hip"])


def people(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A wobbling body that walks, and an estimate of it; (T, 24, 3) each."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(24, 3)) * 0.5
    wobble = rng.normal(size=(frames, 24, 3)).cumsum(0) * 0.01
    truth = rest + wobble + np.linspace(0, 2, frames)[:, None, None] * np.array([1, 0.3, 0])
    return truth + rng.normal(size=truth.shape) * 0.03, truth


def length(vector: np.ndarray) -> float:
    return float(sum(value * value for value in vector) ** 0.5)


@pytest.mark.parametrize("selection", [tuple(range(24)), LIMB_JOINTS, FOURTEEN_JOINTS])
def test_mpjpe_follows_its_definition(selection: tuple[int, ...]) -> None:
    joints, truth = people(9)
    total = 0.0
    for frame in range(9):
        middle = (joints[frame, HIPS[0]] + joints[frame, HIPS[1]]) / 2
        true_middle = (truth[frame, HIPS[0]] + truth[frame, HIPS[1]]) / 2
        for joint in selection:
            total += length(joints[frame, joint] - middle - (truth[frame, joint] - true_middle))
    assert metrics.mpjpe(joints, truth, selection) == pytest.approx(1000 * total / 9 / len(selection))


def test_mpjpe_in_known_cases() -> None:
    _, truth = people(9)
    assert metrics.mpjpe(truth, truth) == 0
    assert metrics.mpjpe(truth + np.array([1, 2, 3]), truth) == pytest.approx(0, abs=1e-9)
    one = truth.copy()
    one[:, INDEX["head"]] += [0.024, 0, 0]
    assert metrics.mpjpe(one, truth) == pytest.approx(1.0)
    assert metrics.mpjpe(one, truth, LIMB_JOINTS) == pytest.approx(0, abs=1e-9)
    assert metrics.mpjpe(one, truth, FOURTEEN_JOINTS) == pytest.approx(24 / 14)
    assert np.isnan(metrics.mpjpe(truth[:0], truth[:0]))


def test_selections_are_limbs() -> None:
    names = {name for name, index in INDEX.items() if index in LIMB_JOINTS}
    wanted = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    assert names == {f"{side}_{part}" for side in ("left", "right") for part in wanted}
    assert set(FOURTEEN_JOINTS) == {*LIMB_JOINTS, INDEX["neck"], INDEX["head"]}


def test_pa_mpjpe_follows_its_definition_and_ignores_similarities() -> None:
    joints, truth = people(6)
    total = 0.0
    for frame in range(6):
        laid = fit_similarity(joints[frame], truth[frame]).apply(joints[frame])
        total += sum(length(laid[joint] - truth[frame, joint]) for joint in range(24))
    assert metrics.pa_mpjpe(joints, truth) == pytest.approx(1000 * total / 6 / 24)
    assert metrics.pa_mpjpe(joints, truth) < metrics.mpjpe(joints, truth)
    turned = 1.4 * truth @ Rotation.from_rotvec([0.3, 1, 2]).as_matrix().T + 5
    assert metrics.pa_mpjpe(turned, truth) == pytest.approx(0, abs=1e-8)
    assert metrics.mpjpe(turned, truth) > 100


def test_pve_lays_the_hips_onto_one_another() -> None:
    rng = np.random.default_rng(2)
    vertices = rng.normal(size=(5, 40, 3))
    hips, true_hips = rng.normal(size=(2, 5, 1, 3))
    truth = vertices - hips + true_hips
    assert metrics.pve(vertices, truth, hips, true_hips) == pytest.approx(0, abs=1e-9)
    truth[:, 7, 2] += 0.4
    assert metrics.pve(vertices, truth, hips, true_hips) == pytest.approx(1000 * 0.4 / 40)


@pytest.mark.parametrize("rate", [30.0, 24.0, 59.94])
def test_acceleration_error_follows_its_definition(rate: float) -> None:
    joints, truth = people(12)
    total, count = 0.0, 0
    for t in range(1, 11):
        for j in range(24):

            def place(points: np.ndarray, frame: int, joint: int = j) -> np.ndarray:
                return points[frame, joint] - (points[frame, HIPS[0]] + points[frame, HIPS[1]]) / 2

            a = place(joints, t - 1) - 2 * place(joints, t) + place(joints, t + 1)
            b = place(truth, t - 1) - 2 * place(truth, t) + place(truth, t + 1)
            total, count = total + length(a - b) * rate**2, count + 1
    assert metrics.acceleration_error(joints, truth, rate) == pytest.approx(total / count)


def test_acceleration_error_of_a_joint_that_falls() -> None:
    _, truth = people(20)
    times = np.arange(20) / 50
    falling = truth.copy()
    falling[:, INDEX["head"], 2] -= 9.81 / 2 * times**2
    assert metrics.acceleration_error(falling, truth, 50) == pytest.approx(9.81 / 24)


@pytest.mark.parametrize("rate", [30.0, 60.0])
def test_jitter_follows_its_definition(rate: float) -> None:
    joints, _ = people(10)
    total = sum(
        length(joints[t + 3, j] - 3 * joints[t + 2, j] + 3 * joints[t + 1, j] - joints[t, j])
        for t in range(7)
        for j in range(24)
    )
    assert metrics.jitter(joints, rate) == pytest.approx(total * rate**3 / 10 / 7 / 24)


def test_jitter_of_an_even_acceleration_is_nothing_and_of_a_cubic_known() -> None:
    times = np.arange(30) / 25
    path = np.tile(times[:, None, None] ** 2, (1, 24, 3))
    assert metrics.jitter(path, 25) == pytest.approx(0, abs=1e-6)
    cubic = np.zeros((30, 24, 3))
    cubic[..., 0] = 20 * times[:, None] ** 3
    assert metrics.jitter(cubic, 25) == pytest.approx(6 * 20 / 10)
    assert np.isnan(metrics.jitter(path[:3], 25))


def test_derivatives_skip_gaps() -> None:
    joints, truth = people(40)
    frames = np.r_[0:11, 20:33]
    whole = [metrics.jitter(joints[part], 30) for part in (slice(0, 11), slice(20, 33))]
    assert metrics.jitter(joints[frames], 30, frames) == pytest.approx((8 * whole[0] + 10 * whole[1]) / 18)
    parts = [
        metrics.acceleration_error(joints[part], truth[part], 30) for part in (slice(0, 11), slice(20, 33))
    ]
    found = metrics.acceleration_error(joints[frames], truth[frames], 30, frames)
    assert found == pytest.approx((9 * parts[0] + 11 * parts[1]) / 20)
    assert np.isnan(metrics.jitter(joints[:8], 30, np.arange(8) * 2))


@pytest.mark.parametrize("rate", [30.0, 60.0])
def test_foot_sliding_follows_its_definition(rate: float) -> None:
    rng = np.random.default_rng(8)
    steps = rng.normal(size=(25, 4, 3)) * rng.choice([0.001, 0.05], size=(25, 4, 1))
    truth = steps.cumsum(0)
    soles = truth + rng.normal(size=truth.shape) * 0.01
    ways = []
    for t in range(24):
        for foot in range(4):
            if length(truth[t + 1, foot] - truth[t, foot]) * rate / 30 < 0.01:
                ways.append(length(soles[t + 1, foot] - soles[t, foot]) * rate / 30)
    assert len(ways) not in (0, 96)
    assert metrics.foot_sliding(soles, truth, rate) == pytest.approx(1000 * np.mean(ways))


def test_foot_sliding_in_known_cases() -> None:
    stands = np.zeros((20, 4, 3))
    slides = stands.copy()
    slides[..., 0] = 0.003 * np.arange(20)[:, None]
    assert metrics.foot_sliding(slides, stands, 30) == pytest.approx(3)
    assert metrics.foot_sliding(slides, stands, 60) == pytest.approx(6)
    frames = np.arange(20) + np.where(np.arange(20) >= 10, 7, 0)
    slides[10:] += 1  # a jump over a gap is no sliding
    assert metrics.foot_sliding(slides, stands, 30, frames) == pytest.approx(3)
    runs = np.zeros((5, 4, 3))
    runs[..., 0] = np.arange(5)[:, None]
    assert np.isnan(metrics.foot_sliding(runs, runs, 30))


def test_stretches_take_100_frames_and_the_rest_joins_the_last() -> None:
    assert list(metrics.stretches(250, 30)) == [slice(0, 100), slice(100, 250)]
    assert list(metrics.stretches(200, 30)) == [slice(0, 100), slice(100, 200)]
    assert list(metrics.stretches(60, 30)) == [slice(0, 60)]
    assert list(metrics.stretches(400, 60)) == [slice(0, 200), slice(200, 400)]


@pytest.mark.parametrize(("figure", "by"), [(metrics.w_mpjpe100, 2), (metrics.wa_mpjpe100, 100)])
def test_world_figures_follow_their_definition(figure: object, by: int) -> None:
    joints, truth = people(200)
    total = 0.0
    for start in (0, 100):
        a, b = joints[start : start + 100], truth[start : start + 100]
        laid = fit_similarity(a[:by].reshape(-1, 3), b[:by].reshape(-1, 3)).apply(a.reshape(-1, 3))
        total += sum(length(row) for row in laid - b.reshape(-1, 3))
    assert callable(figure)
    assert figure(joints, truth) == pytest.approx(1000 * total / 200 / 24)


def test_world_figures_know_no_world_but_drift() -> None:
    _, truth = people(150)
    elsewhere = truth @ Rotation.from_rotvec([0, 0, 2]).as_matrix().T * 1.2 + [4, 5, 6]
    assert metrics.w_mpjpe100(elsewhere, truth) == pytest.approx(0, abs=1e-6)
    assert metrics.wa_mpjpe100(elsewhere, truth) == pytest.approx(0, abs=1e-6)
    drifting = truth + np.arange(150)[:, None, None] * [0.01, 0, 0]
    assert metrics.w_mpjpe100(drifting, truth) > metrics.wa_mpjpe100(drifting, truth) > 10
    assert np.isnan(metrics.w_mpjpe100(truth[:0], truth[:0]))


def test_rte_is_the_error_of_the_path_over_its_length() -> None:
    truth = np.zeros((101, 3))
    truth[:, 0] = np.linspace(0, 4, 101)
    turned = truth @ Rotation.from_rotvec([0.5, 1, 2]).as_matrix().T + 3
    assert metrics.rte(turned, truth) == pytest.approx(0, abs=1e-9)
    # a path of half the size: laid on by its middle it is off by 1 m at the ends, 0.5 m on average
    assert metrics.rte(truth / 2, truth) == pytest.approx(100 * np.abs(truth[:, 0] - 2).mean() / 2 / 4)
    assert np.isnan(metrics.rte(truth, truth * 0.01))


def test_coverage_counts_visible_frames() -> None:
    visible = np.array([1, 1, 1, 1, 0, 0], bool)
    recovered = np.array([1, 0, 1, 1, 1, 0], bool)
    assert metrics.coverage(visible, recovered) == 0.75
    assert np.isnan(metrics.coverage(np.zeros(3, bool), np.ones(3, bool)))
