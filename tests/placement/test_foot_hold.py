# SPDX-License-Identifier: Apache-2.0
"""The correction of a path: against a dense solve, and on feet whose slip is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from fasthmr.placement.foot_hold import Deviations, bounded, hold_soles

FREE = np.eye(3)  # a correction of metres costs nothing
LOOSE = Deviations(acceleration=1e3)


def stepping(frames: int, slip: float, frame_rate: float = 30.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two soles that stand in turn while the whole path drifts: soles, planted, the drift."""
    times = np.arange(frames) / frame_rate
    drift = slip * np.stack([times, np.sin(3 * times), 0 * times], axis=1)
    first = (times % 1.0) < 0.5
    planted = np.stack([first, ~first], axis=1).astype(np.float64)
    # While a sole stands it keeps its place; the other one swings in an arc.
    place = np.floor(times)[:, None] + np.array([0.0, 0.5])
    height = 0.1 * np.abs(np.sin(2 * np.pi * times))[:, None] * (1 - planted)
    soles = np.stack([place, 0 * place + [0.1, -0.1], height], axis=2)
    soles[:, :, 0] += (1 - planted) * 0.3 * np.sin(2 * np.pi * times)[:, None]
    return soles + drift[:, None], planted, drift


def sliding(soles: np.ndarray, planted: np.ndarray) -> float:
    both = np.minimum(planted[1:], planted[:-1]) > 0.5
    return float(np.linalg.norm(np.diff(soles, axis=0), axis=2)[both].mean())


@pytest.mark.parametrize("frame_rate", [12.0, 30.0, 60.0])
def test_standing_soles_stand(frame_rate: float) -> None:
    soles, planted, _ = stepping(int(4 * frame_rate), 0.1, frame_rate)
    times = np.arange(len(soles)) / frame_rate
    correction = hold_soles(soles, planted, times, np.broadcast_to(FREE, (len(soles), 3, 3)))
    before, after = sliding(soles, planted), sliding(soles + correction[:, None], planted)
    assert before > 5 * after
    # What is added is smooth: no second difference beyond what the drift itself has.
    assert np.abs(np.diff(correction, 2, axis=0)).max() * frame_rate**2 < 3.0


def test_the_minimum_is_the_minimum() -> None:
    """The energy written out frame by frame, minimised by a general optimiser, without the robust rounds."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.05, 9))
    soles = rng.normal(0, 0.05, (9, 2, 3))
    planted = rng.uniform(0, 1, (9, 2))
    information = np.stack([np.diag(rng.uniform(1e2, 1e3, 3)) for _ in times])
    likely = Deviations(velocity=0.3, acceleration=5.0, sliding=1e6)

    def energy(flat: np.ndarray) -> float:
        c = flat.reshape(9, 3)
        total = 0.0
        for t in range(9):
            span = (times[min(t + 1, 8)] - times[max(t - 1, 0)]) / (2 if 0 < t < 8 else 1)
            total += span * c[t] @ information[t] @ c[t]
        for t in range(8):
            step = times[t + 1] - times[t]
            for k in range(2):
                velocity = (soles[t + 1, k] + c[t + 1] - soles[t, k] - c[t]) / step
                weight = min(planted[t, k], planted[t + 1, k])
                total += step * weight * velocity @ velocity / 0.3**2
        for t in range(1, 8):
            before, after = times[t] - times[t - 1], times[t + 1] - times[t]
            mean = 0.5 * (before + after)
            second = ((c[t + 1] - c[t]) / after - (c[t] - c[t - 1]) / before) / mean
            total += mean * second @ second / 5.0**2
        return total

    found = hold_soles(soles, planted, times, information, likely, with_floor=False)
    # np.gradient weights uneven steps its own way; the spans are those of the ends and of halves between.
    best = minimize(energy, np.zeros(27), method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15})
    scale = np.abs(found).max()
    assert scale > 1e-3
    np.testing.assert_allclose(found, best.x.reshape(9, 3), atol=0.02 * scale)


def test_soles_come_to_the_floor_and_out_of_it_but_stay_on_a_box() -> None:
    frames = 120
    times = np.arange(frames) / 30
    soles = np.zeros((frames, 1, 3))
    information = np.broadcast_to(np.eye(3) / 0.05**2, (frames, 3, 3))
    for height, planted, expected in (
        (0.03, 1.0, 0.0),
        (-0.03, 0.0, 0.0),
        (0.03, 0.0, 0.03),
        (0.5, 1.0, 0.5),
    ):
        soles[..., 2] = height
        correction = hold_soles(soles, np.full((frames, 1), planted), times, information)
        middle = height + correction[30:90, 2]
        assert np.abs(middle - expected).max() < 0.006, (height, planted)


def test_a_sole_that_races_is_not_believed_to_stand() -> None:
    frames = 90
    times = np.arange(frames) / 30
    soles = np.zeros((frames, 1, 3))
    soles[..., 0] = 3.0 * times[:, None]
    information = np.broadcast_to(np.eye(3) / 0.02**2, (frames, 3, 3))
    correction = hold_soles(soles, np.ones((frames, 1)), times, information)
    assert np.abs(correction).max() < 0.05


def test_what_the_picture_shows_is_kept() -> None:
    soles, planted, _ = stepping(120, 0.1)
    stiff = np.eye(3) / 0.001**2
    stiff[0, 0] = 1.0
    correction = hold_soles(soles, planted, np.arange(120) / 30, np.broadcast_to(stiff, (120, 3, 3)))
    assert np.abs(correction[:, 0]).max() > 0.1
    assert np.abs(correction[:, 1]).max() < 0.03


def test_very_short_clips() -> None:
    for frames in (0, 1, 2):
        times = np.arange(frames) / 30
        soles, planted = np.zeros((frames, 4, 3)), np.ones((frames, 4))
        assert hold_soles(soles, planted, times, np.zeros((frames, 3, 3))).shape == (frames, 3)


def test_bounds() -> None:
    correction = np.array([[1e-9, 0, 0], [0.001, 0, 0], [0, 5.0, 0], [0, 0, 0]])
    found = bounded(correction, 0.05)
    np.testing.assert_allclose(found[:2], correction[:2], rtol=1e-3)
    np.testing.assert_allclose(found[2], [0, 0.05, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[3], 0)
