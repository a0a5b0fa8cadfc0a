# SPDX-License-Identifier: Apache-2.0
"""What a camera and a video file do to a picture: noise, blur, exposure, compression."""

from __future__ import annotations

import cv2
import numpy as np


class CameraFaults:
    """Faults of one camera.

    Args:
        random: of everything drawn; the faults are drawn once, their noise with each picture.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._noise = float(random.exponential(4.0)) if random.random() < 0.7 else 0.0
        self._blur = float(random.uniform(0.3, 1.2)) if random.random() < 0.4 else 0.0
        self._gamma = float(np.exp(random.normal(scale=0.2)))
        self._quality = int(random.integers(35, 95)) if random.random() < 0.8 else 0
        self._grey = random.random() < 0.05

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the same with the faults."""
        if self._grey:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        levels = (255 * np.linspace(0, 1, 256) ** self._gamma).astype(np.uint8)
        image = cv2.LUT(image, levels)
        if self._blur:
            image = cv2.GaussianBlur(image, (0, 0), self._blur)
        if self._noise:
            # coarse randomness is enough, and ten times as fast as normal deviates
            grain = random.integers(-128, 128, image.shape, np.int8).astype(np.float32)
            image = np.clip(image + grain * (self._noise / 74), 0, 255).astype(np.uint8)
        if self._quality:
            _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
            image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        return np.ascontiguousarray(image)
