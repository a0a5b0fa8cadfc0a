# SPDX-License-Identifier: GPL-3.0-or-later
"""The same PyTorch, by the same rules, as `build.py` installs."""

import importlib.util
from pathlib import Path

import pytest
from recover_motion import torch_build


@pytest.fixture(scope="module")
def build():
    path = Path(__file__).parents[2] / "build.py"
    spec = importlib.util.spec_from_file_location("build_for_comparison", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("system", ["Linux", "Windows", "Darwin"])
@pytest.mark.parametrize("cuda", [None, "cu126", "cu130"])
def test_the_attempts_are_those_of_build(build, system, cuda):
    assert torch_build.torch_attempts(system, cuda) == build.torch_attempts(system, cuda)


@pytest.mark.parametrize(
    "rows",
    ["", "580.65.06, 8.9", "570.1, 8.9", "581.0, 7.0", "580.1, 7.5\n580.1, 6.1", "No devices were found"],
)
@pytest.mark.parametrize("library", ["", "libcuda.so.1"])
def test_the_card_is_judged_as_build_does(build, rows, library, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi" if rows else None)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: library or None)
    monkeypatch.setattr(build, "answer", lambda command, seconds: rows)
    found = torch_build.cuda_build(lambda command, seconds: rows)
    assert found == build.cuda_build()
    if rows == "580.65.06, 8.9":
        assert found == "cu130"
