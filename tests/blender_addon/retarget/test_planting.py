# SPDX-License-Identifier: GPL-3.0-or-later
"""planting.py: feet that stand still, on the floor, bones as long as before and knees without pops."""

from dataclasses import replace

import numpy as np
import pytest
from recover_motion.leg_pose import turned
from recover_motion.retarget.contacts import Contacts, find_contacts
from recover_motion.retarget.easing import runs
from recover_motion.retarget.legs import LegMotion, Soles, rolling_soles, sole_points
from recover_motion.retarget.planting import plant_feet
from recover_motion.rotations import quat_from_rotvec, quat_inverse, quat_multiply, rotvec_from_quat
from walking_legs import RUN, WALK, Figure, gait, noisy, posed

FPS = 30.0
MAN = Figure()
CARTOON = Figure(thigh=0.12, shin=0.13, ankle=0.05, heel=0.05, ball=0.1, toe=0.05)
STIFF = Figure(has_toes=False)
HEELS = Figure(raised=0.015)
FIGURES = {"man": MAN, "cartoon": CARTOON, "no toe bones": STIFF, "raised heels": HEELS}


def contacts_of(down):
    return Contacts(down[..., 0], down[..., 1])


def found(motion, figure, mode="AUTOMATIC", fps=FPS):
    return find_contacts(sole_points(motion, figure.soles), fps, mode)


def plant(motion, figure, contacts=None, mode="AUTOMATIC", fps=FPS):
    """The planted motion, after all that must hold for any has been checked: floor, lengths, turns."""
    if contacts is None and mode != "FLOOR":
        contacts = found(motion, figure, mode, fps)
    planted = plant_feet(motion, figure.soles, contacts, mode, 0.0, fps)
    after = planted.motion
    for name in ("hip", "knee", "ankle", "thigh", "shin", "foot", "toe"):
        assert np.isfinite(getattr(after, name)).all(), name
    np.testing.assert_allclose(length(after.knee - after.hip), length(motion.knee - motion.hip), atol=1e-9)
    np.testing.assert_allclose(
        length(after.ankle - after.knee), length(motion.ankle - motion.knee), atol=1e-9
    )
    np.testing.assert_allclose(after.hip, motion.hip + planted.root_shift[:, None], atol=1e-12)
    # the turns are what put the joints there
    upper = turned(quat_inverse(motion.thigh), motion.knee - motion.hip)
    lower = turned(quat_inverse(motion.shin), motion.ankle - motion.knee)
    np.testing.assert_allclose(after.hip + turned(after.thigh, upper), after.knee, atol=1e-6)
    np.testing.assert_allclose(after.knee + turned(after.shin, lower), after.ankle, atol=1e-6)
    if planted.missed < 1e-4:
        assert points_of(after, figure)[..., 2].min() > -1e-3
    return planted


def points_of(motion, figure):
    return sole_points(motion, rolling_soles(figure.soles, figure.has_toes))


def worst(planted, figure):
    """The farthest that a point moves while it stands, and is from the floor; the number of spans."""
    points = points_of(planted.motion, figure)
    moved, off, count = 0.0, 0.0, 0
    for side in (0, 1):
        for part, bit in ((0, 1), (1, 2)):
            for start, end in runs((planted.places[side].state & bit) > 0):
                span = points[start:end, side, part]
                moved = max(moved, length(span[:, :2] - span[:1, :2]).max())
                off, count = max(off, np.abs(span[:, 2]).max()), count + 1
    return moved, off, count


def length(vectors):
    return np.linalg.norm(vectors, axis=-1)


def knee_angles(motion):
    one, other = motion.knee - motion.hip, motion.ankle - motion.knee
    return np.arctan2(length(np.cross(one, other)), np.sum(one * other, axis=-1))


def knee_jerks(motion, fps=FPS):
    """Angular accelerations of the knees, degrees per second squared."""
    return np.degrees(np.abs(np.diff(knee_angles(motion), 2, axis=0))) * fps**2


def foot_jerks(motion, fps=FPS):
    """Angular accelerations of the feet, degrees per second squared."""
    turn = rotvec_from_quat(quat_multiply(motion.foot[1:], quat_inverse(motion.foot[:-1])))
    return np.degrees(length(np.diff(turn, axis=0))) * fps**2


