# SPDX-License-Identifier: Apache-2.0
"""A source motion is whole, and knows how long it is."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.training.mocap.source_motion import SourceMotion


def test_it_knows_its_length() -> None:
    source = SourceMotion("a", "cmu_asf", 120.0, ("x", "y"), np.array([-1, 0]), np.zeros((60, 2, 3)))
    assert (source.frame_count, source.seconds) == (60, 0.5)


@pytest.mark.parametrize(
    ("parents", "shape", "message"),
    [
        ([-1, 0], (9, 3, 3), "for 2 joints"),
        ([-1, 0], (9, 6), "for 2 joints"),
        ([1, -1], (9, 2, 3), "parent must come before"),
        ([-1], (9, 2, 3), "parent must come before"),
    ],
)
def test_what_does_not_fit_is_refused(parents: list[int], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceMotion("a", "cmu_asf", 120.0, ("x", "y"), np.array(parents), np.zeros(shape))
