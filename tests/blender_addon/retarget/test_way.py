# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a character's hips go, and what carries it across the floor."""

import bpy  # noqa: F401 (the package imports it)
import numpy as np
import pytest
from recover_motion.retarget.options import Options
from recover_motion.retarget.source_motion import SourceMotion
from recover_motion.retarget.way import carried, find_way, headings_of, where_target_stands
from recover_motion.rotations import matrix_from_rotvec, quat_from_rotvec, quat_multiply
from recover_motion.skeleton import INDEX

COUNT = 90
FPS = 30.0
LEG = 0.9


def walker(seed: int = 0, floor: float = 0.0, turn: float = 1.2) -> SourceMotion:
    """A figure whose hips go along a curve and up and down; it turns by `turn` radians."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, COUNT)
    hips = np.stack(
        [2 + np.sin(2 * time), -1 - 2 * time, floor + LEG - 0.05 + 0.03 * np.sin(20 * time)], axis=1
    )
    rest = random.normal(size=(24, 3))
    rest[INDEX["left_hip"]], rest[INDEX["right_hip"]] = [0.1, 0, LEG], [-0.1, 0, LEG]
    turns = np.tile([1.0, 0, 0, 0], (COUNT, 24, 1))
    heading = quat_from_rotvec(turn * time[:, None] * np.array([0, 0, 1.0]))
    lean = quat_from_rotvec(0.4 * np.sin(9 * time)[:, None] * np.array([1.0, 0.2, 0]))
    turns[:, 0] = quat_multiply(heading, lean)
    joints = np.repeat(hips[:, None], 24, axis=1)
    joints[:, INDEX["left_hip"], 0] += 0.1
    joints[:, INDEX["right_hip"], 0] -= 0.1
    return SourceMotion(
        np.arange(COUNT), turns, joints, rest, rest + 0.1, np.zeros((COUNT, 2, 3, 3)), LEG, np.eye(3)
    )


def hips_of(source: SourceMotion) -> np.ndarray:
    return source.joints[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(axis=1)


def test_same_legs_go_the_same_way() -> None:
    source = walker()
    np.testing.assert_allclose(find_way(source, LEG, Options(), FPS).hips, hips_of(source), atol=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.4])
def test_legs_of_half_the_length_make_steps_of_half_the_length(floor: float) -> None:
    source = walker(floor=floor)
    way = find_way(source, LEG / 2, Options(floor=floor), FPS)
    was = hips_of(source)
    assert way.scale == pytest.approx(0.5)
    np.testing.assert_allclose(way.hips[0, :2], was[0, :2])
    np.testing.assert_allclose(np.diff(way.hips[:, :2], axis=0), np.diff(was[:, :2], axis=0) / 2, atol=1e-12)
    np.testing.assert_allclose(way.hips[:, 2] - floor, (was[:, 2] - floor) / 2)


def test_way_that_is_not_scaled_still_stands_on_the_floor() -> None:
    source = walker()
    way = find_way(source, LEG / 2, Options(scale="NONE"), FPS)
    np.testing.assert_allclose(way.hips[:, :2], hips_of(source)[:, :2])
    np.testing.assert_allclose(way.hips[:, 2], hips_of(source)[:, 2] / 2)
    way = find_way(source, LEG / 2, Options(scale="FACTOR", factor=3.0), FPS)
    np.testing.assert_allclose(np.diff(way.hips[:, :2], axis=0), 3 * np.diff(hips_of(source)[:, :2], axis=0))


def test_heights_are_kept_in_metres() -> None:
    source = walker()
    way = find_way(source, LEG / 2, Options(heights="KEPT"), FPS)
    np.testing.assert_allclose(np.diff(way.hips[:, 2]), np.diff(hips_of(source)[:, 2]), atol=1e-12)
    assert way.hips[:, 2].mean() == pytest.approx(hips_of(source)[:, 2].mean() - LEG / 2)


def test_in_place_keeps_heights() -> None:
    source = walker()
    way = find_way(source, LEG, Options(in_place="FULL"), FPS)
    assert np.ptp(way.hips[:, :2], axis=0).max() == 0
    np.testing.assert_allclose(way.hips[:, 2], hips_of(source)[:, 2])


def test_carrier_stays_on_the_floor_under_the_hips_and_turns_with_them() -> None:
    source = walker()
    way = find_way(source, LEG, Options(), FPS)
    np.testing.assert_array_equal(way.carrier[:, 2], 0)
    assert np.abs(way.carrier[10:-10, :2] - way.hips[10:-10, :2]).max() < 0.03
    np.testing.assert_array_equal(way.headings[:, 1:3], 0)
    assert headings_of(way.headings)[-1] - headings_of(way.headings)[0] == pytest.approx(1.2, abs=0.1)


def test_headings_do_not_jump_after_a_whole_turn() -> None:
    angle = np.linspace(0, 20, 200)
    found = headings_of(quat_from_rotvec(angle[:, None] * np.array([0, 0, 1.0])))
    np.testing.assert_allclose(found, angle, atol=1e-9)


def test_carrier_beside_the_hips_circles_about_them() -> None:
    way = find_way(walker(), LEG, Options(), FPS)
    offset = np.array([0.3, 0.0, 0.05])
    places, turns = carried(way, offset, np.array([1.0, 0, 0, 0]))
    np.testing.assert_allclose(np.linalg.norm((places - way.carrier)[:, :2], axis=1), 0.3)
    np.testing.assert_allclose(places[:, 2], 0.05)
    np.testing.assert_allclose(turns, way.headings)


@pytest.mark.parametrize("seed", range(3))
def test_motion_begins_where_the_target_stands_and_as_it_faces(seed: int) -> None:
    source = walker(seed)
    heading = np.random.default_rng(seed).uniform(-3, 3)
    towards = matrix_from_rotvec(
        np.array([0, 0, -heading])
    )  # the target faces `heading` away from the source
    hips = np.array([5.0, -7.0, 0.4])
    moved = where_target_stands(source, towards, hips)
    np.testing.assert_allclose(hips_of(moved)[0], [5, -7, hips_of(source)[0, 2]])
    assert headings_of(moved.turns[:1, 0])[0] == pytest.approx(
        0, abs=1e-9
    )  # away from a rest that is turned too
    np.testing.assert_allclose(moved.axes, towards.T, atol=1e-9)
    far = np.linalg.norm(np.diff(hips_of(source), axis=0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(hips_of(moved), axis=0), axis=1), far)