def standing(figure=MAN, count=60, low=0.9):
    hips = np.zeros((count, 2, 3))
    hips[..., 0] = [figure.apart, -figure.apart]
    hips[..., 2] = low * figure.leg + figure.ankle
    still = np.zeros((count, 2, 4))
    still[..., 0] = 1
    ankle = hips * [1, 1, 0] + [0, 0, figure.ankle]
    return hips, still, ankle


# --- what is planted stands


@pytest.mark.parametrize("how", [WALK, RUN])
@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("seed", range(3))
def test_feet_stand_still_on_the_floor(how, figure, seed):
    motion, down = gait(figure, how)
    planted = plant(noisy(motion, figure.leg / 0.85, seed), figure, contacts_of(down))
    moved, off, count = worst(planted, figure)
    assert count > 12
    assert moved < 1e-3
    assert off < 1e-3
    assert planted.missed < 1e-4


@pytest.mark.parametrize("how", [WALK, RUN])
def test_a_clean_motion_with_known_contacts_stays_as_it_is(how):
    motion, down = gait(how=how)
    planted = plant(motion, MAN, contacts_of(down))
    assert length(planted.motion.ankle - motion.ankle).max() < 1e-4
    assert length(planted.motion.knee - motion.knee).max() < 1e-4
    assert np.abs(planted.root_shift).max() < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_places_are_where_the_feet_stood_before_the_noise(seed):
    """Drift of 3 cm is in the figures: places come out within that of the true ones."""
    motion, down = gait()
    planted = plant(noisy(motion, 1.0, seed), MAN, contacts_of(down))
    true = sole_points(motion, MAN.soles)
    off = length(points_of(planted.motion, MAN) - true)[..., :2][down]
    assert np.median(off) < 0.025
    assert off.max() < 0.06


def test_heel_and_ball_are_points_of_one_foot():
    motion, down = gait()
    places = plant(noisy(motion), MAN, contacts_of(down)).places
    for side in (0, 1):
        flat = places[side].state == 3
        apart = length(places[side].ball - places[side].heel)[flat]
        np.testing.assert_allclose(apart, MAN.heel + MAN.ball, atol=1e-9)
        steps = places[side].steps()
        assert len(steps) > 4
        for start, end in steps:
            for part, bit in ((places[side].heel, 1), (places[side].ball, 2)):
                there = (places[side].state[start:end] & bit) > 0
                if there.any():
                    assert np.ptp(part[start:end][there], axis=0).max() < 1e-9


def test_a_flat_foot_is_flat_though_the_motion_tips_it():
    hips, still, ankle = standing()
    tipped = quat_multiply(quat_from_rotvec(np.array([0.1, 0.15, 0.3])), still)
    planted = plant(posed(MAN, hips, tipped, tipped, ankle), MAN)
    turn = rotvec_from_quat(planted.motion.foot)
    assert np.abs(turn[..., :2]).max() < 1e-9
    assert np.abs(turn[..., 2] - 0.3).max() < 0.05
    assert np.abs(points_of(planted.motion, MAN)[..., 2]).max() < 1e-9


# --- no pops


@pytest.mark.parametrize("how", [WALK, RUN])
@pytest.mark.parametrize("seed", range(4))
def test_knees_and_feet_do_not_pop(how, seed):
    """All but one in a thousand accelerations are under 1.5 times the clean motion's; none is a spike."""
    clean, down = gait(how=how, count=300)
    motion = noisy(clean, 1.0, seed)
    for contacts in (contacts_of(down), found(motion, MAN)):
        after = plant(motion, MAN, contacts).motion
        for jerks in (knee_jerks, foot_jerks):
            assert np.quantile(jerks(after), 0.999) < 1.5 * np.quantile(jerks(clean), 0.999)
            assert jerks(after).max() < 2 * jerks(motion).max()


