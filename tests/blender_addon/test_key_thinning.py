# SPDX-License-Identifier: GPL-3.0-or-later
"""key_thinning.py: bounds hold frame by frame, and few keys are more than the fewest there can be.

What Blender itself makes of such keys is compared in test_cleaning.py.
"""

import itertools

import numpy as np
import pytest
from recover_motion.key_thinning import BoneCurves, slopes, thin_keys
from recover_motion.rotations import quat_from_rotvec, without_sign_jumps

KINDS = ["BEZIER", "LINEAR"]


def motion(count, seed=0, bones=3, cyclic=False, rough=0.0):
    """Joints that swing at several speeds, one that rests, and a root that walks."""
    random = np.random.default_rng(seed)
    time = np.arange(count)[:, None, None] / 30
    rates, phases = random.uniform(0.2, 1.5, (2, bones, 3))
    vectors = random.uniform(0.1, 0.8, (bones, 3)) * np.sin(2 * np.pi * rates * time + 6 * phases)
    vectors += random.normal(0, rough, vectors.shape)
    vectors[:, -1] = 0.3
    quats = without_sign_jumps(quat_from_rotvec(vectors))
    place = np.stack(
        [time[:, 0, 0], 0.05 * np.sin(6 * time[:, 0, 0]), 0.9 + 0.03 * np.sin(9 * time[:, 0, 0])], 1
    )
    return BoneCurves(quats, place, cyclic)


def between(values, tangents, start, end):
    """Blender's own form of a Bezier curve: four heights, the handles a third of the way along."""
    u, third = np.linspace(0, 1, end - start + 1)[:, None], (end - start) / 3
    low, high = values[start] + third * tangents[start], values[end] - third * tangents[end]
    rest = 1 - u
    return values[start] * rest**3 + 3 * low * u * rest**2 + 3 * high * u**2 * rest + values[end] * u**3


def lines(values, start, end):
    u = np.linspace(0, 1, end - start + 1)[:, None]
    return values[start] * (1 - u) + values[end] * u


def error(curves, tangents, kind, bone, start, end):
    """Degrees and metres at the worst frame of a span."""
    sides = [(curves.quats[:, bone], tangents[0][:, bone])] + [(curves.locations, tangents[1])] * (bone == 0)
    mixed = [between(v, t, start, end) if kind == "BEZIER" else lines(v, start, end) for v, t in sides]
    unit = mixed[0] / np.linalg.norm(mixed[0], axis=1, keepdims=True)
    true = curves.quats[start : end + 1, bone]
    difference = np.minimum(np.linalg.norm(unit - true, axis=1), np.linalg.norm(unit + true, axis=1))
    degrees = np.degrees(4 * np.arcsin(difference / 2)).max()
    metres = np.linalg.norm(mixed[1] - curves.locations[start : end + 1], axis=1).max() if bone == 0 else 0
    return degrees, metres


def fewest(curves, tangents, kind, bone, degrees, metres):
    """The least number of keys at all, by trying every pair of frames."""
    count = len(curves.quats)
    least = [0] + [count + 1] * (count - 1)
    for end in range(1, count):
        for start in range(end):
            if least[start] + 1 < least[end]:
                off = error(curves, tangents, kind, bone, start, end)
                if off[0] <= degrees and off[1] <= metres:
                    least[end] = least[start] + 1
    return least[-1] + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("degrees", "metres"), [(0.2, 0.002), (1.0, 0.005), (5.0, 0.05)])
@pytest.mark.parametrize("rough", [0.0, 0.01])
def test_bounds_hold_at_every_frame_and_what_is_reported_is_true(kind, degrees, metres, rough):
    curves = motion(700, 1, rough=rough)
    thinned = thin_keys(curves, degrees, metres, kind)
    worst = np.zeros(2)
    for bone, keys in enumerate(thinned.keys):
        assert keys[0] == 0
        assert keys[-1] == 699
        for start, end in itertools.pairwise(keys):
            tangents = (thinned.quat_slopes, thinned.location_slopes)
            worst = np.maximum(worst, error(curves, tangents, kind, bone, start, end))
    assert worst[0] <= degrees
    assert worst[1] <= metres
    assert thinned.degrees == pytest.approx(worst[0], abs=1e-4)
    assert thinned.metres == pytest.approx(worst[1], abs=5e-6)  # keys are float32, the root goes 23 m
    assert thinned.count == sum(len(keys) for keys in thinned.keys) < 3 * 700


