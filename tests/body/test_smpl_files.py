# SPDX-License-Identifier: Apache-2.0
"""Official SMPL files: evaluated as smplx does, and never able to run code."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import roma
import scipy.sparse
import torch

from fasthmr.body import JOINT_COUNT, PARENTS, BodyModel, load_body, save_body
from fasthmr.errors import BadInput, MissingModel

PROTOCOLS = (0, 2, 4, 5)


def smpl_content(seed: int = 0, vertices: int = 50, shapes: int = 10) -> dict:
    """A file in the layout of an official one, of random numbers; chumpy's arrays come in the tests."""
    rng = np.random.default_rng(seed)
    parents = np.array(PARENTS, dtype=np.int64)
    parents[0] = 2**32 - 1
    regressor = rng.dirichlet(np.full(vertices, 0.1), size=JOINT_COUNT)
    regressor[regressor < np.median(regressor)] = 0
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(scale=0.1, size=(vertices, 3, shapes)),
        "posedirs": rng.normal(scale=0.02, size=(vertices, 3, 207)),
        "J_regressor": scipy.sparse.csc_matrix(regressor / regressor.sum(axis=1, keepdims=True)),
        "weights": rng.dirichlet(np.full(JOINT_COUNT, 0.1), size=vertices),
        "kintree_table": np.stack([parents, np.arange(JOINT_COUNT)]).astype(np.uint32),
        "f": rng.integers(vertices, size=(80, 3)).astype(np.uint32),
        "bs_style": "lbs",
        "J": rng.normal(size=(JOINT_COUNT, 3)),
    }


@pytest.fixture
def chumpy(monkeypatch):
    """Just enough of chumpy to write what chumpy writes."""
    package: Any = ModuleType("chumpy")
    ch: Any = ModuleType("chumpy.ch")
    reordering: Any = ModuleType("chumpy.reordering")
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})
    for module in (package, ch, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def array(values):
        result = ch.Ch()
        vars(result).update(x=values, _dirty_vars=set(), _itr=None, _make_dense=False, _depends_on_deps={})
        return result

    def select(values, indices, shape):
        result = reordering.Select()
        vars(result).update(a=array(values), idxs=indices, preferred_shape=shape, _dirty_vars={"a"})
        return result

    return array, select


def assert_same_as_smplx(body: BodyModel, content: dict) -> None:
    """Random bodies of ours against smplx's own forward pass."""
    smplx = pytest.importorskip("smplx")
    from smplx.utils import Struct
    from smplx.vertex_ids import vertex_ids

    regressor = content["J_regressor"]
    plain = {
        **content,
        "f": content["f"].astype(np.int64),
        "kintree_table": content["kintree_table"].astype(np.int64),
    }
    plain["J_regressor"] = regressor.toarray() if scipy.sparse.issparse(regressor) else regressor
    extra = dict.fromkeys(vertex_ids["smplh"], 0)  # smplx wants landmarks, which a tiny mesh does not have
    model = smplx.SMPLLayer(model_path="", data_struct=Struct(**plain), num_betas=10, vertex_ids=extra)
    generator = torch.Generator().manual_seed(1)
    rotvec = torch.randn(6, JOINT_COUNT, 3, generator=generator)
    betas, translation = torch.randn(6, 10, generator=generator), torch.randn(6, 3, generator=generator)
    rotations = roma.rotvec_to_rotmat(rotvec)
    expected = model(
        betas=betas,
        global_orient=rotations[:, :1],
        body_pose=rotations[:, 1:],
        transl=translation,
        pose2rot=False,
    )
    vertices, joints = body(rotations, betas, translation)
    torch.testing.assert_close(vertices, expected.vertices, atol=2e-5, rtol=0)
    torch.testing.assert_close(joints, expected.joints[:, :JOINT_COUNT], atol=2e-5, rtol=0)
    cheap, _ = body.joints(rotations, betas, translation)
    torch.testing.assert_close(cheap, expected.joints[:, :JOINT_COUNT], atol=2e-5, rtol=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_of_plain_arrays(tmp_path, protocol):
    content = smpl_content(shapes=300)
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    body = load_body(path)
    assert body.name == "SMPL_NEUTRAL"
    assert "non-commercial" in body.licence
    np.testing.assert_array_equal(body.shapedirs, content["shapedirs"][:, :, :10].astype(np.float32))
    assert_same_as_smplx(body, content)


def test_pickle_with_chumpy_arrays(tmp_path, chumpy, monkeypatch):
    """Python 2 wrote protocol 2 with the old names of numpy's and scipy's modules."""
    array, select = chumpy
    content = smpl_content()
    shapedirs = content["shapedirs"]
    more = np.random.default_rng(5).permutation(np.concatenate([shapedirs.ravel(), np.zeros(100)]))
    order = np.argsort(more, kind="stable")
    indices = order[np.searchsorted(more[order], shapedirs.ravel())]
    with_chumpy = {
        **content,
        "v_template": array(content["v_template"]),
        "weights": array(np.asfortranarray(content["weights"])),
        "posedirs": array(content["posedirs"].astype(">f8")),
        "shapedirs": select(more, indices, shapedirs.shape),
    }
    raw = pickle.dumps(with_chumpy, protocol=2)
    for new, old in (
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
        (b"scipy.sparse._csc", b"scipy.sparse.csc"),
    ):
        raw = raw.replace(new, old)
    assert all(name in raw for name in (b"numpy.core.multiarray", b"scipy.sparse.csc", b"chumpy.reordering"))
    path = tmp_path / "basicModel_f.pkl"
    path.write_bytes(raw)
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):  # not installed when the file is read
        monkeypatch.delitem(sys.modules, name)
    assert_same_as_smplx(load_body(path), content)


def test_old_protocol_writes_instances_through_copyreg(tmp_path, chumpy):
    array, _ = chumpy
    content = smpl_content()
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**content, "weights": array(content["weights"])}, protocol=0))
    assert b"_reconstructor" in path.read_bytes()
    assert_same_as_smplx(load_body(path), content)


