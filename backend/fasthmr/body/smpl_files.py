# SPDX-License-Identifier: Apache-2.0
"""Users' own SMPL files: the official ``.pkl`` and ``.npz``, read without ever running code from them.

The official pickles were written by Python 2 and hold arrays of ``chumpy``, a package that current
Python cannot install. :class:`_SafeUnpickler` knows only the few names of numpy, scipy and chumpy
that such files need; each stands for a harmless class or function of this module, and any other
name ends the reading. The arrays then go through ``smplx`` (its ``data_struct``), so that official
files are understood as their authors mean them. ``smplx`` is optional: its licence allows only
non-commercial use, as does that of the files.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fasthmr.body.body_file import POSE_FEATURES, SHAPE_COUNT, BodyArrays
from fasthmr.body.landmark_vertices import LANDMARK_COUNT
from fasthmr.body.skeleton import JOINT_COUNT, PARENTS
from fasthmr.errors import BadInput, MissingModel

LICENCE: Final = (
    "SMPL model licence: non-commercial research and education only, see "
    "https://smpl.is.tue.mpg.de/modellicense"
)

#: What is read of an official file; the rest (priors, training notes) is ignored.
SMPL_KEYS: Final = (
    "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f",
)  # fmt: skip

# smplx's names of vertices, and which of BlazePose's landmarks they are.
_SMPLX_LANDMARKS: Final[Mapping[str, int]] = {
    "nose": 0, "leye": 2, "reye": 5, "lear": 7, "rear": 8,
    "LHeel": 29, "RHeel": 30, "LBigToe": 31, "RBigToe": 32,
}  # fmt: skip


class ForbiddenName(pickle.UnpicklingError):
    """A pickle asked for something that a body model never needs."""


class _DType:
    """Stands for ``numpy.dtype``: numbers only."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biuf][1248]", self.code) or self.order not in "<>|=":
            raise pickle.UnpicklingError(f"an array of the type {self.code!r}, not of numbers")
        return np.dtype(f"{'=' if self.order == '|' else self.order}{self.code}")


class _Array:
    """Stands for ``numpy.ndarray``: bytes with a type and a shape."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state

    def array(self) -> NDArray[Any]:
        dtype = self.dtype.numpy()
        # Python 2's byte strings arrive as text, one character a byte.
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw
        if not isinstance(raw, (bytes, bytearray)):
            raise pickle.UnpicklingError("an array without its bytes")
        values = np.frombuffer(raw, dtype)
        return values.reshape(self.shape, order="F" if self.fortran else "C")


def _empty_array(*_: object) -> _Array:
    """Stands for ``numpy.core.multiarray._reconstruct``; the values follow as the object's state."""
    return _Array()


