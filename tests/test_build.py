# SPDX-License-Identifier: Apache-2.0
"""build.py: choosing a Python and a PyTorch, doing steps once, counting tests, staging, the demo's clip."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import build

SOURCE = Path(build.__file__)
PYTHON = sys.executable  # some tests pretend to run in another


def python_that_says(folder: Path, name: str, answer: str, code: int = 0) -> Path:
    """Write a program that stands for a Python: it says ``answer`` whatever it is asked."""
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!{PYTHON}\nprint({answer!r})\nraise SystemExit({code})\n")
    program.chmod(0o755)
    return program


def probe_answer(version: str, complete: bool = True, program: str = "") -> str:
    return json.dumps({"version": version, "program": program or version, "complete": complete})


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH and pyenv, and a running Python that serves for nothing (2.7)."""
    if os.name == "nt":
        pytest.skip("stand-in programs are scripts with a #! line")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    running = python_that_says(tmp_path, "running", probe_answer("2.7"))
    monkeypatch.setattr(build.sys, "executable", str(running))
    return tmp_path


# --- which Python


def test_every_old_python_can_read_the_file() -> None:
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_python_is_found_on_the_path_in_the_given_order(pythons: Path) -> None:
    python_that_says(pythons / "bin", "python3.13", probe_answer("3.13"))
    assert build.find_python(("3.11", "3.13")) == ("3.13", "3.13")
    python_that_says(pythons / "bin", "python3", probe_answer("3.11", program="/real/python"))
    assert build.find_python(("3.11", "3.13")) == ("3.11", "/real/python")


def test_a_wrapper_that_starts_no_python_is_passed_over(pythons: Path) -> None:
    python_that_says(pythons / "bin", "python3.11", "command not found", code=127)
    python_that_says(pythons / "pyenv/versions/3.11.7/bin", "python", probe_answer("3.11", program="pyenv's"))
    assert build.find_python(("3.11",)) == ("3.11", "pyenv's")


def test_a_python_without_venv_is_the_last_resort_and_named(pythons: Path) -> None:
    python_that_says(pythons / "bin", "python3.11", probe_answer("3.11", complete=False))
    with pytest.raises(build.SetupError, match=r"python3\.11-venv"):
        build.find_python(("3.11", "3.13"))
    python_that_says(pythons / "bin", "python3.13", probe_answer("3.13"))
    assert build.find_python(("3.11", "3.13"))[0] == "3.13"