def test_rows_instead_of_columns(tmp_path):
    content = smpl_content()
    content["J_regressor"] = content["J_regressor"].tocsr()
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))
    assert_same_as_smplx(load_body(path), content)


def test_npz(tmp_path):
    content = smpl_content(shapes=300)
    content["J_regressor"] = content["J_regressor"].toarray()
    path = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(
        path, **content, joint2num=np.array([{"pelvis": 0}], dtype=object)
    )  # needless, pickled: left alone
    assert_same_as_smplx(load_body(path), content)


def test_exported_body_is_the_same_body(tmp_path):
    content = smpl_content()
    source, export = tmp_path / "model.pkl", tmp_path / "clip.body.npz"
    source.write_bytes(pickle.dumps(content))
    save_body(load_body(source), export)
    again = load_body(export)
    assert "non-commercial" in again.licence
    assert_same_as_smplx(again, content)


def test_vertices_of_the_official_mesh_serve_as_landmarks(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(smpl_content(vertices=6890)))
    landmarks = load_body(path).landmark_vertices
    assert landmarks is not None
    assert (landmarks >= 0).sum() == 9
    assert (landmarks[0], landmarks[29], landmarks[32]) == (332, 3387, 6617)


class Trap:
    """Loading this with pickle calls a function."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def traps(marker: Path) -> dict:
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Trap(os.system, f"touch '{marker}'"),
        "exec": Trap(exec, code),
        "eval": Trap(eval, code),
        "a method": Trap(Path.touch, marker),
        "getattr": Trap(getattr, "text", "encode"),
        "a pickle inside": Trap(pickle.loads, pickle.dumps(Trap(os.system, f"touch '{marker}'"))),
        "import": Trap(__import__, "antigravity"),
        "numpy": Trap(np.fromfile, "/dev/null"),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", sorted(traps(Path("marker"))))
@pytest.mark.parametrize("place", ["whole file", "needed key", "other key", "chumpy's history"])
def test_malicious_pickle_is_refused(tmp_path, chumpy, kind, protocol, place):
    marker, path = tmp_path / "marker", tmp_path / "SMPL_NEUTRAL.pkl"
    trap = traps(marker)[kind]
    content = smpl_content(vertices=5)
    if place == "whole file":
        content = trap
    elif place == "chumpy's history":
        content["v_template"] = chumpy[0](trap)
    else:
        content["weights" if place == "needed key" else "notes"] = trap
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(BadInput, match=r"SMPL_NEUTRAL\.pkl: refused, nothing was run: it asks for '\w+"):
        load_body(path)
    assert not marker.exists()


def test_the_trap_works(tmp_path):
    """What is refused above would have run."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(traps(marker)["os.system"]))  # noqa: S301
    assert marker.exists()


