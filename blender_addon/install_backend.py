# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the backend into a folder of its own, or removes it again: a plain program, not a part of Blender.

    python install_backend.py install FOLDER --wheel FILE --requirements FILE --version VERSION
    python install_backend.py remove FOLDER

`backend_setup` starts it with Blender's Python, which makes the environment and is not changed by it. What
happens is told on standard output, a JSON object a line; pip's own words go to a log in the folder. Each
step that is done is noted in a stamp with what it was made from, so that an interrupted installation
goes on, and an update does only what has changed. `backend_folder` says whose folder it is. Needs the
standard library of Python 3.11 alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

if not __package__:  # started as a program, where the modules beside it are still a package
    __package__ = "recover_motion"
    sys.modules[__package__] = ModuleType(__package__)
    sys.modules[__package__].__path__ = [str(Path(__file__).parent)]

from .backend_folder import (
    ENVIRONMENT,
    LOG,
    WANTED,
    Failed,
    Tell,
    claim,
    environment_command,
    environment_python,
    is_link,
    locked,
    remove,
    take_away,
    write_stamp,
)
from .pip_output import PipProgress, advice_for, lock_entries
from .torch_build import TORCH, cuda_build, torch_attempts

STEPS = ("environment", "libraries", "torch", "backend", "check")

_OPTIONAL = "smplx"  # its licence forbids commercial use: only for those who ask for it
_LAST_LINES = 20
# Nothing is built, so no package's own code runs; Python compiles what is used when it is used.
_PIP_OPTIONS = ("--only-binary=:all:", "--no-compile", "--no-warn-script-location")
_SPACE = {False: 2.5e9, True: 12e9}  # bytes; with CUDA's libraries or without
_WINDOWS = os.name == "nt"
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows' own

# --- programs


def clean_variables() -> dict[str, str]:
    """The variables for pip and the backend, without those of Blender's Python or another environment."""
    away = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
    kept = {name: value for name, value in os.environ.items() if name not in away}
    return kept | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
        "PYTHONUTF8": "1",
    }


