# SPDX-License-Identifier: Apache-2.0
"""Each of a camera's faults by itself, against what it should be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.training.synthesis.camera_faults import CameraFaults


def sound() -> CameraFaults:
    """A camera without faults, to give some to."""
    faults = CameraFaults(np.random.default_rng(0))
    faults._noise, faults._blur, faults._gamma = 0.0, 0.0, 1.0
    faults._quality, faults._grey = 0, False
    return faults


def picture() -> np.ndarray:
    """Smooth waves of colour."""
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    waves = [np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]
    return (127 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)


def apply(faults: CameraFaults, image: np.ndarray, seed: int = 0) -> np.ndarray:
    return faults.apply(image, np.random.default_rng(seed))


def test_no_faults_no_change() -> None:
    np.testing.assert_allclose(apply(sound(), picture()), picture(), atol=1)  # exposures are whole numbers


def test_noise_is_as_strong_as_it_should_be() -> None:
    faults, grey = sound(), np.full((100, 100, 3), 128, np.uint8)
    faults._noise = 10.0
    off = apply(faults, grey).astype(float) - 128
    assert off.std() == pytest.approx(10, rel=0.03)
    assert abs(off.mean()) < 1
    assert (apply(faults, grey, 1) != apply(faults, grey, 2)).any()


def test_exposure_is_a_power() -> None:
    faults = sound()
    faults._gamma = 1.5
    expected = (255 * (picture() / 255) ** 1.5).astype(np.uint8)
    np.testing.assert_allclose(apply(faults, picture()), expected, atol=1)


def test_blur_takes_the_fine_away() -> None:
    faults, dots = sound(), np.zeros((64, 96, 3), np.uint8)
    dots[::8, ::8] = 255
    faults._blur = 1.2
    blurred = apply(faults, dots)
    assert blurred.max() < 60
    assert blurred.mean() == pytest.approx(dots.mean(), rel=0.1)


def test_compression_loses_a_little() -> None:
    faults = sound()
    faults._quality = 60
    off = np.abs(apply(faults, picture()).astype(float) - picture())
    assert 0.1 < off.mean() < 4


def test_grey_has_no_colour() -> None:
    faults = sound()
    faults._grey = True
    grey = apply(faults, picture())
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    np.testing.assert_allclose(grey[..., 1], cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY), atol=1)


def test_seeds_decide_and_pictures_stay_pictures() -> None:
    results = []
    for seed in range(40):
        image = apply(CameraFaults(np.random.default_rng(seed)), picture(), seed)
        same = apply(CameraFaults(np.random.default_rng(seed)), picture(), seed)
        np.testing.assert_array_equal(image, same)
        assert image.shape == picture().shape
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        results.append(image)
    assert len({image.tobytes() for image in results}) > 35
