# SPDX-License-Identifier: Apache-2.0
"""Identities on figures whose identity is known: crossings, gaps, look-alikes, comings and goings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fasthmr.people import LANDMARK_MIRROR, Detection
from fasthmr.people.tracking import MIN_FRAMES, Sighting, sure_pairs, track_shot

from .synthetic import Walk, clothes, detection, sightings

RED, GREEN, BLUE = clothes(0.0), clothes(2.1), clothes(4.2)


def walker(start: float, speed: float, seed: int = 0, **options: float) -> Walk:
    """Somebody who walks across the picture at a speed in pixels a second."""
    rng = np.random.default_rng(seed)

    def at(time: float) -> Detection:
        stride = 0.25 * np.sin(6.0 * time)
        return detection(start + speed * time, stride=float(stride), noise=2.0, rng=rng, **options)

    return at


def unless(walk: Walk, hidden: Callable[[float], bool]) -> Walk:
    return lambda time: None if hidden(time) else walk(time)


def owners(tracks: list[list[Sighting]], owner: dict[int, int]) -> list[list[int]]:
    """Whose sightings each track holds; sorted."""
    return sorted(sorted({owner[id(one)] for one in track}) for track in tracks)


def test_two_who_pass_at_a_distance() -> None:
    frames, times, owner = sightings([(walker(300, 60), RED), (walker(900, -40), RED)], 60)
    tracks = track_shot(frames, times)
    assert owners(tracks, owner) == [[0], [1]]
    assert [len(track) for track in tracks] == [60, 60]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_a_crossing_in_which_one_is_hidden(seed: int, rate: float) -> None:
    """They meet at 2 s; the one behind is not seen for as long as they overlap."""
    a = walker(200, 200, seed)
    b = unless(walker(1000, -200, seed + 100), lambda time: abs(time - 2.0) < 0.3)
    frames, times, owner = sightings([(a, RED), (b, BLUE)], int(4 * rate), rate, seed)
    assert owners(track_shot(frames, times), owner) == [[0], [1]]


@pytest.mark.parametrize("seed", range(6))
def test_a_crossing_of_two_in_the_same_clothes(seed: int) -> None:
    """Both are lost for a moment: only the motion tells who is who."""
    a = unless(walker(200, 200, seed), lambda time: abs(time - 2.0) < 0.12)
    b = unless(walker(1000, -200, seed + 100), lambda time: abs(time - 2.0) < 0.25)
    frames, times, owner = sightings([(a, RED), (b, RED)], 120, seed=seed)
    assert owners(track_shot(frames, times), owner) == [[0], [1]]


@pytest.mark.parametrize("seed", range(4))
def test_two_who_meet_and_turn_back(seed: int) -> None:
    """The temptation to swap: the motion goes on straight, the clothes say that both turned round."""

    def bounce(start: float, speed: float) -> Walk:
        there, back = walker(start, speed, seed), walker(start + 4 * speed, -speed, seed)
        return lambda time: there(time) if time < 2.0 else back(time)

    a = unless(bounce(200, 180), lambda time: abs(time - 2.0) < 0.15)
    b = unless(bounce(960, -180), lambda time: abs(time - 2.0) < 0.25)
    frames, times, owner = sightings([(a, RED), (b, GREEN)], 120, seed=seed)
    assert owners(track_shot(frames, times), owner) == [[0], [1]]


def test_a_reading_that_slips_to_the_other_one_is_undone() -> None:
    """While one is hidden, what is read slides from the one in front to the one behind without a jump."""
    front, behind = walker(200, 200), walker(1000, -200)

    def read(time: float) -> Detection | None:  # the only figure that is read while they overlap
        if abs(time - 2.0) > 0.3:
            return front(time)
        share = (time - 1.7) / 0.6
        return detection(200 + 200 * time + share * (800 - 400 * time))

    b = unless(behind, lambda time: abs(time - 2.0) < 0.3)
    frames, times, owner = sightings([(read, RED), (b, BLUE)], 120)
    assert owners(track_shot(frames, times), owner) == [[0], [1]]


@pytest.mark.parametrize("gap", [0.1, 0.4, 1.0])
def test_a_short_gap_is_bridged(gap: float) -> None:
    walk = unless(walker(200, 150), lambda time: 1.5 < time < 1.5 + gap)
    frames, times, owner = sightings([(walk, RED)], 120)
    (track,) = track_shot(frames, times)
    assert len(track) == len(owner)


def test_a_long_absence_is_another_track() -> None:
    walk = unless(walker(200, 100), lambda time: 1.5 < time < 4.5)
    frames, times, _ = sightings([(walk, RED)], 200)
    assert len(track_shot(frames, times)) == 2


def test_somebody_who_leaves_is_not_somebody_who_comes() -> None:
    leaves = unless(walker(900, 300), lambda time: time > 1.2)
    comes = unless(walker(-300, 200), lambda time: time < 1.6)
    frames, times, owner = sightings([(leaves, RED), (comes, GREEN)], 120)
    assert owners(track_shot(frames, times), owner) == [[0], [1]]


def test_sides_mixed_up_for_a_moment_are_no_other_person() -> None:
    walk = walker(300, 60)

    def mixed(time: float) -> Detection | None:
        found = walk(time)
        assert found is not None
        if 1.0 < time < 1.3:
            order = list(LANDMARK_MIRROR)
            return Detection(
                found.box, found.landmarks_image[order], found.landmarks_world[order], found.visibility, 0.9
            )
        return found

    frames, times, _ = sightings([(mixed, RED)], 60)
    assert [len(track) for track in track_shot(frames, times)] == [60]


def test_who_is_seen_for_a_moment_is_left_out_and_logged() -> None:
    walk = unless(walker(300, 0), lambda time: not 1.0 <= time < 1.0 + (MIN_FRAMES - 1.5) / 30)
    frames, times, owner = sightings([(walk, RED)], 60)
    assert 0 < len(owner) < MIN_FRAMES
    said: list[str] = []
    assert track_shot(frames, times, said.append) == []
    assert "frames only" in said[0]


def test_what_does_not_look_like_a_person_is_left_out() -> None:
    rng = np.random.default_rng(3)

    def table(time: float) -> Detection:
        person = detection(400, height=80)
        crumpled = (person.landmarks_world * rng.uniform(0, 1.0, (33, 3))).astype(np.float32)
        return Detection(person.box, person.landmarks_image, crumpled, person.visibility * 0.6, 0.8)

    frames, times, _ = sightings([(table, GREEN), (walker(900, 0), RED)], 60)
    said: list[str] = []
    (track,) = track_shot(frames, times, said.append)
    assert track[0].center[0] > 800
    assert any("does not look like a person" in line for line in said)


def test_nobody() -> None:
    assert track_shot([], []) == []
    assert track_shot([[], []], [0.0, 0.1]) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_with_drop_outs(seed: int) -> None:
    """Five people in different clothes, each missed in every tenth frame: nobody is mixed up."""
    rng = np.random.default_rng(seed)
    walks = []
    for person in range(5):
        walk = walker(100 + 220 * person, float(rng.uniform(-40, 40)), seed + person, y=300 + 20.0 * person)
        missed = set(rng.choice(90, 9, replace=False).tolist())
        walks.append((unless(walk, lambda t, m=missed: round(t * 30) in m), clothes(1.2 * person)))
    frames, times, owner = sightings(walks, 90, seed=seed)
    assert owners(track_shot(frames, times), owner) == [[0], [1], [2], [3], [4]]


def test_only_sure_pairs_are_joined() -> None:
    sure = np.array([[0.1, 0.6], [0.7, 0.2]])
    assert sure_pairs(sure) == [(0, 0), (1, 1)]
    assert sure_pairs(sure[:, ::-1]) == [(0, 1), (1, 0)]
    assert sure_pairs(np.array([[0.2, 0.25], [0.25, 0.2]])) == []  # the other way round is as good
    assert sure_pairs(np.array([[0.2], [0.25]])) == []  # two want the same
    assert sure_pairs(np.array([[0.2], [0.6]])) == [(0, 0)]
    assert sure_pairs(np.array([[0.9, 2.0]])) == []  # neither is possible
    assert sure_pairs(np.array([[0.1, 0.9], [0.9, 0.9]])) == [(0, 0)]
    assert sure_pairs(np.zeros((0, 3))) == sure_pairs(np.zeros((3, 0))) == []