def test_message_names_what_was_asked_for(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Trap(os.system, "true")))
    with pytest.raises(BadInput, match=r"posix\.system|nt\.system"):
        load_body(path)


@pytest.mark.parametrize(
    "hand_written",
    [
        b"\x80\x04\x95\x00",  # a frame without content
        b"cbuiltins\nset\n(I1\nI2\ntR.",  # set() takes one argument
        b"cnumpy\ndtype\n(S'O8'\ntR.",  # not a table
        b"cnumpy\nndarray\n(I3\ntR.",
        b"ccopyreg\n_reconstructor\n(cbuiltins\nset\ncbuiltins\nobject\nNtR.",
        b"\x82\x01.",  # an extension code
        b"Pouter\n.",  # a persistent id
    ],
)
def test_hand_written_pickles(tmp_path, hand_written):
    path = tmp_path / "model.pkl"
    path.write_bytes(hand_written)
    with pytest.raises(BadInput, match=r"model\.pkl"):
        load_body(path)


def test_arrays_of_objects_are_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**smpl_content(), "weights": np.array([{}], dtype=object)}))
    with pytest.raises(BadInput, match="not of numbers"):
        load_body(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80", b"PK\x03\x04"])
def test_other_files(tmp_path, content):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.pkl"):
        load_body(path)


@pytest.mark.filterwarnings("ignore:overflow encountered")  # damage can make numbers huge
def test_truncated_and_damaged_pickles_end_in_messages(tmp_path):
    path = tmp_path / "model.pkl"
    whole = pickle.dumps(smpl_content(vertices=5), protocol=2)
    rng = np.random.default_rng(0)
    for position in rng.integers(len(whole), size=150).tolist():
        path.write_bytes(whole[:position])
        with pytest.raises(BadInput):
            load_body(path)
        damaged = bytearray(whole)
        damaged[position] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            load_body(path)  # a changed digit of a coordinate cannot be noticed
        except BadInput:
            continue


def test_smpl_x_is_named_as_the_reason(tmp_path):
    content = smpl_content()
    content["kintree_table"] = np.zeros((2, 55), dtype=np.uint32)
    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(BadInput, match="24 joints"):
        load_body(path)


@pytest.mark.parametrize("key", ["shapedirs", "posedirs", "weights"])
def test_arrays_that_do_not_fit(tmp_path, key):
    content = smpl_content()
    content[key] = content[key][:-1]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(BadInput, match=key):
        load_body(path)


def test_missing_array(tmp_path):
    content = smpl_content()
    del content["posedirs"]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(BadInput, match="posedirs missing"):
        load_body(path)


def test_without_smplx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(smpl_content()))
    with pytest.raises(MissingModel, match=r"pip install smplx.*non-commercial"):
        load_body(path)


def test_standard_output_stays_clean(tmp_path, capsys):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(smpl_content(shapes=10)))
    load_body(path)
    assert capsys.readouterr().out == ""
