# SPDX-License-Identifier: GPL-3.0-or-later
"""baked_pose: keys that bring every head to where it was seen, composed here bone by bone."""

import numpy as np
import pytest
from recover_motion.export.baked_pose import Y_UP, Placement, even_scale, keys_of_bones, rest_matrix
from smpl_reference import rotation

PARENTS = (-1, 0, 1, 1)


def matrix(turn, place, scale=1.0):
    result = np.eye(4)
    result[:3, :3] = rotation(np.array(turn, float)) * scale
    result[:3, 3] = place
    return result


def posed(random, *, frames=4, scales=None):
    """Rest (B, 4, 4) and pose (F, B, 4, 4) of random bones in armature space."""
    rest = np.array([matrix(random.normal(0, 1, 3), random.normal(0, 1, 3)) for _ in PARENTS])
    pose = np.empty((frames, len(PARENTS), 4, 4))
    for frame in range(frames):
        for bone, parent in enumerate(PARENTS):
            basis = matrix(random.normal(0, 1, 3), random.normal(0, 0.1, 3))
            if scales is not None:
                basis[:3, :3] *= scales[bone]
            at_rest = (
                rest[bone] if parent < 0 else pose[frame, parent] @ np.linalg.inv(rest[parent]) @ rest[bone]
            )
            pose[frame, bone] = at_rest @ basis
    return rest, pose


def composed(keys, rest):
    """The heads (F, B, 3) that keys give."""
    frames, count = keys.quats.shape[:2]
    result = np.empty((frames, count, 4, 4))
    for frame in range(frames):
        for bone, parent in enumerate(PARENTS):
            w, *axis = keys.quats[frame, bone]
            length = np.linalg.norm(axis)
            turn = np.array(axis) / max(length, 1e-12) * 2 * np.arctan2(length, w)
            basis = matrix(turn, keys.locations[frame, bone])
            basis[:3, :3] *= keys.scales[frame, bone]
            at_rest = (
                rest[bone] if parent < 0 else result[frame, parent] @ np.linalg.inv(rest[parent]) @ rest[bone]
            )
            result[frame, bone] = at_rest @ basis
    return result[..., :3, 3]


def rest_in(stand_in, rest):
    """Blender's bones have no scale: what `Armature.transform` leaves of rest matrices."""
    turned = stand_in @ rest
    turned[..., :3, :3] /= np.linalg.norm(turned[..., :3, :3], axis=-2, keepdims=True)
    return turned


@pytest.mark.parametrize("axes", [np.eye(3), Y_UP])
@pytest.mark.parametrize("scales", [None, (1.2, 1.0, 0.7, 1.0)])
def test_heads_are_where_they_were(axes, scales):
    random = np.random.default_rng(1)
    rest, pose = posed(random, scales=scales)
    armature = matrix((1.5707963, 0, 0), (3, 1, 0), 0.01)
    world = armature @ pose
    placement = Placement(axes, 100.0)
    stand_in = rest_in(rest_matrix(armature, placement), rest)
    keys = keys_of_bones(world, 0.01, placement, stand_in, PARENTS)
    expected = world[..., :3, 3] @ axes.T * 100
    np.testing.assert_allclose(composed(keys, stand_in), expected, atol=1e-6)


def test_heads_are_in_place_without_scale_and_with_shear():
    random = np.random.default_rng(2)
    uneven = [np.array(s) for s in ((1.5, 1, 0.6), (1, 2, 1), (1, 1, 1), (0.5, 1, 1))]
    rest, pose = posed(random, scales=uneven)
    placement = Placement(np.eye(3), 1.0)
    for scaled, half in ((True, False), (False, False), (True, True)):
        keys = keys_of_bones(pose, 1.0, placement, rest, PARENTS, scaled=scaled, half=half)
        np.testing.assert_allclose(composed(keys, rest), pose[..., :3, 3], atol=1e-9)
        assert scaled or (keys.scales == 1).all()
        assert (keys.scales == keys.scales.astype(np.float16)).all() == (half or not scaled)


def test_tilt_and_scale_go_into_the_rest_pose_and_heading_does_not():
    heading, tilt = matrix((0, 0, 0.7), (4, 5, 6)), matrix((1.5707963, 0, 0), (0, 0, 0), 0.01)
    found = rest_matrix(heading @ tilt, Placement(np.eye(3), 100.0))
    np.testing.assert_allclose(found[:3, :3], rotation(np.array([1.5707963, 0, 0])), atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], 0)


def test_a_file_with_y_up_has_figures_that_stand_up_and_face_z():
    np.testing.assert_allclose(Y_UP @ [0, 0, 1], [0, 1, 0])
    np.testing.assert_allclose(Y_UP @ [0, -1, 0], [0, 0, 1])
    assert np.linalg.det(Y_UP) == pytest.approx(1)


def test_uneven_and_mirrored_scales_are_told():
    assert even_scale(np.diag([2.0, 2, 2, 1])) == pytest.approx(2)
    assert even_scale(np.diag([2.0, 2, 1.9, 1])) is None
    assert even_scale(np.diag([-1.0, 1, 1, 1])) is None
