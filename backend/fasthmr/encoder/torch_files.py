# SPDX-License-Identifier: Apache-2.0
"""Reading the tensors of PyTorch files (``.ckpt``, ``.pt``, ``.pth``) without ever running code from them.

Such a file is a zip archive with a pickle, ``data.pkl``, and the numbers beside it. Published checkpoints
hold more than tensors: settings of the training as objects of yacs, omegaconf and the like, which a pickle
would import and build. Here every name but the few that tensors need stands for an inert object that takes
anything and does nothing; so nothing is imported and nothing is called, whatever the file says, and the
packages of the authors are not needed either. (``torch.load(weights_only=True)`` is as safe, but refuses
these files.)

The numbers are mapped into memory, not copied: a tensor that nobody reads costs nothing.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

_LONGEST_PICKLE: Final = 256 << 20  # bytes; the published ones have less than one
_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class DamagedFile(Exception):  # noqa: N818 (says what happened)
    """The file is not what it should be; the text says in what way, without the file's name."""


@dataclass(frozen=True)
class StoredTensor:
    """Where in a file the numbers of a tensor lie.

    Attributes:
        dtype: their type.
        key: name of the storage in the archive.
        length: how many numbers the storage holds.
        offset: the first of them that belongs to the tensor.
        shape: of the tensor.
        strides: steps in the storage, numbers.
    """

    dtype: torch.dtype
    key: str
    length: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert(dict[Any, Any]):
    """Stands for whatever a pickle asks for and tensors do not need: takes everything, does nothing."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """An object that forgot what it was made from."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setitem__(self, key: object, value: object) -> None:
        """Forget it."""

    def __setstate__(self, *_: object) -> None:
        """Forget it."""

    def append(self, *_: object) -> None:
        """Forget it."""

    def extend(self, *_: object) -> None:
        """Forget it."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class _Table(dict[Any, Any]):
    """Stands for ``OrderedDict``: its entries count, its attributes do not."""

    def __setstate__(self, *_: object) -> None:
        """Forget it (versions of modules)."""


def _stand_ins() -> dict[tuple[str, str], Callable[..., Any]]:
    """What the names that tensors need stand for; made anew for each reading, as a pickle can change them."""

    def rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> StoredTensor:
        if not (
            isinstance(storage, StoredTensor) and isinstance(shape, tuple) and isinstance(strides, tuple)
        ):
            raise pickle.UnpicklingError("a tensor without its numbers")
        numbers = (offset, *shape, *strides)
        if len(shape) != len(strides) or not all(type(one) is int and one >= 0 for one in numbers):
            raise pickle.UnpicklingError("a tensor of an impossible shape")
        last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.length:
            raise pickle.UnpicklingError("a tensor larger than its storage")
        return StoredTensor(storage.dtype, storage.key, storage.length, offset, shape, strides)

    def unwrap(tensor: object, *_: object) -> object:
        return tensor

    def table(entries: object = (), *_: object) -> _Table:
        return _Table(entries if isinstance(entries, (list, tuple)) else ())

    return {
        ("torch._utils", "_rebuild_tensor_v2"): rebuild,
        ("torch._utils", "_rebuild_tensor"): rebuild,
        ("torch._utils", "_rebuild_parameter"): unwrap,
        ("torch._utils", "_rebuild_parameter_with_state"): unwrap,
        ("collections", "OrderedDict"): table,
    }


class _Reader(pickle.Unpickler):
    """Reads a pickle; imports nothing and calls nothing but :func:`_stand_ins`."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._known = _stand_ins()
        self._inert = type("Inert", (Inert,), {})

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return self._known.get((module, name), self._inert)

    def persistent_load(self, pid: Any) -> StoredTensor:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("a reference to something that is no storage")
        _, dtype, key, _, length = pid
        if not (isinstance(dtype, torch.dtype) and isinstance(key, str) and type(length) is int):
            raise pickle.UnpicklingError("numbers of an unknown type")
        return StoredTensor(dtype, key, length, 0, (length,), (1,))


