# SPDX-License-Identifier: GPL-3.0-or-later
"""easing.py: against naive implementations; nothing jumps, nothing needed is left out."""

import numpy as np
import pytest
from recover_motion.retarget.easing import faded, frames_to, kept_above, runs, slopes


def test_runs():
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == []
    assert runs(np.zeros(0, bool)) == []


def test_slopes_are_those_of_fitted_lines():
    random = np.random.default_rng(0)
    values = random.normal(size=(20, 5, 3))
    there = np.ones((20, 5), bool)
    there[::2, :2] = False
    found = slopes(values, there)
    for number in range(20):
        frames = np.flatnonzero(there[number])
        line = np.polyfit(frames, values[number, frames], 1)[0]
        np.testing.assert_allclose(found[number], line, atol=1e-12)
    alone = np.zeros((1, 3), bool)
    alone[0, 1] = True
    assert not slopes(np.ones((1, 3, 2)), alone).any()  # one frame has no slope


def test_frames_to():
    random = np.random.default_rng(1)
    mask = random.uniform(size=60) < 0.1
    places = np.flatnonzero(mask)
    naive = [min(abs(frame - place) for place in places) for frame in range(60)]
    np.testing.assert_array_equal(frames_to(mask), naive)
    assert (frames_to(np.zeros(5, bool)) > 1e6).all()


def test_what_holds_in_spans_holds_there_and_nothing_far_from_them():
    values = np.random.default_rng(2).normal(size=(60, 3))
    spans = [(10, 20), (45, 50)]
    out = faded(values, spans, np.zeros((2, 2, 3)), 6)
    for start, end in spans:
        np.testing.assert_array_equal(out[start:end], values[start:end])
    assert not out[:4].any()
    assert not out[27:38].any()
    assert not out[57:].any()


@pytest.mark.parametrize("gap", [2, 5, 9, 14, 30])
def test_values_and_slopes_go_on(gap):
    """At 50 times as many frames, where a jump or a kink would stand out of the second differences."""
    fine = 50
    time = np.arange(300 * fine) / fine
    values = np.stack([np.sin(time / 7), np.cos(time / 9)], axis=1)
    spans = [(100 * fine, 120 * fine), ((120 + gap) * fine, 150 * fine)]
    rates = np.stack([np.cos(time / 7) / 7, -np.sin(time / 9) / 9], axis=1) / fine
    changes = np.array([[rates[start], rates[end - 1]] for start, end in spans])
    out = faded(values, spans, changes, 6 * fine)
    assert np.abs(np.diff(out, axis=0)).max() * fine < 1.5
    assert np.abs(np.diff(out, 2, axis=0)).max() * fine**2 < 4  # a kink of 0.1 a frame would have 5


def test_needs_are_met_gently():
    random = np.random.default_rng(3)
    need = np.where(random.uniform(size=300) < 0.03, random.uniform(0, 1, 300), 0)
    curve = kept_above(need, 10)
    assert (curve >= need).all()
    assert curve.max() <= need.max() + 1e-12
    assert np.abs(np.diff(curve)).max() < 0.3 * need.max()
    far = frames_to(need > 0) > 10
    assert far.any()
    assert not curve[far].any()
    assert not kept_above(np.zeros(20), 10).any()


def test_where_frames_are_held_the_need_itself_stays():
    need = np.zeros(100)
    need[40:50] = 1.0
    held = np.zeros(100, bool)
    held[50:60] = True
    curve = kept_above(need, 12, held)
    assert not curve[held].any()
    assert (curve >= need).all()
    assert curve[38] > 0.5  # on the other side it rises before the need
    assert curve[61] < 0.05


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_any_frames(count):
    values = np.ones((count, 3))
    np.testing.assert_array_equal(faded(values, [(0, count)], np.zeros((1, 2, 3)), 6), values)
    assert (kept_above(np.ones(count), 8) >= 1).all()
    assert (kept_above(np.ones(count), 8, np.ones(count, bool)) == 1).all()
