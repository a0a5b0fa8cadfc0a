# SPDX-License-Identifier: Apache-2.0
"""PyTorch's files are read as PyTorch reads them, and nothing in them is ever run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from fasthmr.encoder import torch_files
from fasthmr.encoder.torch_files import (
    DamagedFile,
    Inert,
    StoredTensor,
    check_sums,
    map_tensors,
    read_torch_file,
)

PROTO = b"\x80\x02"


def archive(path: Path, description: bytes, parts: dict[str, bytes] | None = None, **options: Any) -> Path:
    """A file as PyTorch writes it, with any description."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", description)
        for name, content in (parts or {}).items():
            file.writestr(f"archive/{name}", content)
    return path


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    content = read_torch_file(path)
    return map_tensors(path, {name: one for name, one in content.items() if isinstance(one, StoredTensor)})


# --- what PyTorch writes


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
    ],
)
def test_tensors_of_every_type_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    whole = (torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 9).to(dtype)
    content = {
        "whole": whole,
        "turned": whole.T,
        "part": whole[1:4, ::2],
        "one": whole[2, 3],
        "spread": whole[:1].expand(4, 5),
        "none": whole[:0],
    }
    torch.save(content, tmp_path / "a.pt")
    found = read_tensors(tmp_path / "a.pt")
    assert list(found) == list(content)
    for name, one in content.items():
        assert found[name].dtype == one.dtype
        assert found[name].shape == one.shape
        assert torch.equal(found[name], one)