def read_torch_file(path: Path) -> Any:
    """What a PyTorch file holds, with :class:`StoredTensor` for tensors and :class:`Inert` for all objects.

    Args:
        path: the file, a zip archive.

    Raises:
        DamagedFile: it cannot be read.
        OSError: it cannot be opened.
    """
    with _opened(path) as archive:
        info = archive.getinfo(f"{_folder(archive)}/data.pkl")
        if info.file_size > _LONGEST_PICKLE:
            raise DamagedFile(f"its description alone has {info.file_size >> 20} MB")
        try:
            content = archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DamagedFile(f"its description cannot be read ({error})") from error
    try:
        return _Reader(content).load()
    except (
        pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, MemoryError,
        OverflowError, RecursionError, TypeError, ValueError, struct.error,
    ) as error:  # fmt: skip
        raise DamagedFile(f"its description is damaged ({error})") from error


def map_tensors(path: Path, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """The tensors themselves, their numbers mapped into memory.

    Args:
        path: the file.
        stored: by name, from :func:`read_torch_file` of the same file.

    Raises:
        DamagedFile: numbers are missing, compressed or in the other byte order.
        OSError: the file cannot be opened.
    """
    with _opened(path) as archive:
        folder = _folder(archive)
        order = f"{folder}/byteorder"
        if order in archive.namelist() and archive.read(order).decode("latin1") != sys.byteorder:
            raise DamagedFile(f"it was written by a machine with the other byte order (not {sys.byteorder})")
        places = {key: _place(archive, folder, key, one) for key, one in _by_storage(stored)}
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)  # changes stay in memory
    storages: dict[tuple[str, torch.dtype], Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for name, one in stored.items():
        whole = storages.get((one.key, one.dtype))
        if whole is None:
            whole = _numbers(mapped, places[one.key], one)
            storages[one.key, one.dtype] = whole
        tensors[name] = whole.as_strided(one.shape, one.strides, one.offset)
    return tensors


def check_sums(path: Path) -> None:
    """Read the whole archive and compare it with the check sums in it.

    Raises:
        DamagedFile: a part has changed since the file was written.
        OSError: the file cannot be read.
    """
    with _opened(path) as archive:
        try:
            changed = archive.testzip()
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DamagedFile(f"a part of it cannot be read ({error})") from error
    if changed is not None:
        raise DamagedFile(f"its part {changed} has changed since it was written")


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DamagedFile("its end is missing or damaged; the file was probably cut short") from error


def _folder(archive: zipfile.ZipFile) -> str:
    """The folder in the archive that the rest lies in; its name is that of the file when it was written."""
    for name in archive.namelist():
        folder, _, last = name.rpartition("/")
        if last == "data.pkl":
            if f"{folder}/constants.pkl" in archive.namelist():
                raise DamagedFile("it is a TorchScript program, not a checkpoint")
            return folder
    raise DamagedFile("it is an archive, but not one that PyTorch wrote: data.pkl is missing")


def _by_storage(stored: Mapping[str, StoredTensor]) -> Iterator[tuple[str, StoredTensor]]:
    """Each storage once, with the largest tensor type that reads it."""
    yield from {one.key: one for one in sorted(stored.values(), key=_bytes)}.items()


def _bytes(one: StoredTensor) -> int:
    return one.length * one.dtype.itemsize


def _place(archive: zipfile.ZipFile, folder: str, key: str, one: StoredTensor) -> int:
    """Where in the file the numbers of a storage begin."""
    try:
        info = archive.getinfo(f"{folder}/data/{key}")
    except KeyError as error:
        raise DamagedFile(f"numbers are missing (data/{key[:40]})") from error
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise DamagedFile("its numbers are compressed, which PyTorch never does")
    stream = archive.fp
    assert stream is not None  # noqa: S101 (for the type checker)
    stream.seek(info.header_offset)
    header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise DamagedFile(f"numbers are not where they should be (data/{key[:40]})")
    start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    size = stream.seek(0, io.SEEK_END)
    if info.file_size < _bytes(one) or start + _bytes(one) > size:
        raise DamagedFile(f"numbers are missing (data/{key[:40]})")
    return start


def _numbers(mapped: mmap.mmap, start: int, one: StoredTensor) -> Tensor:
    """All numbers of a storage, (length,)."""
    if not one.length:
        return torch.empty(0, dtype=one.dtype)
    if start % one.dtype.itemsize == 0:
        return torch.frombuffer(mapped, dtype=one.dtype, count=one.length, offset=start)
    return torch.frombuffer(bytearray(mapped[start : start + _bytes(one)]), dtype=one.dtype)


def numel(one: StoredTensor) -> int:
    """How many numbers a stored tensor has."""
    return math.prod(one.shape)
