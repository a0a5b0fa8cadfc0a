# SPDX-License-Identifier: Apache-2.0
"""The body file: one ``.npz`` with SMPL's own key names and no pickles.

=====================  ================  ============================================================
key                    shape             meaning
=====================  ================  ============================================================
``v_template``         (V,3) float32     vertices of the mean shape in T-pose: metres, y up, facing +z
``shapedirs``          (V,3,10) float32  displacement for one unit of each shape coefficient
``weights``            (V,24) float32    skinning weights, rows sum to 1
``J_regressor``        (24,V) float32    joints from the vertices at rest, rows sum to 1
``kintree_table``      (2,24) int64      parents and indices of the joints (-1: no parent)
``f``                  (F,3) int32       triangles, counter-clockwise seen from outside
``vt``, ``ft``         (U,2), (F,3)      texture coordinates and their triangles; absent if unknown
``posedirs``           (V,3,207)         pose-dependent displacements; absent if the body has none
``landmark_vertices``  (33,) int32       vertices at BlazePose's landmarks, -1 where there is none
``name``, ``licence``  text              what it is, and under which terms it may be used
=====================  ================  ============================================================
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthmr.body.skeleton import JOINT_COUNT, PARENTS
from fasthmr.errors import BadInput, MissingModel

SHAPE_COUNT: Final = 10
POSE_FEATURES: Final = 9 * (JOINT_COUNT - 1)

_NEEDED: Final = (
    "v_template",
    "shapedirs",
    "weights",
    "J_regressor",
    "kintree_table",
    "f",
    "name",
    "licence",
)
_OPTIONAL: Final = ("vt", "ft", "posedirs", "landmark_vertices")
_KEYS: Final = (*_NEEDED, *_OPTIONAL)

_ADVICE: Final = "Use a body file that FastHMR wrote, or an official SMPL .pkl or .npz file."


@dataclass(frozen=True)
class BodyArrays:
    """What a body file holds; shapes and units as in the module's table.

    Arrays of any type of number are accepted and converted to those of the table.

    Raises:
        ValueError: shapes do not belong together, or a value is out of range.
    """

    v_template: NDArray[Any]
    shapedirs: NDArray[Any]
    weights: NDArray[Any]
    J_regressor: NDArray[Any]
    f: NDArray[Any]
    name: str
    licence: str
    vt: NDArray[Any] | None = None
    ft: NDArray[Any] | None = None
    posedirs: NDArray[Any] | None = None
    landmark_vertices: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        count = np.shape(self.v_template)[0] if np.ndim(self.v_template) else 0
        if count == 0:
            raise ValueError("it has no vertices")
        self._convert("v_template", np.float32, (count, 3))
        self._convert("shapedirs", np.float32, (count, 3, SHAPE_COUNT))
        self._convert("weights", np.float32, (count, JOINT_COUNT))
        self._convert("J_regressor", np.float32, (JOINT_COUNT, count))
        self._convert("posedirs", np.float32, (count, 3, POSE_FEATURES))
        self._convert("f", np.int32, (None, 3), below=count)
        self._convert("vt", np.float32, (None, 2))
        if (self.vt is None) != (self.ft is None):
            raise ValueError("'vt' and 'ft' only go together")
        if self.vt is not None:
            self._convert("ft", np.int32, (len(self.f), 3), below=len(self.vt))
        self._convert("landmark_vertices", np.int32, (None,), lowest=-1, below=count)
        for key, axis in (("weights", 1), ("J_regressor", 1)):
            if not np.allclose(getattr(self, key).sum(axis=axis, dtype=np.float64), 1.0, atol=1e-3):
                raise ValueError(f"the rows of '{key}' do not sum to 1")

    def _convert(
        self,
        key: str,
        dtype: Any,
        shape: tuple[int | None, ...],
        *,
        lowest: int = 0,
        below: int | None = None,
    ) -> None:
        value: ArrayLike | None = getattr(self, key)
        if value is None:
            return
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"'{key}' is not an array of numbers")
        if array.ndim != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
        ):
            wanted = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"'{key}' has the shape {array.shape} instead of {wanted}")
        if not np.isfinite(array).all():
            raise ValueError(f"'{key}' holds values that are not finite")
        if below is not None and array.size and (array.min() < lowest or array.max() >= below):
            raise ValueError(f"'{key}' points outside {lowest}..{below - 1}")
        object.__setattr__(self, key, np.ascontiguousarray(array, dtype=dtype))


def write_body_file(path: Path, body: BodyArrays) -> None:
    """Write a body file; an older one is replaced only when the new one is complete.

    Raises:
        OSError: the folder does not exist, cannot be written to, or the disk is full.
    """
    path = Path(path)
    arrays: dict[str, NDArray[Any]] = {
        key: value for key, value in vars(body).items() if isinstance(value, np.ndarray)
    }
    arrays["kintree_table"] = np.array([PARENTS, range(JOINT_COUNT)], dtype=np.int64)
    arrays["name"] = np.array(body.name)
    arrays["licence"] = np.array(body.licence)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` body file, ours or an official one, not yet checked.

    Pickled objects in the file are never loaded: official files carry some in keys that nobody
    needs, and those are left out.

    Raises:
        MissingModel: there is no such file.
        BadInput: it is not an ``.npz`` file, is damaged, or holds a needed array as a pickle.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise BadInput(f"{path}: not a body file: it holds one plain array. {_ADVICE}")
        with loaded as data:
            return {key: data[key] for key in data.files if key in _KEYS}
    except FileNotFoundError:
        raise MissingModel(f"{path}: no such body file. {_ADVICE}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError) as error:
        if "allow_pickle" in str(error) and zipfile.is_zipfile(path):
            reason = "it holds pickled objects, which could run code"
        else:
            reason = "it is damaged or not an .npz file"
        raise BadInput(f"{path}: cannot be read as a body file: {reason}. {_ADVICE}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}.") from error


def body_from_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> BodyArrays:
    """Check the arrays of a body file.

    Args:
        path: where they come from, for messages.
        arrays: as :func:`read_npz` gives them.

    Raises:
        BadInput: something is missing or does not fit together.
    """
    missing = [key for key in _NEEDED if key not in arrays]
    if missing:
        raise BadInput(f"{path}: not a body file: {', '.join(missing)} missing. {_ADVICE}")
    tree = arrays["kintree_table"]
    # Official files store "no parent" as 2**32 - 1.
    if tree.shape != (2, JOINT_COUNT) or tuple(tree[0, 1:].tolist()) != PARENTS[1:]:
        raise BadInput(f"{path}: its joints are not SMPL's 24 joints. {_ADVICE}")
    optional = {key: arrays.get(key) for key in _OPTIONAL}
    try:
        return BodyArrays(
            v_template=arrays["v_template"],
            shapedirs=arrays["shapedirs"],
            weights=arrays["weights"],
            J_regressor=arrays["J_regressor"],
            f=arrays["f"],
            name=str(arrays["name"]),
            licence=str(arrays["licence"]),
            **optional,  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise BadInput(f"{path}: a damaged body file: {error}. {_ADVICE}") from error
