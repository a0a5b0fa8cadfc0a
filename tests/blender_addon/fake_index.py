# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index on disk, with tiny stand-ins for PyTorch, a library and the backend: for tests."""

import base64
import hashlib
import os
import zipfile
from pathlib import Path

BACKEND = """
import json, os, subprocess, sys, time

def main():
    mood = os.environ.get("FAKE_DOCTOR", "")
    import tinylib, torch
    if sys.argv[1:] == ["worker"]:
        os.execv(sys.executable, [sys.executable, os.environ["FAKE_WORKER"], "worker"])
    assert sys.argv[1:] == ["doctor", "--json"]
    if mood == "slow":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(os.environ["FAKE_CHILD"], "w") as file:
            file.write(str(child.pid))
        time.sleep(600)
    if mood == "crash":
        raise SystemExit("libGL.so.1: cannot open shared object file")
    bad = mood == "bad"
    checks = [
        {"name": "torch", "ok": True, "detail": torch.NAME, "advice": "", "required": True},
        {"name": "body", "ok": not bad, "detail": "gone", "advice": "Get it back." * bad, "required": True},
        {"name": "preview", "ok": False, "detail": "no OpenGL", "advice": "Never mind.", "required": False},
    ]
    print(json.dumps({"ok": not bad, "checks": checks}))
    return 0
"""


def make_wheel(folder: Path, name: str, version: str, source: str, script: str = "", needs: str = "") -> Path:
    """Write a wheel with one module, perhaps with a command of the package's name."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": metadata + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name} = {script}\n"
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return wheel


class FakeIndex:
    """The index, and what an installation from it needs.

    Args:
        folder: where to write it.
    """

    def __init__(self, folder: Path) -> None:
        self.links = folder / "index"
        self.links.mkdir(parents=True)
        library = make_wheel(self.links, "tinylib", "1.0", "NAME = 'tiny'\n")
        make_wheel(self.links, "torch", "2.13.0", "NAME = '2.13.0'\n", needs="tinylib")
        self.wheel = self.backend("0.1.0", folder)
        digest = hashlib.sha256(library.read_bytes()).hexdigest()
        self.requirements = folder / "requirements.txt"
        hashes = {"pip==999.0": "0" * 64, "tinylib==1.0": digest}  # this pip is nowhere: it does without
        entries = [f"{name} \\\n    --hash=sha256:{value}\n" for name, value in hashes.items()]
        self.requirements.write_text("# a comment\n" + "".join(entries))
        self.variables = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.links.as_uri(),  # pip splits it at spaces
            "PIP_CONFIG_FILE": os.devnull,
            "FAKE_WORKER": str(Path(__file__).with_name("fake_worker.py")),
        }

    def backend(self, version: str, folder: Path) -> Path:
        """A backend of a version, as a wheel."""
        return make_wheel(folder, "fasthmr", version, BACKEND, "fasthmr:main")
