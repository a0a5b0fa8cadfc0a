# SPDX-License-Identifier: Apache-2.0
"""The steps that make the open body, each on made-up bodies; and all of them where anny is installed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fasthmr.body import INDEX, JOINT_COUNT, MIRROR, PARENTS
from fasthmr.body.anny_source import Source
from fasthmr.body.body_file import body_from_npz, read_npz
from fasthmr.body.make_open_body import (
    BONE_JOINTS,
    JOINT_BLENDS,
    SPINE,
    fit_joint_regressor,
    joint_weights,
    make_open_body,
    principal_shapes,
    smooth_weights,
    source_joints,
    spread_along_spine,
    stand_on_floor,
    t_pose_rotations,
    unpose,
)
from fasthmr.body.model import OPEN_BODY_PATH

FLIP = np.array([-1.0, 1.0, 1.0])

# Left and middle bones of a person in MakeHuman's rest pose: parent and head (x left, y up, z forward).
BONES = {
    "root": (None, (0.0, 0.97, 0.0)),
    "upperleg01.L": ("root", (0.11, 0.96, 0.0)),
    "lowerleg01.L": ("upperleg01.L", (0.15, 0.53, 0.03)),
    "foot.L": ("lowerleg01.L", (0.19, 0.08, 0.0)),
    **{f"toe{toe}-1.L": ("foot.L", (0.15 + 0.02 * toe, 0.03, 0.16)) for toe in range(1, 6)},
    "spine03": ("root", (0.0, 1.13, -0.02)),
    "spine02": ("spine03", (0.0, 1.21, -0.02)),
    "spine01": ("spine02", (0.0, 1.36, -0.03)),
    "clavicle.L": ("spine01", (0.03, 1.47, 0.03)),
    "shoulder01.L": ("clavicle.L", (0.11, 1.49, 0.03)),
    "upperarm01.L": ("shoulder01.L", (0.19, 1.45, 0.02)),
    "lowerarm01.L": ("upperarm01.L", (0.38, 1.24, 0.03)),
    "wrist.L": ("lowerarm01.L", (0.51, 1.10, 0.20)),
    **{
        f"finger{finger}-1.L": ("wrist.L", (0.52 + 0.01 * finger, 1.07 - 0.01 * finger, 0.33 - 0.02 * finger))
        for finger in range(2, 6)
    },
    "finger3-3.L": ("finger3-1.L", (0.57, 1.00, 0.33)),
    "neck01": ("spine01", (0.0, 1.55, 0.01)),
    "head": ("neck01", (0.0, 1.66, 0.05)),
}


@pytest.fixture
def source():
    """Ten people of different sizes, with random symmetric skin around their bones."""
    rng = np.random.default_rng(0)
    names = [*BONES, *(name[:-1] + "R" for name in BONES if name.endswith(".L"))]
    left = {name: name[:-1] + "L" if name.endswith(".R") else name for name in names}
    parents = []
    for name in names:
        parent = BONES[left[name]][0]
        if parent is not None and name.endswith(".R") and parent.endswith(".L"):
            parent = parent[:-1] + "R"
        parents.append(-1 if parent is None else names.index(parent))
    heads = np.array(
        [np.array(BONES[left[name]][1]) * (FLIP if name.endswith(".R") else 1) for name in names]
    )
    bone_mirror = [
        names.index({"L": n[:-1] + "R", "R": n[:-1] + "L"}.get(n[-1], n) if n[-2:-1] == "." else n)
        for n in names
    ]

    half = 200
    strip = (np.arange(half)[:, None] + (0, 1, 2)) % half
    owner = rng.integers(len(names), size=half)
    offsets = rng.normal(scale=0.05, size=(half, 3))
    skin = heads[owner] + offsets
    skin = np.concatenate([skin, skin * FLIP])
    weights = rng.dirichlet(np.full(len(names), 0.05), size=half)
    weights = np.concatenate([weights, weights[:, bone_mirror]])
    sizes = rng.uniform(0.8, 1.2, size=10)
    return Source(
        bones=tuple(names),
        bone_parents=tuple(parents),
        vertices=sizes[:, None, None] * skin,
        heads=sizes[:, None, None] * heads,
        weights=weights,
        faces=np.concatenate([strip, half + strip]),
        uv=np.zeros((1, 2)),
        faces_uv=np.zeros((2 * half, 3), dtype=np.int64),
        mirror=np.concatenate([np.arange(half) + half, np.arange(half)]),
        cap_centres=(0, 0, 0),
        cap_rings=(),
    )


def test_blends_and_bones_name_every_joint():
    right = {name.replace("left_", "right_") for name in JOINT_BLENDS}
    assert {*JOINT_BLENDS, *right} == set(INDEX)
    served = {*BONE_JOINTS.values(), *SPINE}
    assert {*served, *(name.replace("left_", "right_") for name in served)} == set(INDEX)
    for blend in JOINT_BLENDS.values():
        assert sum(blend.values()) == pytest.approx(1.0)


def test_joints_are_symmetric(source):
    joints = source_joints(source)
    np.testing.assert_allclose(joints[:, list(MIRROR)] * FLIP, joints, atol=1e-12)


def test_weights_go_to_the_nearest_named_bone(source):
    names = list(source.bones)
    finger = np.zeros((1, len(names)))
    finger[0, names.index("finger3-3.L")] = 1.0
    one = dataclasses.replace(source, weights=np.repeat(finger, len(source.weights), axis=0))
    left_only = joint_weights(one)
    expected = np.zeros(JOINT_COUNT)
    expected[[INDEX["left_hand"], INDEX["right_hand"]]] = 0.5  # the mirror image has as much
    np.testing.assert_allclose(left_only, np.repeat(expected[None], len(left_only), axis=0))


def test_weights_are_few_symmetric_and_sum_to_one(source):
    weights = joint_weights(source)
    assert weights.min() >= 0
    assert (weights > 0).sum(axis=1).max() <= 4
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(weights[source.mirror][:, MIRROR], weights)


def test_spine_takes_over_from_the_pelvis_with_height():
    joint_heights = np.zeros(JOINT_COUNT)
    for name, height in zip(SPINE, (0.9, 1.1, 1.25, 1.3), strict=True):
        joint_heights[INDEX[name]] = height
    heights = np.linspace(0.5, 1.6, 200)
    weights = np.zeros((200, JOINT_COUNT))
    weights[:, INDEX["pelvis"]], weights[:, INDEX["left_hip"]] = 0.7, 0.3
    spread = spread_along_spine(weights, heights, joint_heights)
    assert spread.min() >= 0
    np.testing.assert_allclose(spread.sum(axis=1), 1.0)
    np.testing.assert_allclose(spread[:, INDEX["left_hip"]], 0.3)
    assert spread[0, INDEX["pelvis"]] == pytest.approx(0.7)
    assert spread[-1, INDEX["spine3"]] == pytest.approx(0.7)
    assert np.abs(np.diff(spread, axis=0)).max() < 0.08  # smooth: no step


def test_smoothing_spreads_but_keeps_the_sum():
    strip = np.array([[k, k + 1, k + 2] for k in range(28)])
    weights = np.zeros((30, JOINT_COUNT))
    weights[:15, 0], weights[15:, 1] = 1.0, 1.0
    smooth = smooth_weights(weights, strip)
    np.testing.assert_allclose(smooth.sum(axis=1), 1.0)
    assert np.all(np.diff(smooth[:, 0]) <= 1e-12)
    assert ((smooth[:, 0] > 0.05) & (smooth[:, 0] < 0.95)).sum() > 4


def test_t_pose_of_the_joints(source):
    joints = source_joints(source)
    weights = joint_weights(source)
    _, rest = unpose(source.vertices, joints, weights, t_pose_rotations(source, joints))
    at = {name: rest[:, index] for name, index in INDEX.items()}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand")):
            bone = at[f"{side}_{lower}"] - at[f"{side}_{upper}"]
            np.testing.assert_allclose(bone[:, 1:], 0.0, atol=1e-12)
            assert np.all(sign * bone[:, 0] > 0.05)
        for upper, lower in (("hip", "knee"), ("knee", "ankle")):
            bone = at[f"{side}_{lower}"] - at[f"{side}_{upper}"]
            np.testing.assert_allclose(bone[:, [0, 2]], 0.0, atol=1e-12)
            assert np.all(bone[:, 1] < -0.2)
        np.testing.assert_allclose(at[f"{side}_foot"][:, 0], at[f"{side}_ankle"][:, 0], atol=1e-12)
    # Bones keep their lengths.
    for joint in range(1, JOINT_COUNT):
        before = np.linalg.norm(joints[:, joint] - joints[:, PARENTS[joint]], axis=-1)
        after = np.linalg.norm(rest[:, joint] - rest[:, PARENTS[joint]], axis=-1)
        np.testing.assert_allclose(after, before)


def test_elbows_bend_about_the_upright_axis(source):
    """From the T-pose, the source's own bend of the elbow brings the forearm forward."""
    joints = source_joints(source)
    rotations = t_pose_rotations(source, joints)
    bend = rotations[:, INDEX["left_shoulder"]] @ np.swapaxes(rotations[:, INDEX["left_elbow"]], -1, -2)
    axis = Rotation.from_matrix(bend).as_rotvec()
    np.testing.assert_allclose(axis[:, [0, 2]], 0.0, atol=1e-9)
    assert np.all(axis[:, 1] < -0.3)