def _array_from_buffer(raw: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    """Stands for ``numpy.core.numeric._frombuffer``, which pickle protocol 5 uses."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: _DType, raw: bytes | str) -> _Array:
    """Stands for ``numpy.core.multiarray.scalar``."""
    return _array_from_buffer(raw if isinstance(raw, bytes) else raw.encode("latin1"), dtype, (), "C")


class _Attributes:
    """An object of which only the attributes matter."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)


class _Chumpy(_Attributes):
    """Stands for ``chumpy.ch.Ch``: an array with a history, of which only the array matters."""

    def array(self) -> NDArray[Any]:
        return plain_array(self.state["x"])


class _ChumpySelect(_Attributes):
    """Stands for ``chumpy.reordering.Select``: elements of another array (SMPL's ``shapedirs``)."""

    def array(self) -> NDArray[Any]:
        chosen = plain_array(self.state["a"]).ravel()[plain_array(self.state["idxs"])]
        shape = self.state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(shape)


class _SparseColumns(_Attributes):
    """Stands for scipy's matrices of compressed columns (SMPL's ``J_regressor``)."""

    def parts(self) -> tuple[tuple[int, int], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Shape, values, and for each value its place along the compressed axis and the other one."""
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        values, minor, starts = (plain_array(self.state[key]) for key in ("data", "indices", "indptr"))
        major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return (int(shape[0]), int(shape[1])), values, major, minor

    def array(self) -> NDArray[Any]:
        shape, values, column, row = self.parts()
        dense = np.zeros(shape)
        np.add.at(dense, (row, column), values)
        return dense


class _SparseRows(_SparseColumns):
    """Stands for scipy's matrices of compressed rows."""

    def array(self) -> NDArray[Any]:
        shape, values, row, column = self.parts()
        dense = np.zeros(shape)
        np.add.at(dense, (row, column), values)
        return dense


def plain_array(value: object) -> NDArray[Any]:
    """The numpy array that a value of a pickle stands for.

    Raises:
        UnpicklingError: it stands for none.
    """
    if isinstance(value, (_Array, _Chumpy, _ChumpySelect, _SparseColumns)):
        return value.array()
    if isinstance(value, (bool, int, float, list, tuple)):
        return np.asarray(value, dtype=np.float64)
    raise pickle.UnpicklingError(f"a {type(value).__name__} where an array belongs")


class _Object:
    """Stands for ``object``, which Python 2 names as the base when it makes an instance."""


def _new_instance(cls: type, *_: object) -> object:
    """Stands for ``copyreg._reconstructor``: an instance without attributes yet."""
    if cls not in (_Chumpy, _ChumpySelect, _SparseColumns, _SparseRows):
        raise ForbiddenName(f"an instance of {cls!r}")
    return cls.__new__(cls)


_NUMPY_CORES: Final = ("numpy.core", "numpy._core")
_STAND_INS: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    **{(f"{core}.multiarray", "_reconstruct"): _empty_array for core in _NUMPY_CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _NUMPY_CORES},
    **{(f"{core}.numeric", "_frombuffer"): _array_from_buffer for core in _NUMPY_CORES},
    **{(f"scipy.sparse.{module}", "csc_matrix"): _SparseColumns for module in ("csc", "_csc")},
    **{(f"scipy.sparse.{module}", "csr_matrix"): _SparseRows for module in ("csr", "_csr")},
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    # Modules by their names in Python 2 and 3.
    **{(module, "_reconstructor"): _new_instance for module in ("copy_reg", "copyreg")},
    **{(module, "object"): _Object for module in ("__builtin__", "builtins")},
    **{(module, "set"): set for module in ("__builtin__", "builtins")},  # in the history of chumpy's arrays
    ("_codecs", "encode"): lambda text, coding: text.encode(
        "latin1"
    ),  # how Python 3 writes bytes for Python 2
}


class _SafeUnpickler(pickle.Unpickler):
    """Reads pickles that name nothing but :data:`_STAND_INS`."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        stand_in = _STAND_INS.get((module, name))
        if stand_in is None:
            raise ForbiddenName(f"{module}.{name}")
        return stand_in


def read_smpl_pickle(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays (:data:`SMPL_KEYS`) of an official SMPL ``.pkl``; no code in the file is run.

    Raises:
        BadInput: it is damaged, not an SMPL file, or asks for code that an SMPL file does not need.
    """
    advice = "Download the model again from https://smpl.is.tue.mpg.de."
    try:
        with path.open("rb") as stream:
            content = _SafeUnpickler(stream, encoding="latin1").load()
        if not isinstance(content, dict):
            raise BadInput(f"{path}: not an SMPL file: it holds no table of arrays. {advice}")
        return {key: plain_array(content[key]) for key in SMPL_KEYS if key in content}
    except ForbiddenName as error:
        raise BadInput(
            f"{path}: refused, nothing was run: it asks for '{error}', which an SMPL file has no use for "
            f"and which could harm your computer. {advice}"
        ) from error
    except (
        pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, MemoryError,
        OverflowError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise BadInput(
            f"{path}: cannot be read as an SMPL file: {error or 'it is damaged'}. {advice}"
        ) from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}.") from error


def body_from_smpl(path: Path, arrays: Mapping[str, NDArray[Any]]) -> BodyArrays:
    """A body from the arrays of an official SMPL file, as ``smplx`` understands them.

    Args:
        path: where they come from, for messages; its name becomes the body's.
        arrays: :data:`SMPL_KEYS` as in the file; more than ten shape components are cut to ten.

    Raises:
        MissingModel: ``smplx`` is not installed.
        BadInput: something is missing, or it is not SMPL with its 24 joints.
    """
    _check(path, arrays)
    try:
        import smplx
        from smplx.utils import Struct
        from smplx.vertex_ids import vertex_ids
    except ImportError as error:
        raise MissingModel(
            f"{path}: official SMPL files need the package smplx, which is not installed: pip install smplx. "
            "Its licence, like that of the SMPL files, allows non-commercial use only; the open body "
            "(--body open) needs neither."
        ) from error
    tree = np.array([PARENTS, range(JOINT_COUNT)], dtype=np.int64)
    content = Struct(**{**arrays, "f": arrays["f"].astype(np.int64), "kintree_table": tree})
    with contextlib.redirect_stdout(io.StringIO()):  # it warns about files with ten shape components
        model = smplx.SMPL(
            model_path="",
            data_struct=content,
            num_betas=SHAPE_COUNT,
            create_betas=False,
            create_body_pose=False,
            create_global_orient=False,
            create_transl=False,
        )
    buffers = {name: buffer.numpy() for name, buffer in model.named_buffers()}
    count = len(buffers["v_template"])
    landmarks = np.full(LANDMARK_COUNT, -1)
    if count == 6890:  # the mesh that smplx's vertex names are for
        for name, landmark in _SMPLX_LANDMARKS.items():
            landmarks[landmark] = vertex_ids["smplh"][name]
    try:
        return BodyArrays(
            v_template=buffers["v_template"],
            shapedirs=buffers["shapedirs"],
            weights=buffers["lbs_weights"],
            J_regressor=buffers["J_regressor"],
            f=buffers["faces_tensor"],
            posedirs=buffers["posedirs"].T.reshape(count, 3, POSE_FEATURES),
            landmark_vertices=landmarks if count == 6890 else None,
            name=path.stem,
            licence=LICENCE,
        )
    except ValueError as error:
        raise BadInput(f"{path}: not a usable SMPL file: {error}.") from error


def _check(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what is not SMPL before smplx stumbles over it."""
    missing = [key for key in SMPL_KEYS if key not in arrays]
    if missing:
        raise BadInput(f"{path}: neither a body file nor an SMPL file: {', '.join(missing)} missing.")
    tree = arrays["kintree_table"]
    if tree.ndim != 2 or tree.shape[1] != JOINT_COUNT or tuple(tree[0, 1:].tolist()) != PARENTS[1:]:
        raise BadInput(
            f"{path}: its skeleton is not that of SMPL with 24 joints (SMPL-H, SMPL-X and others have more). "
            "Give an SMPL file."
        )
    count = len(arrays["v_template"])
    shapes = {
        "v_template": (count, 3),
        "posedirs": (count, 3, POSE_FEATURES),
        "J_regressor": (JOINT_COUNT, count),
        "weights": (count, JOINT_COUNT),
    }
    shapedirs = arrays["shapedirs"]
    wrong = [key for key, shape in shapes.items() if arrays[key].shape != shape]
    if shapedirs.ndim != 3 or shapedirs.shape[:2] != (count, 3) or shapedirs.shape[2] < SHAPE_COUNT:
        wrong.append("shapedirs")
    if wrong:
        raise BadInput(f"{path}: a damaged SMPL file: {', '.join(wrong)} do not fit together.")
