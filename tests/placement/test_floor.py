# SPDX-License-Identifier: Apache-2.0
"""The floor lies under the feet, and feet that stand are told from feet that swing."""

from __future__ import annotations

import numpy as np

from fasthmr.placement.floor import contacts, floor_height


def test_the_floor_is_where_feet_stand() -> None:
    rng = np.random.default_rng(0)
    standing = rng.normal(-1.4, 0.005, size=(200, 4))
    standing[50:60] += 0.6  # a jump
    assert abs(floor_height([standing], [np.ones((200, 4))]) + 1.4) < 0.02


def test_a_few_wild_frames_do_not_lower_it() -> None:
    heights = np.full((200, 4), -1.4)
    heights[10:13] = -2.5
    assert floor_height([heights], [np.ones((200, 4))]) == -1.4


def test_frames_nobody_believes_do_not_count() -> None:
    heights = np.full((100, 4), -1.4)
    belief = np.ones((100, 4))
    heights[:40], belief[:40] = -3.0, 0.1
    assert floor_height([heights], [belief]) == -1.4


def test_the_lowest_person_decides() -> None:
    on_a_box, on_the_ground = np.full((50, 4), -0.2), np.full((50, 4), -1.5)
    ones = np.ones((50, 4))
    assert floor_height([on_a_box, on_the_ground], [ones, ones]) == -1.5


def test_contacts_of_a_step() -> None:
    times = np.arange(60) / 30
    soles = np.zeros((60, 4, 3))
    soles[20:40, :2, 0] = np.linspace(0, 1.0, 20)[:, None]  # the left foot swings forward ...
    soles[40:, :2, 0] = 1.0
    soles[20:40, :2, 2] = 0.15 * np.sin(np.linspace(0, np.pi, 20))[:, None]  # ... and up
    found = contacts(soles, times, np.ones((60, 4)))
    assert found[:18].min() > 0.9
    assert found[24:36, :2].max() < 0.1
    assert found[:, 2:].min() > 0.9
    assert contacts(soles, times, np.zeros((60, 4))).max() == 0


def test_one_frame_has_no_contact() -> None:
    np.testing.assert_array_equal(
        contacts(np.zeros((1, 4, 3)), np.zeros(1), np.ones((1, 4))), np.zeros((1, 4))
    )
