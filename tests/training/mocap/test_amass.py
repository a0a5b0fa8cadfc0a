# SPDX-License-Identifier: Apache-2.0
"""AMASS: joints as by hand, its held-out clips, and what is said about files that are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from fasthmr.body import load_body
from fasthmr.body.skeleton import INDEX, JOINT_NAMES, PARENTS
from fasthmr.errors import BadInput
from fasthmr.training.mocap.amass import read_amass
from fasthmr.training.mocap.archives import read_sources
from fasthmr.training.mocap.held_out import is_held_out


def arrays(count: int = 4, width: int = 156, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "poses": rng.normal(size=(count, width)) * 0.5,
        "trans": rng.normal(size=(count, 3)),
        "betas": rng.normal(size=16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(100.0),
    }


def save(path: Path, content: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)  # pyright: ignore[reportArgumentType]
    return path


def test_joints_are_where_they_are_by_hand(tmp_path: Path) -> None:
    content = arrays()
    source = read_amass(save(tmp_path / "a.npz", content), "KIT/3/a_poses")
    rest = load_body("open").rest_joints(torch.zeros(10)).double().numpy()
    assert (source.skeleton, source.frame_rate, source.joint_names) == ("smpl", 100.0, JOINT_NAMES)
    for frame in range(4):
        places, turns = [rest[0] + content["trans"][frame]], []
        for joint in range(22):
            x, y, z = content["poses"][frame, 3 * joint : 3 * joint + 3]
            own = expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
            if joint:
                above = PARENTS[joint]
                places.append(places[above] + turns[above] @ (rest[joint] - rest[above]))
                own = turns[above] @ own
            turns.append(own)
        np.testing.assert_allclose(source.positions[frame, :22], places, atol=1e-5)
    assert source.rotations is not None
    hands = source.rotations[:, [INDEX["left_hand"], INDEX["right_hand"]]]
    np.testing.assert_array_equal(hands, np.broadcast_to(np.eye(3), hands.shape))


def test_both_spellings_of_the_frame_rate_and_smplx(tmp_path: Path) -> None:
    content = arrays(width=165)
    content["mocap_frame_rate"] = content.pop("mocap_framerate")
    assert read_amass(save(tmp_path / "a.npz", content), "a").frame_rate == 100


def test_cmu_in_amass_is_held_out(tmp_path: Path) -> None:
    for name in ("CMU/131/131_03_poses", "CMU/05/05_13_poses", "KIT/3/turn_left01_poses"):
        save(tmp_path / f"{name}.npz", arrays())
    found = {source.name: source for source in read_sources(tmp_path)}
    assert {name for name, one in found.items() if is_held_out(name, one.subject)} == {"CMU/131/131_03_poses"}
    assert (found["CMU/05/05_13_poses"].subject, found["CMU/05/05_13_poses"].trial) == (5, 13)
    assert found["KIT/3/turn_left01_poses"].subject is None
    assert [source.name for source in read_sources(tmp_path, ["KIT"])] == ["KIT/3/turn_left01_poses"]
    with pytest.raises(BadInput, match="has no ACCAD"):
        list(read_sources(tmp_path, ["ACCAD"]))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))  # pyright: ignore[reportReturnType]


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "exploded"
    (tmp_path / "disguised.npz").write_bytes(pickle.dumps(Bomb(trap)))
    content = arrays()
    save(tmp_path / "inside.npz", content | {"poses": np.array([Bomb(trap)], dtype=object)})
    for name in ("disguised", "inside"):
        with pytest.raises(BadInput, match="damaged or of another kind"):
            read_amass(tmp_path / f"{name}.npz", name)
    assert not trap.exists()
    save(tmp_path / "sound.npz", content)
    failed: list[str] = []
    found = [source.name for source in read_sources(tmp_path, None, lambda name, _: failed.append(name))]
    assert (found, failed) == (["sound"], ["disguised", "inside"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": None}, "lacks poses"),
        ({"mocap_framerate": None}, "lacks poses, trans or mocap_framerate"),
        ({"mocap_framerate": np.array(0.0)}, "no frame rate"),
        ({"mocap_framerate": np.array("fast")}, "no motion of AMASS"),
        ({"mocap_framerate": np.array([30.0, 60.0])}, "no motion of AMASS"),
        ({"poses": np.zeros((4, 60))}, r"poses \(4, 60\)"),
        ({"poses": np.array(1.0)}, r"poses \(\)"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, r"poses \(0, 156\)"),
        ({"trans": np.zeros((3, 3))}, r"trans \(3, 3\)"),
        ({"trans": np.full((4, 3), np.nan)}, "not finite"),
        ({"poses": np.full((4, 156), "x")}, "no motion of AMASS"),
    ],
    ids=str,
)
def test_what_is_no_motion_is_said(
    change: dict[str, np.ndarray | None], message: str, tmp_path: Path
) -> None:
    content = {name: array for name, array in (arrays() | change).items() if array is not None}
    with pytest.raises(BadInput, match=message) as said:
        read_amass(save(tmp_path / "shape.npz", content), "shape")
    assert "shape.npz" in str(said.value)
