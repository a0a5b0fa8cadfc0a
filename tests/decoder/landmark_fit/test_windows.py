# SPDX-License-Identifier: Apache-2.0
"""Windows cover a clip, overlap, and fade into each other without a seam."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fasthmr.decoder.landmark_fit.windows import ramp, windows


@given(st.integers(1, 3000), st.integers(20, 400), st.integers(1, 19))
def test_windows_cover_and_overlap(count: int, size: int, overlap: int) -> None:
    spans = list(windows(count, size, overlap))
    assert spans[0].start == 0
    assert spans[-1].stop == count
    for before, after in itertools.pairwise(spans):
        assert after.start > before.start
        assert before.stop - after.start >= overlap - 1
        assert after.stop - after.start == size


def test_ramp_fades_in_over_what_is_covered() -> None:
    share = ramp(slice(10, 20), 14)
    np.testing.assert_allclose(share, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])
