# SPDX-License-Identifier: Apache-2.0
"""What is kept for tests is recognised under every name that it goes by, and nothing else is."""

from __future__ import annotations

import pytest

from fasthmr.training.mocap.held_out import is_held_out, is_left_out, trial_in_name, trial_key
from fasthmr.training.mocap.packed import split_of


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("cmu_motion_out/amc/mjackson/131_01", 131),
        ("somewhere/else/renamed", 131),
        ("cmu_jump_retargeted/cmu136-140/139/139_16", 139),
        ("cmu_acrnn/martial/03", None),
        ("mine/cmu_acrnn/martial/03", None),
        ("cmu_acrnn/martial_mirrored/03", None),
        ("CMU/131/131_03_poses", None),
        ("HumanML3D/M131_03", None),
        ("retargeted/cmu_139_17-mirrored", None),
        ("dragonforged/139_0017", None),
        ("bvh/131_3+400", None),
    ],
)
def test_held_out_under_every_name(name: str, subject: int | None) -> None:
    assert is_held_out(name, subject)
    assert not is_left_out(name, subject)
    assert split_of(trial_key(name, subject, None), is_held_out(name, subject)) == "test"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("cmu_motion_out/amc/martialwalk/135_03", 135),
        ("CMU/135/135_11_poses", None),
        ("HumanML3D/M135_07", None),
    ],
)
def test_copies_of_held_out_clips_are_for_nothing(name: str, subject: int | None) -> None:
    assert is_left_out(name, subject)
    assert not is_held_out(name, subject)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("cmu_acrnn/salsa/131", None),
        ("cmu_cyun9601/subjects/01/01_139", 1),
        ("CMU/13/13_11_poses", None),
        ("CMU/113/113_1_poses", None),
        ("KIT/3/walking_medium09_poses", None),
        ("a/1310_03", None),
        ("a/20131_03", None),
        ("a/131_03", 12),  # a list that says who it is is believed
    ],
)
def test_others_are_learned_from(name: str, subject: int | None) -> None:
    assert not is_held_out(name, subject)
    assert not is_left_out(name, subject)


def test_versions_of_a_recording_share_their_key() -> None:
    names = ["05_13", "subjects/005/005_13", "CMU/05/05_13_poses", "M05_13", "cmu_05_13", "05_13-mirrored"]
    assert {trial_key(name, None, None) for name in names} == {"05_13"}
    assert trial_key("whatever", 5, 13) == "05_13"
    assert trial_key("cmu_acrnn/salsa/05", None, None) == "cmu_acrnn/salsa/05"
    assert trial_in_name("KIT/3/turn_left01_poses") is None
    assert trial_in_name("Transitions/20161014_50033/jump_poses") is None
