# SPDX-License-Identifier: Apache-2.0
"""The command ``fasthmr checkpoint``: look at a research checkpoint, and convert it."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json


def add_commands(actions: Any) -> None:
    """Add ``convert`` and ``show`` to ``fasthmr checkpoint``.

    Args:
        actions: what ``add_subparsers`` of ``checkpoint`` gave.
    """
    purpose = "write a checkpoint as safetensors: smaller, checked, loaded faster"
    convert = actions.add_parser("convert", help=purpose, description=f"{purpose.capitalize()}.")
    convert.add_argument("file", type=Path, metavar="FILE", help=_FILE)
    convert.add_argument("--kind", required=True, metavar="KIND", help="hmr2, camerahmr or open")
    convert.add_argument(
        "--dtype", default="bf16", metavar="TYPE", help="precision: bf16, fp16 or fp32 (bf16)"
    )
    convert.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="the file to write"
    )
    convert.add_argument("--json", action="store_true", help="print JSON")
    convert.set_defaults(command=_convert)

    purpose = "say what a checkpoint holds, and whether it is whole"
    show = actions.add_parser("show", help=purpose, description=f"{purpose.capitalize()}.")
    show.add_argument("file", type=Path, metavar="FILE", help=_FILE)
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)


_FILE = "checkpoint: .ckpt, .pt, .pth or .safetensors"


def _convert(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.encoder.convert import convert_checkpoint

    convert_checkpoint(options.file, options.kind, options.dtype, options.out)
    return _print_facts(options.out, options.json)


def _show(options: argparse.Namespace, cancelled: threading.Event) -> int:
    return _print_facts(options.file, options.json)


def _print_facts(path: Path, as_json: bool) -> int:
    from fasthmr.encoder.convert import show_checkpoint

    facts = show_checkpoint(path)
    if as_json:
        put_json(facts.to_json())
        return 0
    plan = facts.plan or {}
    source = facts.source or {}
    merged = f"merged ({plan.get('variant', 'variant not said')})" if facts.plan else "as published"
    rows = {
        "file": facts.path,
        "kind": facts.kind,
        "layers": f"{facts.layers}, {merged}" if facts.kind != "open" or facts.plan else str(facts.layers),
        "tensors": str(facts.tensors),
        "parameters": f"{facts.parameters:,}",
        "precision": ", ".join(f"{name} ({count} tensors)" for name, count in facts.dtypes.items()),
        "size": f"{facts.bytes / 1e6:,.1f} MB",
        "sha256": facts.sha256,
        "made from": f"{source.get('file', '?')}, sha256 {source.get('sha256', '?')}" if source else "-",
    }
    for name, value in rows.items():
        put(f"{name:<11} {value}")
    return 0
