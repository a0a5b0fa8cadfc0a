# SPDX-License-Identifier: Apache-2.0
"""Small random bodies with valid layouts, and the open body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fasthmr.body import JOINT_COUNT, BodyModel, load_body
from fasthmr.body.body_file import POSE_FEATURES, SHAPE_COUNT, BodyArrays


def tiny_arrays(seed: int = 0, vertices: int = 40, posedirs: bool = True) -> BodyArrays:
    """A body of random numbers: nothing human, but everything that the layout asks for."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(JOINT_COUNT, 0.1), size=vertices)
    regressor = rng.dirichlet(np.full(vertices, 0.1), size=JOINT_COUNT)
    return BodyArrays(
        v_template=rng.normal(size=(vertices, 3)),
        shapedirs=rng.normal(scale=0.1, size=(vertices, 3, SHAPE_COUNT)),
        weights=weights,
        J_regressor=regressor,
        f=rng.integers(vertices, size=(60, 3)),
        posedirs=rng.normal(scale=0.05, size=(vertices, 3, POSE_FEATURES)) if posedirs else None,
        name="tiny",
        licence="CC0-1.0",
    )


@pytest.fixture
def make_arrays() -> Callable[..., BodyArrays]:
    return tiny_arrays


@pytest.fixture(scope="session")
def open_body() -> BodyModel:
    return load_body("open")