@pytest.mark.parametrize("kind", KINDS)
def test_hardly_more_keys_than_the_fewest(kind):
    least = found = 0
    for seed in range(4):
        curves = motion(45, seed, rough=0.003)
        thinned = thin_keys(curves, 1.5, 0.02, kind)
        tangents = (thinned.quat_slopes, thinned.location_slopes)
        for bone in range(2):
            few, many = fewest(curves, tangents, kind, bone, 1.5, 0.02), len(thinned.keys[bone])
            assert few <= many <= few + 2
            least, found = least + few, found + many
    assert found <= 1.12 * least


@pytest.mark.parametrize("kind", KINDS)
def test_borders_of_stretches_cost_little(kind):
    """A clip of 2000 frames is searched in 8 stretches; they leave no trace where a bone rests."""
    curves = motion(2000, 4, bones=4)
    thinned = thin_keys(curves, 1.0, 0.01, kind)
    assert thinned.keys[-1].tolist() == [0, 1999]
    parts = [
        BoneCurves(curves.quats[a : a + 201], curves.locations[a : a + 201]) for a in range(0, 1999, 200)
    ]
    alone = sum(thin_keys(part, 1.0, 0.01, kind).count for part in parts)
    assert thinned.count < alone


@pytest.mark.parametrize("kind", KINDS)
def test_smaller_bounds_need_more_keys(kind):
    counts = [thin_keys(motion(400, 5), bound, 0.1, kind).count for bound in (0.1, 0.3, 1, 3, 10)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 256, 257, 258])
def test_any_length(kind, count):
    thinned = thin_keys(motion(count), 1.0, 0.01, kind)
    for keys in thinned.keys:
        assert keys[0] == 0
        assert keys[-1] == count - 1
        assert len(np.unique(keys)) == len(keys)


def test_a_joint_that_goes_around_is_not_cut_short():
    """Two whole turns end where they began: without keys between, nothing would move."""
    angle = np.linspace(0, 4 * np.pi, 121)
    quats = without_sign_jumps(quat_from_rotvec(angle[:, None, None] * np.array([[0.0, 0.0, 1.0]])))
    for kind in KINDS:
        thinned = thin_keys(BoneCurves(quats, np.zeros((121, 3))), 2.0, 0.01, kind)
        assert thinned.degrees <= 2.0
        assert len(thinned.keys[0]) >= 4


def test_slopes_are_of_a_parabola_through_five_frames():
    values = np.random.default_rng(7).normal(size=(20, 2))
    found = slopes(values)
    for frame in range(2, 18):
        fit = np.polyfit(np.arange(-2, 3), values[frame - 2 : frame + 3], 2)
        np.testing.assert_allclose(found[frame], fit[1], atol=1e-12)
    line = np.arange(6.0)[:, None] * [2.0, -1.0]
    np.testing.assert_allclose(slopes(line), np.broadcast_to([2.0, -1.0], (6, 2)))


def test_slopes_of_a_loop_meet_over_its_seam():
    """Also where the quaternion comes back on its other side, after one turn."""
    angle = np.linspace(0, 2 * np.pi, 25)
    quats = without_sign_jumps(quat_from_rotvec(angle[:, None] * np.array([0.0, 1.0, 0.0])))
    np.testing.assert_allclose(quats[-1], -quats[0], atol=1e-12)
    twice = np.concatenate([quats, -quats[1:]])
    found = slopes(quats, cyclic=True, side=-1.0)
    np.testing.assert_allclose(found[-1], -found[0], atol=1e-12)
    np.testing.assert_allclose(found[-2:], slopes(twice)[23:25], atol=1e-12)
    thinned = thin_keys(BoneCurves(quats[:, None], np.zeros((25, 3)), cyclic=True), 1.0, 0.01, "BEZIER")
    np.testing.assert_allclose(thinned.quat_slopes[-1], -thinned.quat_slopes[0], atol=1e-6)
