# SPDX-License-Identifier: Apache-2.0
"""Sketches of people: the boxes, and the limbs whose ends are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fasthmr.footage import Frame
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_LIMBS
from fasthmr.people.sketches import sketch_people, sketch_tracks
from fasthmr.people.values import Track
from tests.people.synthetic import IMAGE_SIZE, detection

FRAME = Frame(11, 0.4, np.zeros((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), np.uint8))


def test_each_person_has_a_box_and_every_limb_that_is_seen() -> None:
    seen = replace(detection(400.0), visibility=np.ones(33, np.float32))
    hidden = replace(detection(800.0), visibility=np.ones(33, np.float32))
    hidden.visibility[LANDMARK_INDEX["left_elbow"]] = 0.1  # two limbs meet there
    sketch = sketch_people(FRAME, [seen, hidden])
    assert (sketch.frame, sketch.image_size) == (11, IMAGE_SIZE)
    assert sketch.image is FRAME.image
    np.testing.assert_allclose(sketch.boxes, [seen.box, hidden.box])
    assert len(sketch.lines) == 2 * len(LANDMARK_LIMBS) - 2
    a, b = LANDMARK_LIMBS[5]
    np.testing.assert_allclose(sketch.lines[5], seen.landmarks_image[[a, b], :2])


def test_nobody_is_a_frame_alone() -> None:
    sketch = sketch_people(FRAME, [])
    assert sketch.boxes.shape == (0, 4)
    assert sketch.lines.shape == (0, 2, 2)


def test_a_track_is_drawn_as_the_detection_that_it_was_made_of() -> None:
    one, other = detection(300.0), detection(500.0)
    track = Track(
        person=1,
        shot=0,
        frame_indices=np.array([10, 11]),
        timestamps=np.array([0.3, 0.4]),
        boxes=np.stack([one.box, other.box]).astype(np.float32),
        landmarks_image=np.stack([one.landmarks_image, other.landmarks_image]).astype(np.float32),
        landmarks_world=np.zeros((2, 33, 3), np.float32),
        visibility=np.stack([one.visibility, other.visibility]).astype(np.float32),
        masks=(None, None),
    )
    drawn, expected = sketch_tracks(FRAME, [(track, 1)]), sketch_people(FRAME, [other])
    np.testing.assert_allclose(drawn.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(drawn.lines, expected.lines, atol=1e-3)