@pytest.mark.parametrize("seed", range(3))
def test_places_and_speeds_go_on_at_the_edges_of_spans(seed):
    """Ankles leave and come to their places without jumps: accelerations stay those of a walk."""
    clean, down = gait(count=300)
    motion = noisy(clean, 1.0, seed)
    after = plant(motion, MAN, contacts_of(down)).motion

    def jolts(of):
        return length(np.diff(of.ankle, 2, axis=0)) * FPS**2

    assert jolts(after).max() < 1.3 * jolts(motion).max()


def test_legs_do_not_snap_straight_where_feet_must_reach():
    """Feet 2 cm under where the motion has them, with legs as good as straight at each step's end."""
    clean, down = gait(how=replace(WALK, low=0.915), count=300)
    motion = replace(
        clean, **{name: getattr(clean, name) + np.array([0, 0, 0.02]) for name in ("hip", "knee", "ankle")}
    )
    planted = plant(motion, MAN, contacts_of(down))
    assert planted.missed < 1e-4
    assert planted.root_shift[:, 2].min() > -0.03
    assert np.degrees(knee_angles(planted.motion)).min() > 12
    assert np.quantile(knee_jerks(planted.motion), 0.999) < 2 * np.quantile(knee_jerks(clean), 0.999)


# --- what must not matter


def turned_round(motion, soles, angle, way):
    """The same motion of the same figure elsewhere and facing elsewhere, the figure at rest as before."""
    turn = quat_from_rotvec(np.array([0, 0, angle]))
    places = {name: turned(turn, getattr(motion, name)) + way for name in ("hip", "knee", "ankle")}
    turns = {name: quat_multiply(turn, getattr(motion, name)) for name in ("thigh", "shin", "foot", "toe")}
    return LegMotion(**places, **turns, has_toes=motion.has_toes), soles, turn


@pytest.mark.parametrize("angle", [0.7, 3.0, -1.9])
def test_place_and_heading_in_the_world_do_not_matter(angle):
    motion = noisy(gait()[0])
    planted = plant(motion, MAN)
    way = np.array([5.0, -3.0, 0.0])
    other, soles, turn = turned_round(motion, MAN.soles, angle, way)
    also = plant_feet(other, soles, found(other, MAN), "AUTOMATIC", 0.0, FPS)
    np.testing.assert_allclose(turned(turn, planted.motion.knee) + way, also.motion.knee, atol=1e-6)
    np.testing.assert_allclose(turned(turn, planted.motion.ankle) + way, also.motion.ankle, atol=1e-6)
    np.testing.assert_allclose(planted.root_shift, also.root_shift, atol=1e-6)


def test_the_floor_may_be_anywhere():
    motion = noisy(gait()[0])
    up = np.array([0, 0, 1.7])
    higher = replace(motion, hip=motion.hip + up, knee=motion.knee + up, ankle=motion.ankle + up)
    planted = plant(motion, MAN)
    also = plant_feet(higher, MAN.soles, found(higher, MAN), "AUTOMATIC", 1.7, FPS)
    np.testing.assert_allclose(planted.motion.ankle + up, also.motion.ankle, atol=1e-6)


def mirrored(array):
    """Places or turns with left and right changed over, seen in a mirror."""
    flip = [-1.0, 1, 1] if array.shape[-1] == 3 else [1.0, 1, -1, -1]
    return array[:, ::-1] * flip


def test_a_mirror_image_is_planted_as_a_mirror_image():
    motion = noisy(gait()[0])
    names = ("hip", "knee", "ankle", "thigh", "shin", "foot", "toe")
    image = LegMotion(*(mirrored(getattr(motion, name)) for name in names))
    soles = Soles(*(each[::-1] * [-1, 1, 1] for each in vars(MAN.soles).values()))
    planted = plant(motion, MAN).motion
    also = plant_feet(image, soles, found(image, MAN), "AUTOMATIC", 0.0, FPS).motion
    np.testing.assert_allclose(mirrored(planted.knee), also.knee, atol=1e-6)
    np.testing.assert_allclose(mirrored(planted.ankle), also.ankle, atol=1e-6)