def test_unpose_is_the_inverse_of_skinning():
    rng = np.random.default_rng(1)
    vertices, joints = rng.normal(size=(2, 30, 3)), rng.normal(size=(2, JOINT_COUNT, 3))
    weights = rng.dirichlet(np.full(JOINT_COUNT, 0.2), size=30)
    rotations = Rotation.from_rotvec(rng.normal(scale=0.4, size=(2 * JOINT_COUNT, 3))).as_matrix()
    rotations = rotations.reshape(2, JOINT_COUNT, 3, 3)
    at_rest, rest = unpose(vertices, joints, weights, rotations)
    for n in range(2):
        for v in range(30):
            posed = np.zeros(3)
            for j in range(JOINT_COUNT):
                posed += weights[v, j] * (rotations[n, j].T @ (at_rest[n, v] - rest[n, j]) + joints[n, j])
            np.testing.assert_allclose(posed, vertices[n, v], atol=1e-9)
    # Bones turn with their upper joint, and the pelvis stays.
    np.testing.assert_array_equal(rest[:, 0], joints[:, 0])
    for j in range(1, JOINT_COUNT):
        turned = np.einsum("nab,nb->na", rotations[:, PARENTS[j]], joints[:, j] - joints[:, PARENTS[j]])
        np.testing.assert_allclose(rest[:, j] - rest[:, PARENTS[j]], turned)