def test_the_running_python_goes_first_but_3_12_does_not(
    pythons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in build.BACKEND_PYTHONS:
        python_that_says(pythons / "bin", f"python{version}", probe_answer(version))
    for running, expected in (((3, 13, 1), "3.13"), ((3, 12, 1), "3.11"), ((3, 9, 1), "3.11")):
        monkeypatch.setattr(build.sys, "version_info", running)
        assert build.find_python(build.BACKEND_PYTHONS)[0] == expected


def test_without_a_python_the_message_says_which_one_is_needed(
    pythons: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "ROOT", pythons)
    assert build.main(["setup"]) == 1
    said = capsys.readouterr().out
    assert "No Python 3.11 or 3.12 or 3.13 was found" in said
    assert "Traceback" not in said


# --- environments and steps


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> build.Environment:
    """A real, empty environment in a project of its own."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ROOT", root)
        return build.Environment(root / ".venv", ["{}.{}".format(*sys.version_info[:2])])


def test_environment_that_works_is_kept_and_a_broken_one_is_made_again(
    environment: build.Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, versions = environment.folder.parent, [str(environment.version)]
    monkeypatch.setattr(build, "ROOT", root)
    (pip,) = environment.folder.glob("[Ll]ib/**/site-packages/pip")
    mark = environment.folder / "mark"
    mark.touch()
    build.Environment(environment.folder, versions)
    assert mark.exists()
    for needed in (environment.folder / "pyvenv.cfg", pip):
        needed.rename(needed.with_name("away"))
        assert not build.answer([environment.python, "-c", build.SOUND])
        if needed != pip:
            needed.with_name("away").rename(needed)
    build.Environment(environment.folder, versions)
    assert not mark.exists()
    assert pip.is_dir()


def test_step_is_done_once_until_what_it_is_made_from_changes(environment: build.Environment) -> None:
    done: list[int] = []
    for made_from in ("a", "a", "b", "b", "a"):
        environment.step("once", "doing it", made_from, lambda: done.append(1))
    assert len(done) == 3


def test_step_is_done_again_when_what_it_makes_is_gone(environment: build.Environment) -> None:
    made = environment.folder / "made"
    for _ in range(2):
        environment.step("making", "making it", "a", made.touch, makes=made)
        assert made.exists()
        made.unlink()


def test_step_that_fails_is_done_again(environment: build.Environment) -> None:
    def fail() -> None:
        raise build.SetupError("no network")

    done: list[int] = []
    with pytest.raises(build.SetupError):
        environment.step("again", "doing it", "a", fail)
    environment.step("again", "doing it", "a", lambda: done.append(1))
    assert done


def test_programs_do_not_inherit_the_callers_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    ask = "import os; print(os.environ.get('PYTHONPATH'), os.environ['PIP_USER'])"
    assert build.answer([sys.executable, "-c", ask]) == "None 0"


def test_program_that_does_not_answer_is_given_up() -> None:
    assert build.answer([sys.executable, "-c", "import time; time.sleep(30)"], seconds=0.5) == ""
    assert build.answer(["there-is-no-such-program"]) == ""


def test_operator_is_compiled_again_for_another_pytorch_or_toolkit(
    environment: build.Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiled, stamp = [], tmp_path / "stamp.json"

    def run(command: build.Command) -> int:
        compiled.append(str(command[-1]))
        stamp.touch()
        return 0

    made_from = ["torch 1", "torch 1", "torch 2", "torch 2 and nvcc"]
    monkeypatch.setattr(build, "install_backend", lambda extra: environment)
    monkeypatch.setattr(build, "OPERATOR", stamp)
    monkeypatch.setattr(build, "run", run)
    for facts in made_from:
        monkeypatch.setattr(build, "answer", lambda command, facts=facts: facts)
        build.ready_backend()
    assert compiled == [str(build.ROOT / "cuda_ext/build_extension.py")] * 3


# --- which PyTorch


@pytest.mark.parametrize(
    ("system", "cuda", "wanted"),
    [
        ("Linux", None, ["==2.13.0+cpu", "whl/cpu torch==2.13.0+cpu", "==2.13.0"]),
        ("Linux", "cu130", ["whl/cu130 torch==2.13.0+cu130", "==2.13.0"]),
        ("Windows", "cu126", ["whl/cu126 torch==2.13.0+cu126", "==2.13.0"]),
        ("Windows", None, ["==2.13.0"]),
        ("Darwin", None, ["==2.13.0"]),
        ("Darwin", "cu130", ["==2.13.0"]),
    ],
)
def test_torch_builds_are_tried_best_first(
    system: str, cuda: str | None, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "TORCH_TESTED", "2.13.0")
    attempts = [" ".join(arguments) for _, arguments in build.torch_attempts(system, cuda)]
    assert len(attempts) == len(wanted)
    assert all(attempt.endswith(end) for attempt, end in zip(attempts, wanted, strict=True))
    assert all("--timeout" in attempt and "--retries" in attempt for attempt in attempts if "whl" in attempt)


@pytest.mark.parametrize(
    ("rows", "build_for"),
    [
        ("580.65.06, 9.0", "cu130"),
        ("591.12, 7.5\n591.12, 12.0", "cu130"),
        ("580.65.06, 7.0", "cu126"),
        ("550.54.14, 8.6", "cu126"),
        ("591.12, 12.0\n591.12, 6.1", "cu126"),
    ],
)
def test_cuda_build_fits_driver_and_cards(
    rows: str, build_for: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name == "nt":
        pytest.skip("stand-in programs are scripts with a #! line")
    python_that_says(tmp_path, "nvidia-smi", rows)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.cuda_build() == build_for


@pytest.mark.parametrize("library", [None, "libcuda.so.1"])
def test_without_nvidia_smi_the_driver_library_decides(
    library: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.ctypes.util, "find_library", lambda name: library)
    assert build.cuda_build() == (library and "cu130")


@pytest.mark.parametrize(
    ("installed", "cuda", "fits"),
    [
        ("2.13.0+cpu False", None, True),
        ("2.6.0 True", None, True),
        ("2.6.0+cu126 True", "cu130", True),
        ("2.13.0+cpu False", "cu130", False),
        ("2.5.1 False", None, False),
        ("3.0.0a0 True", "cu130", False),
        ("", None, False),
        ("Traceback (most recent call last):", None, False),
    ],
)
def test_an_installed_torch_stays_when_it_fits(installed: str, cuda: str | None, fits: bool) -> None:
    assert build.torch_fits(installed, cuda) is fits


class Pip:
    """Stands for an environment whose pip fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.python = Path("no-such-python")
        self.failures = failures
        self.asked: list[str] = []

    def pip(self, *arguments: str) -> list[str]:
        self.asked.append(arguments[-1])
        fails = len(self.asked) <= self.failures
        return [sys.executable, "-c", f"import sys; sys.exit({'nothing found' if fails else 0!r})"]


def test_the_next_build_of_torch_is_tried_until_one_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.platform, "system", lambda: "Linux")
    pip = Pip(failures=2)
    build.install_torch(pip, None)  # pyright: ignore[reportArgumentType]
    assert pip.asked == [f"torch=={build.TORCH_TESTED}{tail}" for tail in ("+cpu", "+cpu", "")]
    with pytest.raises(build.SetupError, match="nothing found"):
        build.install_torch(Pip(failures=3), None)  # pyright: ignore[reportArgumentType]


