# SPDX-License-Identifier: GPL-3.0-or-later
"""body_file.py: any body in SMPL's layout, and clear words for anything else."""

import numpy as np
import pytest
from recover_motion.array_file import ImportProblem
from recover_motion.body_file import open_body_path, read_body_file
from smpl_reference import PARENTS, sphere_body

BODY = sphere_body(seed=3)


def test_rest_figure_is_linear_in_the_betas(body):
    read = read_body_file(body.path)
    betas = np.random.default_rng(0).normal(size=10)
    vertices = body.v_template + sum(body.shapedirs[:, :, i].astype(float) * betas[i] for i in range(10))
    np.testing.assert_allclose(read.rest_vertices(betas), vertices, atol=1e-6)
    np.testing.assert_allclose(read.rest_joints(betas), body.rest_joints(betas), atol=1e-6)


def test_the_open_body_is_the_one_in_the_add_on(open_body_path):
    assert read_body_file(open_body_path).name == "open"


def test_open_body_path_is_inside_the_package():
    assert open_body_path().parts[-3:] == ("recover_motion", "bodies", "open_body.npz")


def test_official_layouts(tmp_path):
    """Roots marked 2**32 - 1, more shape directions than ten, no texture coordinates."""
    tree = np.array([PARENTS, range(24)], np.int64)
    tree[0, 0] = 2**32 - 1
    more = np.concatenate([BODY.shapedirs, BODY.shapedirs], axis=2)
    BODY.save(tmp_path / "b.npz", kintree_table=tree.astype(np.uint32), shapedirs=more, vt=None, ft=None)
    body = read_body_file(tmp_path / "b.npz")
    np.testing.assert_array_equal(body.shape_directions, BODY.shapedirs)
    assert body.uvs is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": None}, "lacks weights"),
        ({"weights": BODY.weights[:, :20]}, "'weights' has shape"),
        ({"weights": 2 * BODY.weights}, "do not sum to 1"),
        ({"weights": np.full_like(BODY.weights, np.nan)}, "not finite"),
        ({"J_regressor": np.zeros((55, len(BODY.v_template)))}, "'J_regressor' has shape"),
        ({"f": BODY.f + len(BODY.v_template)}, "vertices that are not there"),
        ({"f": np.array([["a", "b", "c"]])}, "'f' holds no numbers"),
        ({"kintree_table": np.zeros((2, 24), np.int64)}, "'kintree_table' is not SMPL's"),
        ({"shapedirs": np.zeros((4, 3, 10))}, "'shapedirs' has shape"),
        ({"ft": BODY.ft + 1000}, "texture coordinates that are not there"),
        ({"ft": BODY.ft[:3]}, "do not fit the faces"),
        ({"v_template": np.zeros((0, 3))}, "has shape"),
    ],
)
def test_refused(tmp_path, changes, words):
    BODY.save(tmp_path / "body.npz", **changes)
    with pytest.raises(ImportProblem) as caught:
        read_body_file(tmp_path / "body.npz")
    assert words in str(caught.value)
    assert "body.npz" in str(caught.value)
