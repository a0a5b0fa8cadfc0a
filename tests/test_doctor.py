# SPDX-License-Identifier: Apache-2.0
"""The doctor says what is missing and what to do, and goes on whatever goes wrong."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

from fasthmr import cli, doctor
from fasthmr.doctor import EXAMINATIONS, Examination, Trouble, examine, memory_bytes, missing_library
from fasthmr.errors import FastHMRError, MissingModel

BY_NAME = {one.name: one for one in EXAMINATIONS}


def failing(error: Exception, required: bool = True) -> Examination:
    def look() -> str:
        raise error

    return Examination("part", look, "do this", required)


def test_what_works_is_told_without_advice() -> None:
    findings = examine([Examination("part", lambda: "version 3", "do this")])
    assert findings.ok
    assert (findings.checks[0].detail, findings.checks[0].advice) == ("version 3", "")


@pytest.mark.parametrize(
    ("error", "detail", "advice"),
    [
        (Trouble("too old", "get a new one"), "too old", "get a new one"),
        (MissingModel("the weights are not there"), "the weights are not there", "do this"),
        (FastHMRError("no OpenGL"), "no OpenGL", "do this"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh", "do this"),
        (ModuleNotFoundError("No module named 'torch'"), "ModuleNotFoundError", "do this"),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            "libGL.so.1",
            "sudo apt install libgl1",
        ),
    ],
)
def test_what_fails_is_told_with_what_to_do(error: Exception, detail: str, advice: str) -> None:
    findings = examine([failing(error), Examination("next", lambda: "fine", "")])
    assert not findings.ok
    assert detail in findings.checks[0].detail
    assert advice in findings.checks[0].advice
    assert findings.checks[1].ok


def test_only_what_is_required_counts() -> None:
    assert examine([failing(RuntimeError("x"), required=False)]).ok
    assert not examine([failing(RuntimeError("x"), required=True)]).ok


@pytest.mark.parametrize(
    ("message", "package"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", "libgl1"),
        ("libEGL.so.1: cannot open shared object file", "libegl1"),
        ("OSError: libGLESv2.so.2: cannot open shared object file", "libgles2"),
        ("libgthread-2.0.so.0: cannot open shared object file", "libglib2.0-0"),
        ("libstrange-4.so.2: cannot open shared object file", "libstrange-4.so"),
        ("DLL load failed while importing cv2: not found", "Visual C++"),
    ],
)
def test_missing_system_libraries_are_named_by_their_package(message: str, package: str) -> None:
    assert package in missing_library(message)


def test_other_errors_name_no_library() -> None:
    assert missing_library("No module named 'cv2'") == ""


def test_a_system_library_that_an_import_misses_reaches_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "cv2":
                raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    findings = examine([BY_NAME["images"]])
    assert not findings.ok
    assert "apt install libgl1" in findings.checks[0].advice


@pytest.mark.parametrize("name", ["python", "torch", "device", "video", "images"])
def test_the_environment_of_these_tests_is_sound(name: str) -> None:
    check = examine([BY_NAME[name]]).checks[0]
    assert check.ok, check.detail
    assert check.detail


def test_the_device_tells_its_bf16() -> None:
    assert "bf16" in examine([BY_NAME["device"]]).checks[0].detail


def test_the_open_body_loads() -> None:
    check = examine([BY_NAME["body"]]).checks[0]
    assert check.ok, check.detail
    assert "vertices" in check.detail


def test_what_merges_tokens_is_told() -> None:
    from fasthmr.encoder.merge_operator import operator_state

    check = examine([BY_NAME["operator"]]).checks[0]
    assert check.ok == operator_state().startswith("compiled")
    assert check.detail == operator_state()
    assert not check.required


@pytest.mark.parametrize("fault", ["wrong pairs", "no kernel image is available"])
def test_an_operator_that_does_not_work_is_a_warning(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fasthmr.encoder import merge_operator

    def broken(tokens: torch.Tensor, *others: object) -> merge_operator.MergedTokens:
        if fault != "wrong pairs":
            raise RuntimeError(f"CUDA error: {fault}\nCompile with another option.")
        return merge_operator.MergedTokens(*[torch.zeros(1, 4)] * 5)

    monkeypatch.setattr(merge_operator, "merge_tokens", broken)
    findings = examine([BY_NAME["operator"]])
    assert findings.ok
    assert not findings.checks[0].ok
    assert ("merges wrongly" if fault == "wrong pairs" else fault) in findings.checks[0].detail
    assert "encoder/compiled. Run `python build.py setup`" in findings.checks[0].advice


def test_missing_weights_are_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_parts: ModuleType
) -> None:
    def missing() -> None:
        raise MissingModel("The person detector's weights are missing.")

    monkeypatch.setattr(sys.modules["fasthmr.people"], "BlazePoseDetector", missing)
    findings = examine([BY_NAME["perception"]])
    assert not findings.ok
    assert "weights are missing" in findings.checks[0].detail
    assert "build.py setup" in findings.checks[0].advice


def test_a_disk_that_is_nearly_full_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**12, 10**12, 10**8))
    findings = examine([BY_NAME["disk"]])
    assert findings.ok
    assert not findings.checks[0].ok
    assert "0.1 GB free" in findings.checks[0].detail


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_bytes", lambda: (8 << 30, 1 << 30))
    findings = examine([BY_NAME["memory"]])
    assert findings.ok
    assert not findings.checks[0].ok


def test_memory_of_this_machine_is_plausible() -> None:
    total, free = memory_bytes()
    assert 5e8 < total < 1e14
    assert free is None or 0 < free <= total


def test_the_command_prints_a_table_or_json_and_ends_accordingly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Examination("python", lambda: "3.11", "")
    warned = failing(RuntimeError("no OpenGL"), required=False)
    broken = failing(RuntimeError("no weights"))
    monkeypatch.setattr(doctor, "EXAMINATIONS", (good, warned))
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok       python" in out
    assert "warning  part" in out
    assert "do this" in out
    monkeypatch.setattr(doctor, "EXAMINATIONS", (good, warned, broken))
    assert cli.main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [check["ok"] for check in found["checks"]] == [True, False, False]
    assert set(found["checks"][0]) == {"name", "ok", "detail", "advice", "required"}


def test_every_check_is_there_once_and_has_advice() -> None:
    names = [one.name for one in EXAMINATIONS]
    assert len(set(names)) == len(names)
    assert all(one.advice for one in EXAMINATIONS)
    assert not BY_NAME["preview"].required