def test_module_with_its_table_of_versions_comes_back(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    torch.save(module.state_dict(), tmp_path / "a.pt")  # an OrderedDict with attributes
    found = read_tensors(tmp_path / "a.pt")
    assert all(torch.equal(found[name], one) for name, one in module.state_dict().items())
    torch.save({"w": nn.Parameter(torch.ones(3))}, tmp_path / "b.pt")
    assert torch.equal(read_tensors(tmp_path / "b.pt")["w"], torch.ones(3))


def test_tensors_may_share_their_numbers(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    torch.save({"a": whole, "b": whole[2:]}, tmp_path / "a.pt")
    found = read_tensors(tmp_path / "a.pt")
    assert found["b"].data_ptr() == found["a"].data_ptr() + 8


def test_changing_a_tensor_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    read_tensors(tmp_path / "a.pt")["a"].fill_(7)
    assert (tmp_path / "a.pt").read_bytes() == before


def test_numbers_at_odd_places_are_read_too(tmp_path: Path) -> None:
    """Other zip programs do not align the parts as PyTorch does."""
    torch.save({"a": torch.arange(5.0), "b": torch.arange(3.0)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old:
        parts = {name.split("/", 1)[1]: old.read(name) for name in old.namelist() if "data.pkl" not in name}
        description = old.read("a/data.pkl")
    for shift in range(1, 5):
        path = archive(tmp_path / f"{shift}.pt", description, {"x" * shift: b"", **parts})
        assert torch.equal(read_tensors(path)["a"], torch.arange(5.0))


def test_settings_of_packages_that_are_not_there_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the published files, whose settings are objects of yacs or omegaconf."""
    with monkeypatch.context() as patched:
        module = types.ModuleType("yacs.config")
        node: Any = type("CfgNode", (dict,), {"__module__": "yacs.config"})
        module.__dict__["CfgNode"] = node
        patched.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        patched.setitem(sys.modules, "yacs.config", module)
        settings_of_training = node(MODEL=node(DEPTH=32, PATHS=[Path("/data"), {1, 2}]))
        settings_of_training.frozen = True
        content = {
            "hyper_parameters": {"cfg": settings_of_training, "kind": collections.Counter("abc")},
            "callbacks": {object: 1.5, complex(1, 2): torch.device("cpu")},
            "state_dict": {"a": torch.ones(2)},
        }
        torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.ckpt", weights_only=True)
    found = read_torch_file(tmp_path / "a.ckpt")
    assert isinstance(found["hyper_parameters"]["cfg"], Inert)
    assert isinstance(found["state_dict"]["a"], StoredTensor)
    assert "yacs" not in sys.modules


# --- what nobody should write

MALICIOUS = {
    "reduce": PROTO + b"cos\nsystem\nX\x04\x00\x00\x00evil\x85R.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04evil\x85R.",
    "eval": PROTO + b"cbuiltins\neval\nX\x10\x00\x00\x00open('evil','w')\x85R.",
    "exec of Python 2": PROTO + b"c__builtin__\nexec\nX\x04\x00\x00\x00evil\x85R.",
    "inst": b"(S'evil'\nios\nsystem\n.",
    "obj": PROTO + b"(cos\nsystem\nX\x04\x00\x00\x00evilo.",
    "newobj": PROTO + b"cos\nsystem\nX\x04\x00\x00\x00evil\x85\x81.",
    "newobj with names": b"\x80\x04cos\nsystem\nX\x04\x00\x00\x00evil\x85}\x92.",
    "getattr": PROTO + b"cbuiltins\ngetattr\ncos\nenviron\nX\x05\x00\x00\x00clear\x86R(tR.",
    "subprocess": PROTO + b"csubprocess\nPopen\nX\x04\x00\x00\x00evil\x85R.",
    "torch": PROTO + b"ctorch\nload\nX\x04\x00\x00\x00evil\x85R.",
    "import": PROTO + b"cimportlib\nimport_module\nX\x04\x00\x00\x00evil\x85R.",
    "state of a class": PROTO + b"ccollections\nOrderedDict\n}X\x03\x00\x00\x00popK\x01sb.",
    "state of a function": PROTO + b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb.",
    "slots of a type": PROTO + b"ctorch\nFloatStorage\nN}X\x04\x00\x00\x00nameK\x01s\x86b.",
    "module that runs": PROTO + b"cantigravity\nfly\n.",
}


@pytest.fixture
def no_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Watch what a pickle could reach; nothing may be called, imported or changed."""
    called: list[object] = []

    def watch(*values: object, **_: object) -> None:
        called.append(values)

    import importlib
    import subprocess

    # Pickle finds these by their names, and so would find the watcher.
    for place, name in [(os, "system"), (subprocess, "Popen"), (torch, "load"), (importlib, "import_module")]:
        monkeypatch.setattr(place, name, watch)
    modules, environment = set(sys.modules), set(os.environ)
    yield called
    assert not called
    assert not {"antigravity", "evil"} & (set(sys.modules) - modules)
    assert set(os.environ) == environment


@pytest.mark.parametrize("name", MALICIOUS)
def test_no_description_runs_anything(tmp_path: Path, name: str, no_calls: list[object]) -> None:
    path = archive(tmp_path / "a.ckpt", MALICIOUS[name])
    kinds = (Inert, StoredTensor, torch_files._Table, collections.OrderedDict)
    before = [dict(vars(kind)) for kind in kinds]
    try:
        found = read_torch_file(path)
    except DamagedFile:
        found = None
    assert not os.path.exists("evil")  # noqa: PTH110
    known = torch_files._stand_ins().values()
    assert (
        found is None
        or isinstance(found, (Inert, type, torch.dtype))
        or found.__code__ in {one.__code__ for one in known}
    )
    assert before == [dict(vars(kind)) for kind in kinds]


def test_the_attacks_are_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary reader would have called what these name."""
    called = []
    monkeypatch.setattr(os, "system", lambda *values: called.append(values))
    for name in ("reduce", "stack global", "inst", "obj"):
        pickle.loads(MALICIOUS[name])  # noqa: S301 (what is tested: with a watcher in the place of os.system)
    assert called == [("evil",)] * 4


def honest_description() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": nn.Linear(2, 3).state_dict(), "epoch": 3, "note": ["a", 1.5, None]}, buffer)
    with zipfile.ZipFile(buffer) as file:
        return file.read("archive/data.pkl")


HONEST = honest_description()


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.tuples(st.integers(0, len(HONEST) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(1, len(HONEST)),
    more=st.binary(max_size=20),
)
def test_any_description_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    content = bytearray(HONEST)
    for place, value in changes:
        content[place] = value
    path = archive(tmp_path_factory.mktemp("a") / "a.pt", bytes(content[:cut]) + more)
    try:
        read_torch_file(path)
    except DamagedFile:
        return


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    length=st.integers(-1, 20),
    offset=st.integers(-3, 20),
    shape=st.lists(st.integers(-2, 6), max_size=3),
    strides=st.lists(st.integers(-2, 6), max_size=3),
)
def test_a_tensor_never_reads_beyond_its_numbers(
    length: int, offset: int, shape: list[int], strides: list[int]
) -> None:
    rebuild = torch_files._stand_ins()["torch._utils", "_rebuild_tensor_v2"]
    storage = StoredTensor(torch.float32, "0", length, 0, (length,), (1,))
    try:
        one = rebuild(storage, offset, tuple(shape), tuple(strides), False, {})
    except pickle.UnpicklingError:
        return
    view = torch.empty(max(length, 0)).as_strided(
        one.shape, one.strides, one.offset
    )  # PyTorch checks as well
    assert view.shape == tuple(shape)


# --- what is not whole


def saved(path: Path) -> Path:
    torch.save({"a": torch.randn(3000), "b": torch.randn(500)}, path)
    return path


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_file_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path / "a.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamagedFile, match="cut short"):
        read_torch_file(path)


def test_changed_numbers_are_found_by_the_check_sums(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt")
    check_sums(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    read_tensors(path)  # not seen without
    with pytest.raises(DamagedFile, match="data/0 has changed"):
        check_sums(path)


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
TENSOR = (
    PROTO
    + b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("
    + STORAGE
    + b"K\x00K\x04\x85K\x01\x85\x89}tRs."
)
NUMBERS = struct.pack("<4f", 1, 2, 3, 4)


def test_crafted_file_is_read_as_long_as_it_is_whole(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", TENSOR, {"data/0": NUMBERS, "byteorder": sys.byteorder.encode()})
    assert read_tensors(path)["a"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ({}, {}, "numbers are missing"),
        ({"data/0": NUMBERS[:-1]}, {}, "numbers are missing"),
        ({"data/0": NUMBERS}, {"compression": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"data/0": NUMBERS, "byteorder": b"big"}, {}, "byte order"),
        ({"data/0": NUMBERS, "constants.pkl": b""}, {}, "TorchScript"),
    ],
)
def test_what_is_missing_or_foreign_is_said(
    tmp_path: Path, parts: dict[str, bytes], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DamagedFile, match=message):
        read_tensors(archive(tmp_path / "a.pt", TENSOR, parts, **options))


@pytest.mark.parametrize(
    "description",
    [
        TENSOR.replace(b"K\x04\x85K\x01", b"K\x05\x85K\x01"),  # larger than its storage
        TENSOR.replace(b"K\x04\x85K\x01", b"J\xff\xff\xff\xff\x85K\x01"),  # a negative side
        TENSOR.replace(b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00torches"),
        TENSOR.replace(b"ctorch\nFloatStorage", b"ctorch\nOddsyStorage"),
        b"",
        b"\x80",
        b"garbage",
    ],
)
def test_impossible_descriptions_are_refused(tmp_path: Path, description: bytes) -> None:
    assert description != TENSOR
    with pytest.raises(DamagedFile):
        read_tensors(archive(tmp_path / "a.pt", description, {"data/0": NUMBERS}))


def test_overlong_description_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_files, "_LONGEST_PICKLE", 10 << 20)
    bomb = archive(tmp_path / "a.pt", b"\0" * (11 << 20), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedFile, match="11 MB"):
        read_torch_file(bomb)


def test_other_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(DamagedFile, match=r"data\.pkl"):
        read_torch_file(tmp_path / "a.zip")