def test_stand_on_floor(source):
    away = np.array([1.0, 2.0, 3.0])
    vertices, joints = stand_on_floor(source.vertices + away, source_joints(source) + away)
    np.testing.assert_allclose(vertices[..., 1].min(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(joints[:, 0, [0, 2]], 0.0, atol=1e-12)
    np.testing.assert_allclose(
        joints - vertices[:, :1], source_joints(source) - source.vertices[:, :1], atol=1e-12
    )


def test_principal_shapes_recover_known_components(source):
    rng = np.random.default_rng(2)
    count = len(source.mirror)
    true = np.linalg.qr(rng.normal(size=(count // 2 * 3, 12)))[0].T.reshape(12, count // 2, 3) * 3.0
    true = np.concatenate([true, true * FLIP], axis=1)
    spread = np.array([5.0, 3, 2, 1.5, 1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.001, 0.001])
    coefficients = rng.normal(size=(600, 12)) * spread
    samples = source.vertices[0] + np.einsum("nk,kvc->nvc", coefficients, true)
    mean, shapes = principal_shapes(samples, source.mirror)
    assert shapes.shape == (count, 3, 10)
    np.testing.assert_array_equal(mean[source.mirror] * FLIP, mean)
    np.testing.assert_array_equal(shapes[source.mirror] * FLIP[:, None], shapes)
    assert mean[:, 1].min() == 0
    # Coefficients of the samples have variance 1 and give the samples back.
    centred = (samples - samples.mean(axis=0)).reshape(600, -1)
    betas, *_ = np.linalg.lstsq(shapes.reshape(-1, 10), centred.T, rcond=None)
    np.testing.assert_allclose(betas.std(axis=1), 1.0, atol=0.01)
    np.testing.assert_allclose(shapes.reshape(-1, 10) @ betas, centred.T, atol=0.02)


def test_regressor_finds_joints_for_all_samples():
    """Joints that are means of the skin around them are found again, and from bodies not seen before."""
    rng = np.random.default_rng(3)
    half = 30 * JOINT_COUNT
    centres = rng.uniform(-1, 1, size=(JOINT_COUNT, 3))
    left = [j for j in range(JOINT_COUNT) if MIRROR[j] >= j]
    centres[:, 0] = np.abs(centres[:, 0]) + 0.1
    for j in left:
        centres[j] *= (0.0 if MIRROR[j] == j else 1.0, 1.0, 1.0)
        centres[MIRROR[j]] = centres[j] * FLIP
    around = rng.normal(size=(JOINT_COUNT, 30, 3))
    around *= 0.1 / np.linalg.norm(around, axis=-1, keepdims=True)
    skin = (centres[:, None] + around).reshape(half, 3)
    mirror = np.concatenate([np.arange(half) + half, np.arange(half)])
    skin = np.concatenate([skin, skin * FLIP])
    owner = np.tile(np.repeat(np.arange(JOINT_COUNT), 30), 2)
    owner[half:] = np.array(MIRROR)[owner[half:]]

    def bodies(count):
        sizes = rng.uniform(0.8, 1.3, size=(count, 1, 1))
        vertices = skin * sizes + rng.normal(scale=0.002, size=(count, 1, 1)) * skin**2 * (0.0, 1.0, 1.0)
        joints = np.stack([vertices[:, owner == j].mean(axis=1) for j in range(JOINT_COUNT)], axis=1)
        return vertices, joints

    vertices, joints = bodies(50)
    regressor = fit_joint_regressor(vertices, joints, mirror)
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(regressor[list(MIRROR)][:, mirror], regressor, atol=1e-12)
    fresh, expected = bodies(10)
    assert np.linalg.norm(regressor @ fresh - expected, axis=-1).max() < 0.005


@pytest.mark.slow
def test_makes_the_file_that_the_project_carries(tmp_path):
    pytest.importorskip("anny", reason="making the open body needs the extra 'body'")
    path = tmp_path / "open_body.npz"
    make_open_body(path)
    made, carried = (body_from_npz(file, read_npz(file)) for file in (path, OPEN_BODY_PATH))
    np.testing.assert_array_equal(made.f, carried.f)
    np.testing.assert_array_equal(made.landmark_vertices, carried.landmark_vertices)
    for key in ("v_template", "shapedirs", "weights", "vt"):
        np.testing.assert_allclose(getattr(made, key), getattr(carried, key), atol=1e-4, err_msg=key)
    joints, carried_joints = (body.J_regressor @ body.v_template for body in (made, carried))
    np.testing.assert_allclose(joints, carried_joints, atol=1e-4)
