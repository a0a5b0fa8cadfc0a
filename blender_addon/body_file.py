# SPDX-License-Identifier: GPL-3.0-or-later
"""Body files: any body in SMPL's layout (SMPL's own key names), and the open one that comes with the add-on.

Body axes: metres, y up, z forward, x to the figure's left; rest pose is the T-pose. The pose-dependent
displacements of official SMPL files (`posedirs`) are left alone: as 207 keyed shapes they would make the
rig slow and hard to edit, and the joints are the same without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from .array_file import ImportProblem, read_arrays, single_text
from .skeleton import JOINT_COUNT, PARENTS

SHAPE_COUNT: Final = 10

_NEEDED: Final = ("v_template", "shapedirs", "weights", "J_regressor", "kintree_table", "f")
_OPTIONAL: Final = ("vt", "ft", "name", "licence")


@dataclass(frozen=True)
class Body:
    """A body of V vertices and F triangles.

    Attributes:
        path: where it was read from.
        name: what the body calls itself.
        licence: its licence, in its own words.
        template: (V, 3) mean shape.
        shape_directions: (V, 3, 10) offsets for one unit of each beta.
        weights: (V, 24) skinning weights; each row sums to 1.
        joint_regressor: (24, V), rest joints from rest vertices.
        faces: (F, 3) vertex indices.
        uvs: (U, 2) texture coordinates, or None.
        uv_faces: (F, 3) indices into `uvs`, or None.
    """

    path: Path
    name: str
    licence: str
    template: np.ndarray
    shape_directions: np.ndarray
    weights: np.ndarray
    joint_regressor: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray | None
    uv_faces: np.ndarray | None

    def rest_vertices(self, betas: np.ndarray) -> np.ndarray:
        """(V, 3) vertices of the T-pose for a body shape (10,)."""
        return self.template + self.shape_directions @ betas

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """(24, 3) joints of the T-pose for a body shape (10,)."""
        return self.joint_regressor @ self.rest_vertices(betas)


def open_body_path() -> Path:
    """The open body that is part of the add-on."""
    return Path(__file__).parent / "bodies" / "open_body.npz"


def read_body_file(path: Path) -> Body:
    """Read and check a body file.

    Raises:
        ImportProblem: missing, damaged, or not in the layout of SMPL's 24 joints.
    """
    arrays = read_arrays(path, "body file", (*_NEEDED, *_OPTIONAL))
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise ImportProblem(
            f"{path} is not a body file: it lacks {', '.join(missing)}. Check that this is the right file."
        )
    problems = _problems(arrays)
    if problems:
        raise ImportProblem(
            f"The body file {path} does not fit: {'; '.join(problems)}. It must have SMPL's layout."
        )
    shapes = arrays["shapedirs"][:, :, :SHAPE_COUNT].astype(np.float64)
    weights = arrays["weights"].astype(np.float64)
    has_uvs = "vt" in arrays and "ft" in arrays
    return Body(
        path,
        name=single_text(arrays["name"]) if "name" in arrays else path.stem,
        licence=single_text(arrays["licence"]) if "licence" in arrays else "",
        template=arrays["v_template"].astype(np.float64),
        shape_directions=np.pad(shapes, ((0, 0), (0, 0), (0, SHAPE_COUNT - shapes.shape[2]))),
        weights=weights / weights.sum(axis=1, keepdims=True),
        joint_regressor=arrays["J_regressor"].astype(np.float64),
        faces=arrays["f"].astype(np.int64),
        uvs=arrays["vt"].astype(np.float64) if has_uvs else None,
        uv_faces=arrays["ft"].astype(np.int64) if has_uvs else None,
    )


def _problems(arrays: dict[str, np.ndarray]) -> list[str]:
    """What is wrong with a body's arrays, in words."""
    numeric = [name for name in (*_NEEDED, "vt", "ft") if name in arrays]
    found = [f"'{name}' holds no numbers" for name in numeric if arrays[name].dtype.kind not in "fiu"]
    found += [
        f"'{name}' holds values that are not finite"
        for name in numeric
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all()
    ]
    template, shapes, faces = arrays["v_template"], arrays["shapedirs"], arrays["f"]
    count = len(template) if template.ndim else 0
    expected = {
        "v_template": (count, 3),
        "weights": (count, JOINT_COUNT),
        "J_regressor": (JOINT_COUNT, count),
        "kintree_table": (2, JOINT_COUNT),
        "f": (len(faces) if faces.ndim else 0, 3),
    }
    found += [
        f"'{name}' has shape {arrays[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if arrays[name].shape != shape
    ]
    if shapes.ndim != 3 or shapes.shape[:2] != (count, 3):
        found.append(f"'shapedirs' has shape {shapes.shape} instead of ({count}, 3, {SHAPE_COUNT})")
    if found:
        return found
    if count == 0:
        return ["it holds no vertices"]
    # the root's own parent is -1 in some files and 2**32 - 1 in others
    if tuple(arrays["kintree_table"][0, 1:].astype(np.int64)) != PARENTS[1:]:
        found.append("'kintree_table' is not SMPL's")
    if faces.min(initial=0) < 0 or faces.max(initial=0) >= count:
        found.append("'f' points at vertices that are not there")
    if arrays["weights"].min() < 0 or np.abs(arrays["weights"].sum(axis=1) - 1).max() > 1e-2:
        found.append("'weights' do not sum to 1")
    if "vt" in arrays and "ft" in arrays:
        uvs, uv_faces = arrays["vt"], arrays["ft"]
        if uvs.ndim != 2 or uvs.shape[1] != 2 or uv_faces.shape != faces.shape:
            found.append("'vt' and 'ft' do not fit the faces")
        elif uv_faces.min(initial=0) < 0 or uv_faces.max(initial=0) >= len(uvs):
            found.append("'ft' points at texture coordinates that are not there")
    return found
