# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several backends is used."""

import os

import pytest
from recover_motion.backend_location import BackendProblem, find_command


def backend_in(folder):
    command = folder / ".venv" / ("Scripts/fasthmr.exe" if os.name == "nt" else "bin/fasthmr")
    command.parent.mkdir(parents=True)
    command.touch()
    command.chmod(0o755)
    return command


def test_variable_then_preference_then_installed_then_path(tmp_path):
    chosen, installed = backend_in(tmp_path / "é 1"), backend_in(tmp_path / "é 2")
    on_path = backend_in(tmp_path / "é 3")
    named = tmp_path / "named"
    named.touch()
    named.chmod(0o755)
    variables = {"FASTHMR_COMMAND": str(named), "PATH": str(on_path.parent)}
    places = {"preference": str(tmp_path / "é 1"), "installed": tmp_path / "é 2"}
    assert find_command(environment=variables, **places) == [str(named)]
    del variables["FASTHMR_COMMAND"]
    assert find_command(environment=variables, **places) == [str(chosen)]
    places["preference"] = ""
    assert find_command(environment=variables, **places) == [str(installed)]
    installed.unlink()
    assert find_command(environment=variables, **places) == [str(on_path)]
    with pytest.raises(BackendProblem, match="Install it in this add-on's preferences"):
        find_command(environment={"PATH": ""}, **places)


def test_a_preference_that_leads_nowhere_is_told_and_not_passed_over(tmp_path):
    backend_in(tmp_path / "installed")
    with pytest.raises(BackendProblem, match="is not there"):
        find_command(str(tmp_path / "gone"), {}, tmp_path / "installed")