@pytest.mark.parametrize("how", [WALK, RUN])
@pytest.mark.parametrize("seed", range(3))
def test_planting_again_changes_nothing(how, seed):
    motion, down = gait(how=how)
    once = plant(noisy(motion, 1.0, seed), MAN, contacts_of(down))
    again = plant(once.motion, MAN, contacts_of(down))
    assert length(again.motion.ankle - once.motion.ankle).max() < 1e-3
    assert length(again.motion.knee - once.motion.knee).max() < 1e-3
    assert np.abs(again.root_shift).max() < 1e-3


# --- legs that are too short


def test_the_pelvis_is_lowered_gently_where_a_leg_is_too_short():
    """One foot is put 6 cm under where it is in the middle of a clip, with the legs nearly straight."""
    hips, still, ankle = standing(count=120, low=0.985)
    high = ankle + [0, 0, 1] * (0.06 * (np.arange(120) > 40))[:, None, None] * np.array([[[0], [1]]])
    lift = [0, 0, 1] * (0.06 * (np.arange(120) > 40))[:, None, None]
    motion = posed(MAN, hips + lift, still, still, np.where([[[True], [False]]], high + lift, high))
    contacts = Contacts(np.ones((120, 2), bool), np.ones((120, 2), bool))
    planted = plant(motion, MAN, contacts)
    assert worst(planted, MAN)[:2] < (1e-3, 1e-3)
    assert planted.missed < 1e-4
    lowered = planted.root_shift[:, 2]
    assert -0.08 < lowered.min() < -0.04
    assert lowered.max() <= 0
    assert np.abs(np.diff(lowered, 2)).max() * FPS**2 < 6  # metres per second squared: no jolt
    assert lowered[0] > -0.01


def test_what_is_too_far_is_missed_and_told():
    hips, still, ankle = standing()
    motion = posed(MAN, hips, still, still, ankle)
    up = np.array([0, 0, 0.5])
    motion = replace(motion, hip=motion.hip + up, knee=motion.knee + up, ankle=motion.ankle + up)
    contacts = Contacts(np.ones((60, 2), bool), np.ones((60, 2), bool))
    planted = plant(motion, MAN, contacts)
    assert 0.2 < planted.missed < 0.5
    np.testing.assert_allclose(planted.root_shift[:, 2], -0.15 * MAN.leg, atol=1e-9)
    assert length(planted.motion.ankle - planted.motion.hip).max() < MAN.leg


# --- feet that slide


def sliding(speed, count=90):
    """A figure whose feet slide forward together."""
    hips, still, ankle = standing(count=count)
    way = np.outer(np.arange(count) / FPS * speed, [0, -1.0, 0])[:, None]
    return posed(MAN, hips + way, still, still, ankle + way)


def test_a_foot_that_creeps_is_held_in_the_middle_of_its_way():
    motion = sliding(0.04)
    planted = plant(motion, MAN)
    assert planted.steps == ([(0, 90)], [(0, 90)])
    assert worst(planted, MAN)[0] < 1e-9
    middle = motion.ankle[:, :, 1].mean(axis=0)
    assert np.abs(planted.motion.ankle[:, :, 1] - middle).max() < 0.01


def test_a_foot_that_is_dragged_far_is_held_again_and_again():
    """Three metres at half a metre a second, always held: it does not stay behind."""
    motion = sliding(0.5, 180)
    planted = plant(motion, MAN, mode="ALWAYS")
    assert planted.missed < 1e-4
    assert length(planted.motion.ankle - motion.ankle).max() < 0.2
    assert worst(planted, MAN)[0] < 1e-9


