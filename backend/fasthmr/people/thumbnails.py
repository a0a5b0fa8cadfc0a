# SPDX-License-Identifier: Apache-2.0
"""Small pictures of the people, so that a user can tell who is who.

Frames stream by before anybody knows who is in them, so that candidates are kept as JPEG, and the best of
each person is chosen at the end.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fasthmr.people.detection import Detection
from fasthmr.people.plausibility import plausibility

HEIGHT: Final = 256
_MAX_WIDTH: Final = 2 * HEIGHT
_MARGIN: Final = 0.12


def thumbnail(image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """A picture of one person, 256 pixels high, or less high where it would be wider than 512.

    Args:
        image: (height, width, 3) uint8 RGB.
        box: (4,) x0, y0, x1, y1 in pixels.

    Returns:
        (h, w, 3) uint8 RGB; None where the box lies outside of the image.
    """
    height, width = image.shape[:2]
    margin = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    x0, y0 = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
    x1, y1 = min(width, int(np.ceil(box[2] + margin))), min(height, int(np.ceil(box[3] + margin)))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    scale = min(HEIGHT / (y1 - y0), _MAX_WIDTH / (x1 - x0))
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    return cv2.resize(
        image[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )


def encode(picture: np.ndarray) -> bytes:
    """A picture (h, w, 3) uint8 RGB as JPEG."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise RuntimeError("OpenCV cannot write JPEG")
    return data.tobytes()


def decode(data: bytes) -> np.ndarray:
    """The picture (h, w, 3) uint8 RGB of JPEG data made by :func:`encode`."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise RuntimeError("OpenCV cannot read its own JPEG")
    return np.ascontiguousarray(picture[..., ::-1])


def merit(detection: Detection, image_size: tuple[int, int]) -> float:
    """How good a moment for a picture this is: large, seen well, wholly in the image, facing us."""
    box = detection.box
    inside = np.minimum(box[2:], image_size) - np.maximum(box[:2], 0)
    share = float(np.prod(np.clip(inside, 0, None)) / max(1.0, float(np.prod(box[2:] - box[:2]))))
    nose, ears = detection.landmarks_world[0, 2], detection.landmarks_world[7:9, 2].mean()
    facing = 1.0 if nose < ears else 0.7
    size = float(box[3] - box[1])
    sure = plausibility(detection.score, detection.visibility, detection.landmarks_world)
    return size * share**2 * facing * sure**2
