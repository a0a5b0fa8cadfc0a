# SPDX-License-Identifier: Apache-2.0
"""ASF and AMC: joints as by hand, and what is said about files that are none."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.training.mocap.asf_amc import AsfSkeleton, read_amc, read_asf

from .written_formats import ASF_BONES, amc_text, asf_motion, asf_places, asf_text, damaged


@pytest.fixture(scope="module")
def skeleton() -> AsfSkeleton:
    return read_asf(asf_text(), "01.asf")


def test_joints_are_where_they_are_by_hand(skeleton: AsfSkeleton) -> None:
    frames = asf_motion(7)
    source = read_amc(amc_text(frames), skeleton, "clip", subject=1, trial=3, label="walk")
    assert source.frame_rate == 120
    assert (source.skeleton, source.subject, source.trial, source.label) == ("cmu_asf", 1, 3, "walk")
    assert source.seconds == pytest.approx(7 / 120)
    assert set(source.joint_names) == {"root", *(bone.name for bone in ASF_BONES)}
    for number, frame in enumerate(frames):
        for name, place in asf_places(frame).items():
            found = source.positions[number, source.joint_names.index(name)]
            np.testing.assert_allclose(found, place, atol=1e-5, err_msg=name)


def test_bones_hang_where_the_hierarchy_says(skeleton: AsfSkeleton) -> None:
    names = skeleton.names
    for bone in ASF_BONES:
        assert names[skeleton.parents[names.index(bone.name)]] == bone.parent


def test_a_rest_pose_is_upright_and_in_metres(skeleton: AsfSkeleton) -> None:
    still = {name: [0.0] * len(values) for name, values in asf_motion(1)[0].items()}
    source = read_amc(amc_text([still]), skeleton, "clip")
    up = source.positions[0, source.joint_names.index("lowerback")]
    np.testing.assert_allclose(up, (0, 0, 2.1 * 0.0564444), atol=1e-5)
    ahead = source.positions[0, source.joint_names.index("head")] - up
    assert ahead[1] < 0  # a figure that faces +z in the file faces -y


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_file_may_end_within_a_frame(skeleton: AsfSkeleton, rows: int) -> None:
    whole = amc_text(asf_motion(5))
    cut = "\n".join(whole.splitlines()[:-rows])
    assert read_amc(cut, skeleton, "clip").frame_count == 4


def test_a_file_may_end_within_a_line(skeleton: AsfSkeleton) -> None:
    frames = asf_motion(5)
    whole = amc_text(frames).rstrip()
    source = read_amc(whole[: whole.rindex(" ")], skeleton, "clip")
    assert source.frame_count == 4
    np.testing.assert_allclose(source.positions[3, 0], asf_places(frames[3])["root"], atol=1e-5)


def without(text: str, word: str) -> str:
    return "\n".join(line for line in text.splitlines() if word not in line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no frames"),
        ("a picture", "no frames"),
        (amc_text(asf_motion(3)).replace("lfemur", "rfemur", 1), "frame before lacks a bone"),
        (without(amc_text(asf_motion(3)), "ltibia"), "line .*the frame before lacks a bone"),
        (amc_text(asf_motion(3)).replace("ltibia ", "ltibia 1.0 ", 1), "line 7: ltibia has 2 numbers"),
        (amc_text(asf_motion(3)).replace("ltibia ", "ltibia two ", 1), "line 7: .*two"),
    ],
    ids=["empty", "other", "renamed", "bone", "numbers", "word"],
)
def test_what_is_no_motion_is_said(skeleton: AsfSkeleton, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as said:
        read_amc(text, skeleton, "clips/01_01")
    assert "clips/01_01" in str(said.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no bones"),
        (without(asf_text(), "length 7.0"), r"line \d+: no skeleton"),
        (asf_text().replace("length 7.0", "length long"), r"line \d+: no skeleton"),
        (asf_text().replace("length 7.0", "length nan"), "not finite"),
        (asf_text().replace("20  XYZ", "20  XQZ"), r"line \d+: no skeleton"),
        (asf_text().replace("dof rx rz", "dof rx rw"), "freedom"),
        (asf_text().replace("    root lhipjoint", "    root tail"), "tail"),
        (asf_text().replace("    lfemur ltibia", "    lfemur ltibia ltibia"), "ltibia"),
    ],
    ids=["empty", "length", "word", "nan", "axes", "freedom", "unknown", "twice"],
)
def test_what_is_no_skeleton_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as said:
        read_asf(text, "subjects/01.asf")
    assert "subjects/01.asf" in str(said.value)


@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_motion_or_a_message() -> None:
    rng = np.random.default_rng(0)
    messages = 0
    for _ in range(300):
        try:
            read_amc(damaged(amc_text(asf_motion(4)), rng), read_asf(damaged(asf_text(), rng), "a"), "b")
        except BadInput:
            messages += 1
    assert 0 < messages < 300