def test_dragged_feet_with_stops_are_held_at_the_stops():
    hips, still, ankle = standing(count=120)
    way = np.zeros((120, 2, 3))
    for side in (0, 1):
        way[:, side, 1] = -np.cumsum(((np.arange(120) // 20) % 2 == side) * 0.6 / FPS)
    hips = hips + way.mean(axis=1, keepdims=True)
    planted = plant(posed(MAN, hips, still, still, ankle + way), MAN, mode="ALWAYS")
    for side in (0, 1):
        assert len(planted.steps[side]) >= 3
    assert worst(planted, MAN)[0] < 1e-9


# --- poses


@pytest.mark.parametrize("low", [0.25, 0.5, 0.97])
@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_crouching_sitting_and_straight_legs(low, figure):
    hips, still, ankle = standing(figure, low=low)
    hips[..., 1] += 0.3 * figure.leg * (low < 0.9)  # behind the feet, as one sits
    rise = quat_from_rotvec(np.array([np.arctan2(figure.raised, figure.heel + figure.ball), 0, 0]))
    foot = quat_multiply(quat_inverse(rise), still)
    motion = noisy(posed(figure, hips, foot, foot, ankle), figure.leg / 0.85, 1)
    planted = plant(motion, figure)
    moved, off, count = worst(planted, figure)
    assert count >= 4
    assert (moved, off) < (1e-3, 1e-3)
    knees = planted.motion.knee - (planted.motion.hip + planted.motion.ankle) / 2
    if low < 0.9:
        assert (knees[..., 1] < 0).all()  # forward


def test_on_the_toes():
    """Heels 10 cm up: the ball stands, the toes lie flat, the heels stay up."""
    hips, still, ankle = standing(low=0.85)
    tipped = quat_multiply(quat_from_rotvec(np.array([0.55, 0, 0])), still)
    ball = MAN.soles.ball
    ankle = ankle + ball - turned(tipped, ball)
    motion = noisy(posed(MAN, hips, tipped, tipped, ankle), 1.0, 2)
    planted = plant(motion, MAN)
    for places in planted.places:
        assert (places.state == 2).all()
    points = points_of(planted.motion, MAN)
    assert np.abs(points[:, :, 1:, 2]).max() < 1e-6
    assert points[:, :, 0, 2].min() > 0.05
    assert length(np.diff(points[:, :, 1], axis=0)).max() < 1e-6


def test_in_the_air_nothing_is_done():
    hips, still, ankle = standing()
    up = np.array([0, 0, 0.6])
    motion = posed(MAN, hips + up, still, still, ankle + up)
    none = np.zeros((60, 2), bool)
    planted = plant(motion, MAN, Contacts(none, none))
    assert length(planted.motion.ankle - motion.ankle).max() < 1e-9
    assert length(planted.motion.knee - motion.knee).max() < 1e-9


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("seed", range(3))
def test_the_floor_alone(figure, seed):
    """FLOOR: nothing under the floor, and what is above it is not touched."""
    motion, _ = gait(figure, count=200)
    motion = noisy(motion, figure.leg / 0.85, seed)
    planted = plant(motion, figure, mode="FLOOR")
    assert planted.steps == ([], [])
    assert planted.missed < 1e-4
    assert np.abs(planted.root_shift).max() < 1e-3
    high = points_of(motion, figure)[..., 2].min(axis=2) > 0
    calm = high.copy()
    for shift in range(1, 10):
        calm[shift:] &= high[:-shift]
        calm[:-shift] &= high[shift:]
    assert length(planted.motion.ankle - motion.ankle)[calm].max(initial=0) < 1e-9
    assert length(planted.motion.ankle[..., :2] - motion.ankle[..., :2]).max() < 0.02 * figure.leg


def test_off_is_off():
    motion = noisy(gait()[0])
    planted = plant_feet(motion, MAN.soles, found(motion, MAN), "OFF", 0.0, FPS)
    assert planted.motion is motion
    assert not planted.root_shift.any()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("mode", ["AUTOMATIC", "ALWAYS", "FLOOR"])
def test_hardly_any_frames(count, mode):
    motion = noisy(gait(count=count)[0])
    plant(motion, MAN, mode=mode)


@pytest.mark.parametrize("seed", range(8))
def test_anything_at_all(seed):
    """Random contacts on a random motion: what must hold for any holds (see `plant`)."""
    random = np.random.default_rng(seed)
    figure = list(FIGURES.values())[seed % 4]
    motion = noisy(gait(figure, (WALK, RUN)[seed % 2], 80)[0], random.uniform(0, 4) * figure.leg, seed)
    down = np.repeat(random.uniform(size=(16, 2, 2)) < 0.5, 5, axis=0)
    planted = plant(motion, figure, contacts_of(down))
    if planted.missed < 1e-4:
        assert worst(planted, figure)[:2] < (1e-3, 1e-3)
