# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, checked: licences, names, lengths, imports, and what the documents promise."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import build
import fasthmr
from fasthmr import cli, errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "backend/fasthmr"
ADDON = ROOT / "blender_addon"
SOURCES = sorted(
    [ROOT / "build.py", ROOT / "build_repository.py"]
    + [
        path
        for folder in ("backend", "blender_addon", "cuda_ext", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".cpp", ".cu", ".h", ".cuh"} and "build" not in path.relative_to(ROOT).parts
    ]
)
LONGEST = {
    "build.py": 690,
    "tests/test_build.py": 540,
}  # one file by design: all that a fresh clone has to run
README = (ROOT / "README.md").read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_names_its_licence_first(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines()[:2] if not line.startswith("#!")]
    gpl = name_of(path).startswith(("blender_addon/", "tests/blender_addon/"))
    licence = "GPL-3.0-or-later" if gpl else "Apache-2.0"
    assert lines, f"{path} is empty: give it its licence line and a docstring"
    assert lines[0].lstrip("#/ ") == f"SPDX-License-Identifier: {licence}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_is_of_readable_length(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST.get(name_of(path), 450)


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "common", "misc"}
    named = {part for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not named & empty


def test_licence_files_match_what_they_stand_for() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]
    assert "GNU GENERAL PUBLIC LICENSE" in (ADDON / "LICENSE").read_text(encoding="utf-8")[:200]


# --- imports


def imported(source: str, package: str) -> set[str]:
    """Return the full name of each thing that a source imports, wherever in the file it does so.

    Args:
        source: Python text.
        package: the package that the file lies in, for relative imports.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            start = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def part_of(path: Path) -> str:
    """Return the part of the backend that a file belongs to: a folder ("people") or a module ("motion")."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def parts_imported(path: Path) -> set[str]:
    """Return the other parts of the backend that one of its files imports."""
    package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    names = [name.split(".") for name in imported(path.read_text(encoding="utf-8"), package)]
    return {name[1] for name in names if name[0] == "fasthmr" and len(name) > 1} & PARTS - {part_of(path)}


def foundations() -> set[str]:
    """Return the modules that import nothing of the backend but one another (errors, progress, ...)."""
    needs = {path.stem: parts_imported(path) for path in PACKAGE.glob("*.py")}
    found: set[str] = set()
    while new := {name for name, parts in needs.items() if parts <= found} - found:
        found |= new
    return found


PARTS = {part_of(path) for path in PACKAGE.rglob("*.py")}
FOUNDATIONS = foundations()

# What each step of the flow may import besides the foundations: the body, evidence and motion, and the values
# that are made left of it. The decoder reads evidence, whoever made it, so that it serves every encoder.
MAY_IMPORT = {
    "body": set(),
    "footage": {"body"},
    "people": {"body", "footage"},
    "evidence": {"body", "footage", "people"},
    "encoder": {"body", "footage", "people", "evidence"},
    "decoder": {"body", "footage", "people", "evidence", "motion"},
    "motion": {"body"},
    "placement": {"body", "footage", "people", "evidence", "decoder", "motion"},
    "preview": {"body", "footage", "evidence", "motion"},
}
ON_TOP = {"training", "evaluation"}  # they import the rest, and only the command line starts them


def may_import(part: str) -> set[str]:
    """Return which parts of the backend a part may import."""
    if part in MAY_IMPORT:
        return MAY_IMPORT[part] | FOUNDATIONS
    return PARTS if part == "cli" or part.startswith("cli_") or part in ON_TOP else PARTS - ON_TOP


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_part_imports_only_what_lies_left_of_it(path: Path) -> None:
    too_much = parts_imported(path) - may_import(part_of(path))
    assert not too_much, f"{name_of(path)} must not import {', '.join(sorted(too_much))}"


def test_every_folder_has_its_place_in_the_flow() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(MAY_IMPORT) | ON_TOP, "a new folder: say in MAY_IMPORT what it stands on"


def test_import_rule_sees_every_kind_of_import() -> None:
    source = (
        "import fasthmr.people.values\n"
        "from fasthmr import motion\n"
        "from ..encoder import model\n"
        "def late():\n    from . import sampler\n"
    )
    assert imported(source, "fasthmr.decoder") == {
        "fasthmr.people.values",
        "fasthmr.motion",
        "fasthmr.encoder.model",
        "fasthmr.decoder.sampler",
    }
    assert {"errors", "progress"} <= FOUNDATIONS
    assert not {"pipeline", "cli", "evidence"} & FOUNDATIONS


@pytest.mark.parametrize("path", sorted(ADDON.rglob("*.py")), ids=name_of)
def test_addon_imports_only_blender_numpy_and_the_standard_library(path: Path) -> None:
    blender = {"addon_utils", "bl_ui", "bmesh", "bpy", "bpy_extras", "gpu", "mathutils", "numpy"}
    package = ".".join(("addon", *path.parent.relative_to(ADDON).parts))
    names = imported(path.read_text(encoding="utf-8"), package)
    outside = {name.split(".")[0] for name in names} - blender - set(sys.stdlib_module_names) - {"addon"}
    assert not outside, f"{name_of(path)} imports {', '.join(sorted(outside))}, which Blender does not have"


# --- what the documents promise


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", ".ci/run", ".pre-commit-config.yaml"])
def test_documents_name_only_verbs_that_build_has(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"build\.py ([a-z]+)", text))
    assert named
    assert named <= set(build.VERBS)


def test_readme_explains_every_verb_of_build() -> None:
    assert set(build.VERBS) <= set(re.findall(r"build\.py ([a-z]+)", README))


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"(?:bin/|`)fasthmr ([a-z]+)", README))))
def test_readme_names_only_commands_that_fasthmr_has(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([verb, "--help"])
    assert stopped.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_of_the_project_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / document).read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not broken


def test_readme_lists_the_exit_codes_of_the_errors() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    raised = {value.exit_code for value in vars(errors).values() if hasattr(value, "exit_code")}
    assert listed == raised | {0}


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    assert "python build.py test" in README
    assert re.search(r'exec "\$python" build\.py test$', (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)


def test_system_packages_are_the_same_everywhere() -> None:
    ci = re.search(r"^packages=\((.*)\)$", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    assert ci
    assert ci[1] == build.SYSTEM_PACKAGES
    assert build.SYSTEM_PACKAGES in " ".join(README.replace("\\\n", " ").split())


def test_versions_agree() -> None:
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == fasthmr.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    torch = f"torch>={'.'.join(map(str, build.TORCH_FROM))},<{build.TORCH_BELOW[0]}"
    assert torch in project["dependencies"]
