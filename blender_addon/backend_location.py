# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the backend's command is, and what to tell the user when it is nowhere."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from .backend_folder import environment_command

COMMAND_VARIABLE = "FASTHMR_COMMAND"
"""Environment variable that names the backend's command; it wins over the preference."""

_WINDOWS = os.name == "nt"


class BackendProblem(Exception):  # noqa: N818 (a problem to tell the user, not a bug)
    """The backend cannot be found or started, or is gone; the message is meant for the user."""


def find_command(
    preference: str = "", environment: Mapping[str, str] | None = None, installed: Path | None = None
) -> list[str]:
    """Find the backend's command.

    The environment variable FASTHMR_COMMAND (a command line) wins, so that a render farm can set
    it for a machine; then the preference (the folder that the backend was set up in, a virtual
    environment, or the command itself); then the folder that the add-on itself installs it in; then
    `fasthmr` on the PATH.

    Args:
        preference: the path from the add-on's preferences; empty when it was not set.
        environment: environment variables; the process's own when left out.
        installed: the folder that the add-on installs the backend in, whether it has or not.

    Returns:
        The command and its first arguments, without `worker`.

    Raises:
        BackendProblem: nothing was found there; the message says where to set it.
    """
    environment = os.environ if environment is None else environment
    if line := environment.get(COMMAND_VARIABLE, "").strip():
        words = [word.strip('"') for word in shlex.split(line, posix=not _WINDOWS)]
        program = shutil.which(words[0], path=environment.get("PATH"))
        if program is None:
            raise BackendProblem(
                f"The environment variable {COMMAND_VARIABLE} names {words[0]!r}, which is no program here."
            )
        return [program, *words[1:]]
    if preference.strip():
        return [str(_command_in(Path(preference.strip()).expanduser()))]
    if installed is not None and environment_command(installed).is_file():
        return [str(environment_command(installed))]
    if program := shutil.which("fasthmr", path=environment.get("PATH")):
        return [program]
    raise BackendProblem(
        "The backend is not installed yet. Install it in this add-on's preferences, or choose there the"
        " folder where `python build.py setup` was run."
    )


def _command_in(place: Path) -> Path:
    """The backend's command at a path that the user chose: the command itself or a folder around it."""
    if place.is_file():
        return place
    if not place.exists():
        raise BackendProblem(f"The backend folder is not there: {place}. Choose it again in the preferences.")
    name = Path("Scripts/fasthmr.exe") if _WINDOWS else Path("bin/fasthmr")
    candidates = (place / ".venv" / name, place / name, place / name.name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise BackendProblem(
        f"There is no backend in {place} (looked for {candidates[0]}). Choose the folder where"
        " `python build.py setup` was run."
    )
