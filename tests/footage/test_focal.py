# SPDX-License-Identifier: Apache-2.0
"""Focal lengths as phones and cameras write them."""

from __future__ import annotations

import pytest

from fasthmr.footage.focal import focal_35mm

APPLE = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


@pytest.mark.parametrize(
    ("tags", "millimetres"),
    [
        ([{APPLE: "26"}], 26.0),
        ([{}, {"ExifIFD/FocalLengthIn35mmFilm": "     28"}], 28.0),
        ([{"FocalLengthIn35mmFilm": "13.5 mm"}], 13.5),
        ([{APPLE: "0"}, {"FocalLengthIn35mmFilm": "50"}], 50.0),
        ([{"FocalLength": "4.2"}], None),
        ([{APPLE: "unknown"}], None),
        ([], None),
    ],
)
def test_only_a_plausible_equivalent_counts(tags, millimetres):
    assert focal_35mm(*tags) == millimetres
