# SPDX-License-Identifier: Apache-2.0
"""Writes what *Install Backend* in Blender installs, with versions and hashes: backend_requirements.txt.

    .venv/bin/python backend/lock_backend.py        # after `python build.py test` has passed in .venv

The versions are those of the environment that runs this, which must have passed the tests. For each system
and Python that the extension serves, the registry is asked which file it has for each of them, and with which
hash; nothing is downloaded. Two things are not in the list. PyTorch has a build for each kind of machine, on
an index of its own: `blender_addon/torch_build.py` pins its version. And the backend itself is inside the
extension.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

# The registry itself is asked, whatever mirrors this machine's pip knows: their files may lack hashes.
os.environ.update(PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="")

from pip._internal.commands.download import DownloadCommand
from pip._internal.models.target_python import TargetPython
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.specifiers import SpecifierSet
from pip._vendor.packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parent.parent / "blender_addon/backend_requirements.txt"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_MANYLINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)] + ["manylinux2014_x86_64"]
PLATFORMS = {  # what pip calls a system, and what markers call it
    "Linux": (_MANYLINUX, {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"}),
    "Windows": (["win_amd64"], {"sys_platform": "win32", "platform_machine": "AMD64", "os_name": "nt"}),
    "Darwin": (
        ["macosx_14_0_arm64"],
        {"sys_platform": "darwin", "platform_machine": "arm64", "os_name": "posix"},
    ),
}

ROOTS = ("fasthmr", "torch", "smplx")
"""What must work: the backend, PyTorch, and the optional package for users' own SMPL files."""

ELSEWHERE = {"fasthmr", "torch", "triton"}
"""What the lock leaves out: see above; triton comes with PyTorch's CUDA builds."""

NOT_HERE = {"pip": "26.0", "colorama": "0.4.6"}
"""Versions of what this environment may lack: a pip that tells its progress, and what only Windows needs."""

HEAD = """\
# What *Install Backend* installs beside PyTorch and the backend itself: exact versions, and the hashes of the
# files for Linux x86-64, Windows x86-64 and macOS arm64 with Python {pythons}.
# Made by backend/lock_backend.py from an environment that passed the tests; do not edit.
# pip is here for the installation itself; smplx (non-commercial licence) is installed only when asked for.
"""


def markers(python: str, system: str) -> dict[str, str]:
    """Return the values of environment markers on another machine."""
    return {
        **PLATFORMS[system][1],
        "platform_system": system,
        "python_version": python,
        "python_full_version": python + ".0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
        "implementation_version": python + ".0",
        "extra": "",
    }


def needed(python: str, system: str) -> set[str]:
    """Return the names of all that the roots stand on, on one kind of machine.

    Raises:
        SystemExit: something is needed there that is not installed here, so that no version is known.
    """
    found: set[str] = set()
    waiting: list[str] = list(ROOTS)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        if name in NOT_HERE or name in ELSEWHERE - set(ROOTS) or name.startswith(("nvidia-", "cuda-")):
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            raise SystemExit(
                f"{name} is needed on {system}, Python {python}: install it here first."
            ) from None
        for line in requires:
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate(markers(python, system)):
                waiting.append(one.name)
    return {"pip"} | {name for name in found - ELSEWHERE if not name.startswith(("nvidia-", "cuda-"))}


def hashes_on(python: str, system: str, versions: dict[str, str]) -> dict[str, str]:
    """Return for each package the sha256 of the file that this kind of machine gets.

    Raises:
        SystemExit: there is no wheel of a package for it.
    """
    command = DownloadCommand("download", "")
    options, _ = command.parse_args(["--only-binary=:all:", "--no-deps", "--quiet"])
    version = tuple(int(part) for part in python.split("."))
    target = TargetPython(platforms=PLATFORMS[system][0], py_version_info=version, implementation="cp")
    found = {}
    with command.main_context():
        finder = command._build_package_finder(options, command.get_default_session(options), target)
        for name, exact in versions.items():
            best = finder.find_best_candidate(name, SpecifierSet(f"=={exact}")).best_candidate
            if best is None or not best.link.is_wheel:
                raise SystemExit(f"There is no wheel of {name} {exact} for {system}, Python {python}.")
            if best.link.hash_name != "sha256":
                raise SystemExit(f"The registry gives no sha256 of {best.link.filename}.")
            found[name] = str(best.link.hash)
    return found


def main() -> int:
    """Write the lock."""
    hashes: dict[str, set[str]] = {}
    machines: dict[str, set[tuple[str, str]]] = {}
    versions: dict[str, str] = {}
    every = [(python, system) for system in PLATFORMS for python in PYTHONS]
    for python, system in every:
        names = sorted(needed(python, system))
        wanted = {name: NOT_HERE.get(name) or metadata.version(name) for name in names}
        versions.update(wanted)
        for name, digest in hashes_on(python, system, wanted).items():
            hashes.setdefault(name, set()).add(digest)
            machines.setdefault(name, set()).add((python, system))
        sys.stderr.write(f"{system}, Python {python}: {len(wanted)} packages\n")
    lines = [HEAD.format(pythons=", ".join(PYTHONS))]
    for name in sorted(versions):
        marker = marker_for(machines[name], every)
        digests = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes[name]))
        lines.append(f"{name}=={versions[name]}{marker}{digests}\n")
    LOCK.write_text("".join(lines), encoding="utf-8")
    sys.stderr.write(f"{len(versions)} packages in {LOCK}\n")
    return 0


def marker_for(machines: set[tuple[str, str]], every: list[tuple[str, str]]) -> str:
    """Return the marker of a package that only some machines need; nothing for one that all need."""
    if len(machines) == len(every):
        return ""
    terms = [f"(python_version == '{p}' and platform_system == '{s}')" for p, s in sorted(machines)]
    return "; " + " or ".join(terms)


if __name__ == "__main__":
    sys.exit(main())
