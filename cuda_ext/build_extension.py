# SPDX-License-Identifier: Apache-2.0
"""Compiles the operator ``fasthmr::merge_tokens`` for the PyTorch that runs this file.

``build.py setup`` calls it. For the CPU it needs a C++ compiler, for NVIDIA GPUs ``nvcc`` as well (of the
CUDA version that PyTorch was built for). The library and a stamp that says what it was made from and for
appear in ``backend/fasthmr/encoder/compiled/``, whole or not at all; the backend reads the stamp before it
loads the library, and does the same in plain PyTorch where there is none.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
INTO: Final = HERE.parent / "backend/fasthmr/encoder/compiled"
NAME: Final = "fasthmr_operator"
CPU_SOURCES: Final = ("operator.cpp", "merge_tokens_cpu.cpp")
CUDA_SOURCES: Final = ("merge_tokens_cuda.cu",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile; a machine without a compiler is no error, and the message says what that means.

    Returns:
        The exit code: 0 compiled or nothing to compile with, 1 the compiler failed.
    """
    parser = argparse.ArgumentParser(description="Compile the operator that merges tokens.")
    parser.add_argument("--into", type=Path, default=INTO, metavar="DIR", help="where the library goes")
    parser.add_argument("--cpu-only", action="store_true", help="leave the CUDA kernel out")
    parser.add_argument("--verbose", action="store_true", help="show what the compiler prints")
    parser.add_argument(
        "--made-from", action="store_true", help="only print what it would be made from and with"
    )
    options = parser.parse_args(arguments)
    if options.made_from:
        sys.stdout.write(json.dumps(made_from()) + "\n")
        return 0
    if not has_compiler():
        _say("There is no C++ compiler: tokens are merged in plain PyTorch, which is slower but the same.")
        return 0
    complaint = None if options.cpu_only else why_no_cuda()
    with_cuda = not options.cpu_only and complaint is None
    if complaint:
        _say(complaint)
    for cuda in (True, False) if with_cuda else (False,):
        done = _compile_apart(options.into, cuda, options.verbose)
        if done.returncode == 0:
            return 0
        where = "for NVIDIA GPUs and the CPU" if cuda else "for the CPU"
        _say(f"The operator could not be compiled {where}. The compiler's last lines:")
        _say("\n".join(((done.stdout or "") + (done.stderr or "")).splitlines()[-15:]))
    _say("Tokens are merged in plain PyTorch, which is slower but the same.")
    return 1


def has_compiler() -> bool:
    """Whether there is a C++ compiler that the build will find."""
    if sys.platform == "win32":
        return bool(shutil.which("cl") or _visual_studio())
    return bool(shutil.which(os.environ.get("CXX", "c++").split()[0]) or shutil.which("g++"))


def _visual_studio() -> bool:
    finder = Path(os.environ.get("PROGRAMFILES(X86)", "")) / "Microsoft Visual Studio/Installer/vswhere.exe"
    return finder.is_file()


def why_no_cuda() -> str | None:
    """Why the CUDA kernel cannot be compiled; None when it can, empty when this PyTorch has no use for it."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if not torch.version.cuda:
        return ""
    if CUDA_HOME is None or not shutil.which("nvcc", path=str(Path(CUDA_HOME) / "bin")):
        return (
            f"There is no nvcc (CUDA {torch.version.cuda}): on the GPU, tokens are merged in plain PyTorch. "
            "Install NVIDIA's CUDA toolkit of that version and run `python build.py setup` again."
        )
    return None


def made_from() -> list[str | None]:
    """What decides how a library turns out; while it is the same there is nothing to compile again.

    Found out without PyTorch's import, which takes seconds.
    """
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=str(Path(home) / "bin"))
    cards = None  # PyTorch compiles for the GPUs that are there
    if smi := shutil.which("nvidia-smi"):
        query = [smi, "--query-gpu=compute_cap", "--format=csv,noheader"]
        asked = subprocess.run(query, capture_output=True, text=True, check=False)
        cards = asked.stdout.strip() if asked.returncode == 0 else None
    compiler = os.environ.get("CXX", "") + str(has_compiler())
    return [source_hash(), importlib.metadata.version("torch"), sys.version, compiler, nvcc, cards]


def source_hash() -> str:
    """Digest of everything in this folder that the library is made from (merge_operator.source_hash)."""
    digest = hashlib.sha256()
    for path in sorted(HERE.iterdir()):
        if path.suffix in {".cpp", ".cu", ".cuh", ".h", ".py"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def stamp(cuda: bool) -> dict[str, Any]:
    """What a library made here and now is made from and for."""
    import torch

    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "machine": f"{sys.platform} {platform.machine()}",
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "sources": source_hash(),
    }


def compile_into(into: Path, cuda: bool) -> Path:
    """Compile the library and put it and its stamp in place.

    Args:
        into: the folder for both.
        cuda: with the CUDA kernel.

    Returns:
        The library.

    Raises:
        Exception: whatever setuptools raises when the compiler fails.
    """
    from setuptools import Distribution
    from torch.utils import cpp_extension

    windows = sys.platform == "win32"
    flags = ["/O2", "/openmp"] if windows else ["-O3", "-fno-math-errno", "-fvisibility=hidden"]
    link = [] if windows else ["-Wl,-s"] if sys.platform.startswith("linux") else []
    if sys.platform.startswith("linux"):
        flags.append("-fopenmp")  # at::parallel_for is a header; it uses PyTorch's own threads
        link.append("-fopenmp")
    kind = cpp_extension.CUDAExtension if cuda else cpp_extension.CppExtension
    extension = kind(
        NAME,
        [str(HERE / name) for name in CPU_SOURCES + (CUDA_SOURCES if cuda else ())],
        define_macros=[("FASTHMR_WITH_CUDA", None)] if cuda else [],
        extra_compile_args={"cxx": flags, "nvcc": ["-O3"]},
        extra_link_args=link,
    )
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=into) as folder:
        os.chdir(folder)
        build = cpp_extension.BuildExtension.with_options(
            use_ninja=bool(shutil.which("ninja")), no_python_abi_suffix=True
        )
        distribution = Distribution(
            {"name": NAME, "ext_modules": [extension], "cmdclass": {"build_ext": build}}
        )
        command = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp = folder, str(Path(folder) / "objects")
        distribution.run_command("build_ext")
        (made,) = (path for path in Path(folder).iterdir() if path.suffix in {".so", ".pyd"})
        library = into / made.name
        (into / "stamp.json").unlink(
            missing_ok=True
        )  # no stamp, no library: never an old stamp for a new one
        os.chdir(into)
        made.replace(library)
        unfinished = Path(folder) / "stamp.json"
        unfinished.write_text(json.dumps(stamp(cuda), indent=1) + "\n", encoding="utf-8")
        unfinished.replace(into / "stamp.json")
    return library


def _compile_apart(into: Path, cuda: bool, verbose: bool) -> subprocess.CompletedProcess[str]:
    """Compile in a process of its own: setuptools changes this one, and its output is for failures only."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "import pathlib, build_extension\n"
        f"build_extension.compile_into(pathlib.Path({str(into.absolute())!r}), {cuda})"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, text=True, capture_output=not verbose, check=False)


def _say(message: str) -> None:
    if message:
        sys.stderr.write(f"    {message}\n")


if __name__ == "__main__":
    raise SystemExit(main())