def listen_to(command: Sequence[object], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it prints.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer than that.
    """
    return subprocess.run(
        [str(word) for word in command],
        env=clean_variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
        creationflags=_NO_WINDOW,
    )


def answer(command: Sequence[object], seconds: float = 120) -> str:
    """What a program prints; nothing when it is missing, fails or does not answer."""
    try:
        done = listen_to(command, seconds)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if done.returncode else done.stdout.strip()


# --- the installation


class Installation:
    """The steps into one folder that is ours and locked.

    Args:
        folder: where.
        wheel: the backend.
        requirements: the lock of the libraries.
        version: the backend's version.
        tell: takes the events.
        with_smplx: also install what reads official SMPL files.
    """

    def __init__(
        self,
        folder: Path,
        wheel: Path,
        requirements: Path,
        version: str,
        tell: Tell,
        with_smplx: bool = False,
    ) -> None:
        self.folder, self.wheel, self.version, self.tell = folder, wheel, version, tell
        entries = lock_entries(requirements.read_text(encoding="utf-8"))
        self.pip_entry = entries.pop("pip", "")
        smplx = entries.pop(_OPTIONAL, "")
        self.entries = [*entries.values(), *([smplx] if with_smplx and smplx else [])]
        self.stamp = claim(folder)
        self.python = environment_python(folder)
        self.cuda = cuda_build(answer)
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    def run(self) -> list[dict[str, Any]]:
        """Do what is not done yet.

        Returns:
            What the backend's doctor found.

        Raises:
            Failed: a step could not be done.
        """
        with locked(self.folder):
            self._prepare()
            # whatever Python it has: another Blender's may differ, and one that works need not be made again
            self._step("environment", "", self._make_environment)
            self._step("libraries", self.entries, self._install_libraries)
            self._step("torch", [TORCH, self.cuda], self._install_torch)
            self._step("backend", _digest(self.wheel), self._install_backend)
            self.stamp["steps"].pop("check", None)
            checks: list[dict[str, Any]] = []
            self._step("check", self.version, lambda: checks.extend(self._check()))
            return checks

    def _prepare(self) -> None:
        """See what is there: a broken environment, or one of another folder, is made anew."""
        steps = self.stamp["steps"]
        moved = self.stamp.get("folder") != str(self.folder)  # its scripts name the old place
        if moved or not answer([self.python, "-I", "-c", "import pip; print(1)"]):
            steps.clear()
        self.stamp |= {"folder": str(self.folder), "python": platform.python_version()}
        write_stamp(self.folder, self.stamp)
        free = shutil.disk_usage(self.folder).free
        if "torch" not in steps and free < _SPACE[bool(self.cuda)]:
            raise Failed(
                f"The disk of {self.folder} has {free / 1e9:.1f} GB left;"
                f" {_SPACE[bool(self.cuda)] / 1e9:.1f} GB are needed. Free some, or choose another folder."
            )

    def _step(self, name: str, made_from: object, action: Callable[[], object]) -> None:
        """Do a step unless it is done already, from the same."""
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
        steps = self.stamp["steps"]
        if steps.get(name) == key:
            self.tell(step=name, done=1, total=1, detail="")
            return
        for later in STEPS[STEPS.index(name) :] if name == "environment" else (name,):
            steps.pop(later, None)
        write_stamp(self.folder, self.stamp)
        self.tell(step=name, done=0, total=None, detail="")
        action()
        steps[name] = key
        if name == "backend":
            self.stamp["version"] = self.version
        write_stamp(self.folder, self.stamp)
        self.tell(step=name, done=1, total=1, detail="")

    def _make_environment(self) -> None:
        place = self.folder / ENVIRONMENT
        if place.exists() or is_link(place):
            take_away(place)  # half made, or its Python is gone
        self._must_run("environment", "The environment could not be made.", "-I", "-m", "venv", place)
        if self.pip_entry:  # a Python's own pip may be too old to tell its progress; it does all the same
            with contextlib.suppress(Failed):
                self._pip("environment", "", "--timeout=15", "--retries=1", entries=[self.pip_entry])

    def _install_libraries(self) -> None:
        self._pip("libraries", "A library could not be installed.", "--no-deps", entries=self.entries)

    def _install_torch(self) -> None:
        complaints: list[str] = []
        for what, arguments in torch_attempts(platform.system(), self.cuda):
            self.tell(step="torch", done=0, total=None, detail=what)
            try:
                return self._pip("torch", "PyTorch could not be installed.", *arguments)
            except Failed as error:
                complaints += [f"{what}:", *error.lines[-6:]]
        hint = ""
        if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
            hint = " PyTorch stopped making builds for Intel Macs with version 2.2."
        raise Failed(f"PyTorch could not be installed. {advice_for(complaints)}{hint}", complaints)

    def _install_backend(self) -> None:
        arguments = ("--no-deps", "--no-index", "--force-reinstall", str(self.wheel))
        self._pip("backend", "The backend could not be installed.", *arguments)

    def _check(self) -> list[dict[str, Any]]:
        done = listen_to([environment_command(self.folder), "doctor", "--json"])
        try:
            checks = json.loads(done.stdout)["checks"]
        except (ValueError, KeyError, TypeError):
            lines = (done.stdout + done.stderr).splitlines()[-_LAST_LINES:]
            raise Failed(
                "The installed backend does not start. Install again, or see the report.", lines
            ) from None
        wrong = [check for check in checks if not check["ok"] and check.get("required", True)]
        if wrong:
            lines = [f"{check['name']}: {check['detail']} {check['advice']}" for check in wrong]
            raise Failed(f"The installed backend lacks something. {lines[0]}", lines)
        return checks

    def _pip(self, step: str, failure: str, *arguments: object, entries: Sequence[str] = ()) -> None:
        """Run `pip install`; what it says becomes progress."""
        self._drop_unfinished()
        words: list[object] = ["-I", "-m", "pip", "install", *_PIP_OPTIONS, *arguments]
        if entries:
            wanted = self.folder / WANTED
            wanted.write_text("\n".join(entries) + "\n", encoding="utf-8")
            words += ["--require-hashes"] if all("--hash" in entry for entry in entries) else []
            words += ["--requirement", wanted]
        if self._pip_version() >= (24, 1):
            words += ["--progress-bar=raw"]
        self._must_run(step, failure, *words, python=self.python, count=len(entries))

    def _must_run(
        self, step: str, failure: str, *words: object, python: object = sys.executable, count: int = 0
    ) -> None:
        """Run Python to its end, tell what it says, and keep it in the log.

        Args:
            step: the step that it belongs to.
            failure: what to say when it fails.
            words: Python's arguments.
            python: which Python; by default the one that runs this.
            count: how many packages pip looks for; 0 when that is unknown.
        """
        command = [str(python), *map(str, words)]
        progress = PipProgress(count, lambda **fields: self.tell(step=step, **fields))
        self.last_lines.clear()
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(command)}\n")
            process = subprocess.Popen(
                command,
                env=clean_variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                creationflags=_NO_WINDOW,
            )
            for line in process.stdout or ():
                if not progress.take(line.rstrip()):
                    self.last_lines.append(line.rstrip()[:400])
                    log.write(line)
                    log.flush()
            code = process.wait()
        if code:
            lines = list(self.last_lines)
            raise Failed(f"{failure} {advice_for(lines)}", lines)

    def _records(self) -> list[Path]:
        """The folders in which pip notes what it has installed, one a package."""
        packages = "Lib/site-packages" if _WINDOWS else "lib/python*/site-packages"
        return list((self.folder / ENVIRONMENT).glob(f"{packages}/*.dist-info"))

    def _pip_version(self) -> tuple[int, ...]:
        """The environment's pip; (0,) when unknown. Asking pip itself would take a second each time."""
        names = [found[1] for one in self._records() if (found := re.match(r"pip-([\d.]+)", one.name))]
        return tuple(int(part) for part in names[0].strip(".").split(".")) if names else (0,)

    def _drop_unfinished(self) -> None:
        """Forget packages whose installation was interrupted: pip would take them for whole.

        pip writes INSTALLER when all files of a package are there.
        """
        for record in self._records():
            if not is_link(record) and not (record / "INSTALLER").is_file():
                take_away(record)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the program


def end_with_input(stream: IO[bytes]) -> None:
    """Thread: at the end of input, whoever started this is gone or has had enough: end, with all children."""
    while stream.read(1):
        pass
    if _WINDOWS:
        kill = ["taskkill", "/F", "/T", "/PID", str(os.getpid())]
        subprocess.run(kill, capture_output=True, check=False, creationflags=_NO_WINDOW)
    elif os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(130)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install or remove, and return the exit code."""
    parser = argparse.ArgumentParser(description="Installs the backend of Recover Motion into a folder.")
    parser.add_argument("what", choices=("install", "remove"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--requirements", type=Path)
    parser.add_argument("--version", default="")
    parser.add_argument("--with-smplx", action="store_true", help="also what reads official SMPL files")
    parser.add_argument("--end-with-input", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    step = [options.what]

    def tell(**fields: object) -> None:
        step[0] = str(fields.get("step", step[0]))
        sys.stdout.buffer.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
        sys.stdout.buffer.flush()

    if options.end_with_input:
        threading.Thread(target=end_with_input, args=(sys.stdin.buffer,), daemon=True).start()
    try:
        if options.what == "remove":
            tell(finished=remove(folder, tell), checks=[])
            return 0
        if sys.version_info < (3, 11):  # noqa: UP036 (somebody may start it with another Python)
            raise Failed(f"Python 3.11 or newer is needed; this is {platform.python_version()}.")
        if options.wheel is None or options.requirements is None or not options.wheel.is_file():
            raise Failed("The backend's package is missing: install the extension from its zip again.")
        work = Installation(
            folder, options.wheel, options.requirements, options.version, tell, options.with_smplx
        )
        tell(finished=f"Installed in {folder}.", checks=work.run())
        return 0
    except Failed as error:
        tell(step=step[0], failed=str(error), lines=error.lines)
    except OSError as error:
        tell(step=step[0], failed=f"{error.filename or folder}: {error.strerror or error}.", lines=[])
    return 1


if __name__ == "__main__":
    sys.exit(main())
