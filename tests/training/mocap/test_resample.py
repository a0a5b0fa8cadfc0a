# SPDX-License-Identifier: Apache-2.0
"""30 frames a second: slow motion stays, shaking does not turn into slow motion."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.training.mocap.resample import resample


@pytest.mark.parametrize("rate", [60.0, 100.0, 120.0, 25.0])
def test_slow_motion_stays(rate: float) -> None:
    seconds = np.arange(round(4 * rate) + 1) / rate
    slow = np.stack([np.sin(3 * seconds), 5 + 0.3 * seconds], -1)
    found = resample(slow, rate)
    at = np.arange(len(found)) / 30
    assert len(found) == 121
    wanted = np.stack([np.sin(3 * at), 5 + 0.3 * at], -1)
    inner = slice(6, -6)
    np.testing.assert_allclose(found[inner], wanted[inner], atol=0.004)
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_shaking_does_not_become_slow_motion() -> None:
    """29 Hz at 120 frames a second: every fourth frame would show 1 Hz."""
    seconds = np.arange(480) / 120
    shaking = np.sin(2 * np.pi * 29 * seconds)[:, None]
    assert np.abs(shaking[::4]).max() > 0.9
    assert np.abs(resample(shaking, 120.0)[6:-6]).max() < 0.1


def test_thirty_is_left_alone_and_far_from_the_origin_is_exact() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3, 3))
    np.testing.assert_array_equal(resample(values, 30.0), values.astype(np.float32))
    still = np.full((120, 2, 3), 1234.5)
    np.testing.assert_allclose(resample(still, 120.0), 1234.5, rtol=1e-7)
    with pytest.raises(ValueError, match="positive"):
        resample(values, 0.0)
