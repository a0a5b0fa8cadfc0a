# SPDX-License-Identifier: Apache-2.0
"""Blender as the renderer of footage: finding one, and letting it follow a scene.

Either a Python that has Blender as a module (the package ``bpy``), or a Blender program; 4.2 or newer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fasthmr
from fasthmr.errors import BadCall, BadInput

SCRIPT: Final = Path(__file__).with_name("blender_scene.py")

_OLDEST: Final = (4, 2)
_STARTS_WITHIN: Final = 120  # seconds; a module of a gigabyte on a slow disk
_ADVICE: Final = (
    "Give one with --blender: a Blender program (4.2 or newer), or the Python of an environment with the "
    "package bpy (`python -m venv DIR && DIR/bin/pip install bpy==4.2.23` with Python 3.11)."
)
# What a Python says of the bpy that it has.
_ASK: Final = "import bpy; print('Blender', bpy.app.version_string)"
_TAIL: Final = 12  # lines of a failed run that are shown


@dataclass(frozen=True)
class Blender:
    """A Blender that starts.

    Attributes:
        program: the program, or the Python that has it as a module.
        is_module: it is such a Python.
        version: as it names itself, such as "4.2.23 LTS".
        threads: processors that it may use; 0 for all.
    """

    program: Path
    is_module: bool
    version: str
    threads: int = 1

    def command(self, scene: Path, folder: Path) -> list[str]:
        """The command that renders a scene into a folder."""
        words = ["--", os.fspath(scene), os.fspath(folder), str(self.threads)]
        if self.is_module:
            return [os.fspath(self.program), os.fspath(SCRIPT), *words]
        start = ["-b", "--factory-startup", "--python-exit-code", "1", "--python", os.fspath(SCRIPT)]
        return [os.fspath(self.program), *start, *words]

    def render(self, scene: Path, folder: Path, frame_done: Callable[[int], None]) -> None:
        """Render what is not there yet.

        Args:
            scene: file that ``plan.scene_of`` describes.
            folder: where the pictures go; ``blender.log`` beside them keeps what Blender says.
            frame_done: told the number of finished frames; an exception from it ends Blender.

        Raises:
            BadInput: Blender failed; the message has its last words.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "blender.log"
        run_following(self.command(scene, folder), log, frame_done)


def run_following(command: list[str], log: Path, frame_done: Callable[[int], None]) -> None:
    """Run a renderer and follow the lines ``FRAME done total`` in its output.

    Raises:
        BadInput: it does not start or fails; the message has its last words.
    """
    with log.open("wb") as record:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            raise BadInput(f"{command[0]} does not start: {error.strerror or error}. {_ADVICE}") from error
        try:
            if process.stdout is not None:
                for line in process.stdout:
                    record.write(line)
                    if found := re.match(rb"FRAME (\d+) ", line):
                        frame_done(int(found[1]))
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise BadInput(
            f"Blender ended with code {code}; what it said last is in {log}:\n"
            + "\n".join(f"    {line}" for line in last)
            + "\nRun the same again to go on; finished frames are kept."
        )


def find_blender(named: Path | None = None, threads: int = 1) -> Blender:
    """A Blender that starts: the named one, else a module beside the project, else ``blender`` on the path.

    Raises:
        BadCall: the named one is none, or there is none at all; the message says how to get one.
    """
    if named is not None:
        program = shutil.which(os.fspath(named))
        found = _ask(Path(program), threads) if program else None
        if found is None:
            raise BadCall(
                f"{named} is no Blender 4.2 or newer, and no Python with the package bpy. {_ADVICE}"
            )
        return found
    for candidate in candidates():
        if (found := _ask(candidate, threads)) is not None:
            return found
    raise BadCall(f"Footage is rendered by Blender, and none was found. {_ADVICE}")


def candidates() -> Iterable[Path]:
    """Where a Blender may be: ``BLENDER`` in the environment, ``.venv-blender`` of a checkout, the path."""
    if program := shutil.which(os.environ.get("BLENDER", "")):
        yield Path(program)
    checkout = Path(fasthmr.__file__).resolve().parents[2]
    for pattern in ("bin/python", "Scripts/python.exe"):
        yield from sorted(checkout.glob(f".venv-blender/*/{pattern}"))
    if program := shutil.which("blender"):
        yield Path(program)


def _ask(program: Path, threads: int) -> Blender | None:
    """What a program says it is; None where it is not of use."""
    first = _answer([os.fspath(program), "--version"])
    is_module = first.startswith("Python")
    said = _answer([os.fspath(program), "-c", _ASK]) if is_module else first
    version = re.search(r"^Blender ((\d+)\.(\d+)\S*(?: LTS)?)", said, re.MULTILINE)
    if version is None or (int(version[2]), int(version[3])) < _OLDEST:
        return None
    return Blender(program, is_module, version[1], threads)


def _answer(command: list[str]) -> str:
    """What a command prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_STARTS_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
