# SPDX-License-Identifier: GPL-3.0-or-later
"""contacts.py: against motions whose contacts are known."""

import numpy as np
import pytest
from recover_motion.retarget.contacts import find_contacts
from recover_motion.retarget.legs import sole_points
from walking_legs import RUN, WALK, Figure, gait, noisy

FPS = 30.0


def standing_points(count=60):
    """(T, 2, 3, 3) heel, ball and tip of feet that stand."""
    points = np.zeros((count, 2, 3, 3))
    points[:, 0, :, 0], points[:, 1, :, 0] = 0.1, -0.1
    points[..., 1] = [0.05, -0.13, -0.2]
    return points


def found(points, mode="AUTOMATIC", fps=FPS):
    contacts = find_contacts(points, fps, mode)
    return np.stack([contacts.heel, contacts.ball], axis=-1)


def test_a_walks_contacts_are_found_to_a_frame_or_two():
    motion, down = gait(how=WALK, count=300)
    agree = found(sole_points(motion, Figure().soles)) == down
    assert agree.mean() > 0.95


def test_a_runs_contacts_are_found_and_its_flights_are_none():
    motion, down = gait(how=RUN, count=300)
    contacts = found(sole_points(motion, Figure().soles))
    assert (contacts == down).mean() > 0.94
    flight = ~down.any(axis=(1, 2))
    assert flight.mean() > 0.2
    inside = flight & np.roll(flight, 1) & np.roll(flight, -1)
    assert not contacts[inside].any()


@pytest.mark.parametrize("how", [WALK, RUN])
@pytest.mark.parametrize("seed", range(3))
def test_contacts_are_found_in_recovered_motion_too(how, seed):
    """Slides of 3 cm, floats of 2 cm, feet that tip by 4 degrees, shaking."""
    motion, down = gait(how=how, count=300)
    agree = found(sole_points(noisy(motion, 1.0, seed), Figure().soles)) == down
    assert agree.mean() > 0.92


@pytest.mark.parametrize("fps", [24.0, 60.0, 120.0])
def test_frame_rates(fps):
    motion, down = gait(how=WALK, count=round(5 * fps), fps=fps)
    assert (found(sole_points(motion, Figure().soles), fps=fps) == down).mean() > 0.93


def test_the_whole_motion_may_be_above_the_floor_or_under_it():
    motion, _ = gait(how=WALK)
    points = sole_points(motion, Figure().soles)
    for height in (-0.3, 0.4):
        np.testing.assert_array_equal(found(points + np.array([0, 0, height])), found(points))


def test_who_stands_stands():
    assert found(standing_points()).all()


def test_who_stands_on_the_toes_has_the_heels_up():
    points = standing_points()
    points[..., 0, 2] += 0.1
    contacts = found(points)
    assert contacts[..., 1].all()
    assert not contacts[..., 0].any()


def test_a_foot_that_rests_with_its_toes_up_is_on_the_floor_with_all_of_it():
    """As recovered feet have them at times: the ball 8 cm over the heel, for long."""
    points = standing_points()
    points[:, 0, 1:, 2] += 0.08
    assert found(points).all()
    points[:, 0, 1:, 2] += 0.08  # a foot that points up, as one's who sits on the floor
    contacts = found(points)
    assert contacts[:, 0, 0].all()
    assert not contacts[:, 0, 1].any()


def test_a_heel_that_slips_is_not_up():
    """It slides over the floor at 0.6 m/s for a sixth of a second while the ball turns on its place."""
    points = standing_points()
    slip = np.clip(np.arange(60) - 30, 0, 5) * 0.6 / FPS
    points[:, 0, 0, 0] += slip
    assert found(points).all()


def test_a_jump_is_a_gap():
    """Half a second in the air, where the feet are still for a moment at the top."""
    points = standing_points()
    air = np.arange(20, 36)
    points[air, ..., 2] += (0.4 * np.sin(np.pi * (air - 19) / 17))[:, None, None]
    contacts = found(points)
    assert contacts[:18].all()
    assert contacts[39:].all()
    assert not contacts[22:34].any()


def test_a_foot_that_is_held_up_still_is_not_on_the_floor():
    points = standing_points(120)
    points[30:, 1, :, 2] += 0.2
    contacts = found(points)
    assert contacts[:, 0].all()
    assert not contacts[34:, 1].any()


def test_a_foot_on_a_step_is_not_on_the_floor():
    points = standing_points(120)
    points[60:, ..., 2] += 0.25
    points[60:, ..., 1] -= 0.3
    contacts = found(points)
    assert contacts[:56].all()
    assert not contacts[64:].any()


def shuffle():
    """Feet that are dragged along the floor at 0.6 m/s, by turns, half a second each."""
    points = standing_points(120)
    dragged = (np.arange(120) // 15) % 2 == np.array([[0], [1]])
    points[..., 1] -= (np.cumsum(dragged, axis=1).T * 0.6 / FPS)[..., None]
    return points, dragged.T


def test_automatic_lets_dragged_feet_go_and_always_holds_them():
    points, dragged = shuffle()
    inside = dragged & np.roll(dragged, 4, axis=0) & np.roll(dragged, -4, axis=0)
    automatic = found(points)
    assert not automatic[inside].any()
    still = ~dragged & np.roll(~dragged, 4, axis=0) & np.roll(~dragged, -4, axis=0)
    assert automatic[still].all()
    assert found(points, "ALWAYS").all()


def test_always_does_not_hold_a_foot_that_swings_by():
    motion, down = gait(how=WALK, count=300)
    contacts = found(sole_points(motion, Figure().soles), "ALWAYS")
    assert (contacts | ~down).mean() > 0.99  # all that stands is held
    swings = ~down.any(axis=2)
    inside = swings & np.roll(swings, 3, axis=0) & np.roll(swings, -3, axis=0)
    assert inside.sum() > 40
    assert not contacts[inside].any()


def test_heel_and_ball_hang_together_in_a_step():
    """From heel to ball there is no frame without contact: the foot rolls over the sole."""
    motion, _ = gait(how=WALK, count=300)
    for seed in range(3):
        on_floor = found(sole_points(noisy(motion, 1.0, seed), Figure().soles)).any(axis=2)
        for side in (0, 1):
            edges = np.flatnonzero(np.diff(on_floor[:, side].astype(int)))
            assert (np.diff(edges) >= 3).all()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mode", ["AUTOMATIC", "ALWAYS"])
def test_hardly_any_frames(count, mode):
    assert found(standing_points(count), mode).shape == (count, 2, 2)
    assert found(standing_points(count), mode).all()


def test_sides_are_alike():
    motion, _ = gait(how=RUN, count=120)
    points = sole_points(noisy(motion, 1.0, 4), Figure().soles)
    np.testing.assert_array_equal(found(points[:, ::-1]), found(points)[:, ::-1])