# --- tests and their sum


def report_of(folder: Path, source: str) -> tuple[Path, int]:
    """Run pytest on a source and return its JUnit report and exit code."""
    (folder / "test_it.py").write_text(source)
    report = folder / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "test_it.py",
    ]
    return report, subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0\n", (1, 1, 0)),
        ("import pytest\ndef test_a(): pytest.skip('no')\ndef test_b(): pass\n", (1, 0, 1)),
        ("import pytest\n@pytest.fixture\ndef f(): raise OSError\ndef test_a(f): pass\n", (0, 1, 0)),
        ("import no_such_module\n", (0, 1, 0)),
        ("", (0, 0, 0)),
        ("import os\ndef test_a(): pass\ndef test_b(): os._exit(9)\n", (0, 1, 0)),
    ],
    ids=["failure", "skip", "error", "collection", "nothing", "crash"],
)
def test_reports_of_pytest_are_counted(source: str, counts: tuple[int, int, int], tmp_path: Path) -> None:
    assert build.count_tests(*report_of(tmp_path, source)) == counts


def test_a_crash_after_the_last_test_is_a_failure(tmp_path: Path) -> None:
    report, code = report_of(tmp_path, "def test_a(): pass\n")
    assert build.count_tests(report, code) == (1, 0, 0)
    assert build.count_tests(report, -11) == (1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "outside", "inside"),
    [
        ([], ["tests"], ["tests/blender_addon"]),
        (["-k", "rotation"], ["tests"], ["tests/blender_addon"]),
        (["tests/test_build.py::test_x"], ["tests/test_build.py::test_x"], None),
        (["tests/blender_addon", "-x"], None, ["tests/blender_addon"]),
        (["tests/blender_addon", "tests/test_house.py"], ["tests/test_house.py"], ["tests/blender_addon"]),
    ],
)
def test_arguments_reach_the_runs_that_they_concern(
    arguments: list[str], outside: list[str] | None, inside: list[str] | None
) -> None:
    def shortened(share: Sequence[str] | None) -> list[str] | None:
        names = [a.replace(f"{build.ROOT}{os.sep}", "").replace(os.sep, "/") for a in share or ()]
        return [n for n in names if n.startswith("tests")] if share is not None else None

    shares = build.split_arguments(arguments)
    assert [shortened(share) for share in shares] == [outside, inside]
    options = [a for a in arguments if not a.startswith("tests")]
    assert all(share[-len(options) :] == options for share in shares if share and options)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`build.py test` with every step taken out but the sum: each pytest run gives the counts it is told."""

    def prepare(complaints: int, *counts: build.Counts) -> list[str]:
        runs: list[str] = []
        left = list(counts)

        def run_pytest(env: object, name: str, arguments: object, extra: object) -> build.Counts:
            runs.append(name)
            return left.pop(0)

        monkeypatch.setattr(build, "ready_backend", lambda extra: build.argparse.Namespace(python="python"))
        monkeypatch.setattr(build, "demo_footage", lambda env: None)
        monkeypatch.setattr(build, "run_checks", lambda env: complaints)
        monkeypatch.setattr(build, "must_run", lambda *arguments: None)
        monkeypatch.setattr(build, "blender_module", lambda version: None)
        monkeypatch.setattr(build, "run_pytest", run_pytest)
        return runs

    return prepare


@pytest.mark.parametrize(
    ("complaints", "counts", "last_line", "code"),
    [
        (0, [(10, 0, 1), (5, 0, 2)], "15 passed, 0 failed, 3 skipped", 0),
        (0, [(10, 1, 0), (5, 0, 0)], "15 passed, 1 failed, 0 skipped", 1),
        (2, [(10, 0, 0), (5, 0, 0)], "15 passed, 2 failed, 0 skipped", 1),
        (0, [(0, 0, 0), (0, 0, 0)], "0 passed, 0 failed, 0 skipped", 1),
    ],
)
def test_last_line_adds_up_all_runs(
    complaints: int,
    counts: list[build.Counts],
    last_line: str,
    code: int,
    no_work: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = no_work(complaints, *counts)
    assert build.main(["test", "--blender", "4.2.23"]) == code
    assert capsys.readouterr().out.splitlines()[-1] == last_line
    assert runs == ["backend", "add-on in Blender 4.2.23"]


def test_continuous_integration_tests_in_every_blender_that_has_a_python(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_python(versions: Sequence[str]) -> tuple[str, str]:
        if versions == ("3.13",):
            raise build.SetupError("none")
        return versions[0], "python"

    monkeypatch.setattr(build, "find_python", find_python)
    assert build.blender_versions("all") == ["4.2.23", "4.5.15", "5.0.1"]
    assert "5.2.3 is left out" in capsys.readouterr().out
    assert build.blender_versions("none") == []
    assert build.blender_versions("one") == ["5.0.1"]


# --- the demo and the package


def test_footage_and_its_licence_come_out_of_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "sports2d.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(build.DEMO_CLIP, b"moving pictures")
        archive.writestr("sports2d-1.dist-info/licenses/LICENSE", "BSD 3-Clause")
    build.extract_footage(wheel, tmp_path / "demo.mp4")
    assert (tmp_path / "demo.mp4").read_bytes() == b"moving pictures"
    assert (tmp_path / "demo.mp4.LICENSE.txt").read_text() == "BSD 3-Clause"
    assert len(list(tmp_path.iterdir())) == 3


def test_script_for_blender_is_sound_and_names_the_extension() -> None:
    ast.parse(build.DEMO_IN_BLENDER)
    manifest = (build.ROOT / "blender_addon/blender_manifest.toml").read_text(encoding="utf-8")
    assert f'id = "{build.EXTENSION}"' in manifest
    assert f"user_default.{build.EXTENSION} import" in build.DEMO_IN_BLENDER


def test_package_stages_the_addon_with_its_body_and_replaces_the_old_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blender_addon/__pycache__").mkdir(parents=True)
    (tmp_path / "blender_addon/__init__.py").touch()
    (tmp_path / "blender_addon/__pycache__/x.pyc").touch()
    body = tmp_path / "open_body.npz"
    body.write_bytes(b"body")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/recover_motion-0.0.1.zip").touch()
    commands: list[list[str]] = []

    def must_run(what: str, command: Sequence[str | Path], extra: object = None) -> None:
        commands.append([str(word) for word in command])
        if "build" in commands[-1]:
            (tmp_path / "dist/recover_motion-0.1.0.zip").touch()

    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BODY", body)
    monkeypatch.setattr(build, "blender_program", lambda: "blender")
    monkeypatch.setattr(build, "must_run", must_run)
    monkeypatch.setattr(build, "ready_backend", lambda: None)
    monkeypatch.setattr(build, "backend_wheel", lambda env, folder: (folder.mkdir(), (folder / "w").touch()))
    assert build.package_extension() == tmp_path / "dist/recover_motion-0.1.0.zip"
    assert [command[:4] for command in commands] == [
        ["blender", "--command", "extension", "validate"],
        ["blender", "--command", "extension", "build"],
    ]
    staged = tmp_path / "build/extension/recover_motion"
    files = {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()}
    assert files == {"__init__.py", "bodies/open_body.npz", "backend_wheel/w"}
    assert not (tmp_path / "dist/recover_motion-0.0.1.zip").exists()


def test_the_wheel_is_made_of_a_fresh_copy_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "backend/fasthmr/cli.py",
        "backend/fasthmr/encoder/compiled/x.so",
        "build/wheel/backend/old.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).touch()
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "must_run", lambda what, command: commands.append(command))
    env = build.Environment.__new__(build.Environment)
    env.python = Path("python")
    build.backend_wheel(env, tmp_path / "out")
    source = tmp_path / "build/wheel"
    assert commands == [env.pip("wheel", "--no-deps", "--wheel-dir", tmp_path / "out", source)]
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert files == {"backend/fasthmr/cli.py", "pyproject.toml", "README.md", "LICENSE"}


def test_blender_is_used_only_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt":
        pytest.skip("stand-in programs are scripts with a #! line")
    monkeypatch.delenv("BLENDER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.blender_program() is None
    program = python_that_says(tmp_path, "blender", "Blender 4.2.1 LTS")
    assert build.blender_program() == str(program)
    python_that_says(tmp_path, "blender", "Blender 4.1.0")
    assert build.blender_program() is None
    monkeypatch.setenv("BLENDER", str(program))
    with pytest.raises(build.SetupError, match="BLENDER"):
        build.blender_program()


# --- the command line


def test_unknown_words_are_refused() -> None:
    for arguments in (["no-such-verb"], ["setup", "--fast"], ["demo", "clip.mp4"], []):
        with pytest.raises(SystemExit) as stopped:
            build.main(arguments)
        assert stopped.value.code == 2


def test_help_tells_every_verb() -> None:
    told = build.answer([sys.executable, SOURCE, "--help"])
    assert set(re.findall(r"^    (\w+) +[A-Z]", told, flags=re.MULTILINE)) == set(build.VERBS)


def test_interruption_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(options: object, rest: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(build.VERBS, "setup", interrupt)
    assert build.main(["setup"]) == 130
    assert "goes on" in capsys.readouterr().out
