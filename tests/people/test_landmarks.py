# SPDX-License-Identifier: Apache-2.0
"""The landmarks' names and pairs."""

from __future__ import annotations

from fasthmr.people import LANDMARK_COUNT, LANDMARK_LIMBS, LANDMARK_MIRROR, LANDMARK_NAMES


def test_there_are_33() -> None:
    assert LANDMARK_COUNT == 33
    assert len(set(LANDMARK_NAMES)) == 33


def test_mirroring_twice_changes_nothing_and_only_the_nose_stays() -> None:
    assert [LANDMARK_MIRROR[LANDMARK_MIRROR[index]] for index in range(33)] == list(range(33))
    assert [index for index in range(33) if LANDMARK_MIRROR[index] == index] == [0]


def test_limbs_join_one_side_or_a_mirror_pair() -> None:
    for a, b in LANDMARK_LIMBS:
        left = ["left" in LANDMARK_NAMES[index] for index in (a, b)]
        assert left[0] == left[1] or LANDMARK_MIRROR[a] == b
