# SPDX-License-Identifier: Apache-2.0
"""Focal length from a file's metadata.

iPhones write ``com.apple.quicktime.camera.focal_length.35mm_equivalent`` into their movies; cameras
and phones write the EXIF tag ``FocalLengthIn35mmFilm`` into pictures. Only equivalents for 35 mm film
count: a bare focal length means nothing without the size of the sensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Wider than any fisheye, longer than any lens people are filmed with; 0 stands for "unknown".
_PLAUSIBLE_MM = (4.0, 2000.0)


def focal_35mm(*metadata: Mapping[str, str]) -> float | None:
    """The first plausible 35 mm equivalent focal length in the given tags.

    Args:
        metadata: tags of the container, the stream and the frame, in order of preference.

    Returns:
        Millimetres, or None.
    """
    for tags in metadata:
        for name, value in tags.items():
            name = name.lower()
            if "focal" not in name or "35mm" not in name:
                continue
            number = re.search(r"\d+(?:\.\d+)?", value)
            if number and _PLAUSIBLE_MM[0] <= float(number[0]) <= _PLAUSIBLE_MM[1]:
                return float(number[0])
    return None
