# SPDX-License-Identifier: Apache-2.0
"""Where BlazePose's 33 landmarks lie on a body: on joints of the skeleton, or on vertices of the skin.

Eleven landmarks are on the face, ten on hands and feet; SMPL has no joints there, so a fit compares
them with vertices. The body file of the open body carries them (``landmark_vertices``, made by
:func:`find_landmark_vertices`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from fasthmr.body.skeleton import INDEX

if TYPE_CHECKING:
    from fasthmr.body.anny_source import Floats, Indices, Source

LANDMARK_COUNT: Final = 33

#: Landmarks that are joints: BlazePose's index to SMPL's.
LANDMARK_JOINTS: Final[Mapping[int, int]] = {
    11: INDEX["left_shoulder"],
    12: INDEX["right_shoulder"],
    13: INDEX["left_elbow"],
    14: INDEX["right_elbow"],
    15: INDEX["left_wrist"],
    16: INDEX["right_wrist"],
    23: INDEX["left_hip"],
    24: INDEX["right_hip"],
    25: INDEX["left_knee"],
    26: INDEX["right_knee"],
    27: INDEX["left_ankle"],
    28: INDEX["right_ankle"],
}

# Landmarks of the left side by what they are; each right one follows in BlazePose's order.
_NOSE: Final = 0
_EYE: Final = {"inner": (1, 4), "middle": (2, 5), "outer": (3, 6)}
_EAR: Final = (7, 8)
_MOUTH: Final = (9, 10)
_KNUCKLES: Final = {"finger5-1.L": (17, 18), "finger2-1.L": (19, 20), "finger1-2.L": (21, 22)}
_HEEL: Final = (29, 30)
_TOE: Final = (31, 32)


def find_landmark_vertices(source: Source, template: Floats, weights: Floats) -> Indices:
    """Vertices (33,) at BlazePose's landmarks; -1 where the landmark is a joint (:data:`LANDMARK_JOINTS`).

    Args:
        source: what the body was made from: it knows the rings of eyelids and lips, and the fingers' bones.
        template: (V,3) the body at rest.
        weights: (V,24) its skinning weights.
    """
    found = np.full(LANDMARK_COUNT, -1, dtype=np.int64)

    def put(pair: tuple[int, int], vertex: int) -> None:
        found[pair[0]], found[pair[1]] = vertex, source.mirror[vertex]

    x, y, z = template.T
    eye_ring, mouth_ring = source.cap_rings[0], source.cap_rings[2]
    put(_EYE["middle"], source.cap_centres[0])
    put(_EYE["inner"], int(eye_ring[np.argmin(x[eye_ring])]))
    put(_EYE["outer"], int(eye_ring[np.argmax(x[eye_ring])]))
    put(_MOUTH, int(mouth_ring[np.argmax(x[mouth_ring])]))

    face = (y > y[source.cap_centres[2]]) & (y < y[source.cap_centres[0]]) & (np.abs(x) < 0.002)
    found[_NOSE] = np.argmax(np.where(face, z, -np.inf))

    head = weights[:, INDEX["head"]] > 0.5
    ear = np.flatnonzero(head & (x > 0.85 * x[head].max()))
    front = (*template[ear, :2].mean(axis=0), z[ear].max())  # the tragus, in front of the ear canal
    put(_EAR, int(ear[np.argmin(np.linalg.norm(template[ear] - front, axis=1))]))

    # The fingers' bones are known in MakeHuman's rest pose; the skin has the same vertices there.
    skin = source.vertices.mean(axis=0)
    for bone, pair in _KNUCKLES.items():
        knuckle = source.heads[:, source.bones.index(bone)].mean(axis=0)
        put(pair, int(np.argmin(np.linalg.norm(skin - knuckle, axis=1))))

    foot = (weights[:, INDEX["left_ankle"]] + weights[:, INDEX["left_foot"]]) > 0.9
    put(_HEEL, int(np.argmin(np.where(foot & (y < 0.04), z, np.inf))))
    ankle_line = x[foot].mean()
    put(_TOE, int(np.argmax(np.where(foot & (x < ankle_line), z, -np.inf))))
    return found
