# SPDX-License-Identifier: Apache-2.0
"""What the parsers of all commands share; it imports nothing heavy, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from typing import Any, Final

Command = Callable[[argparse.Namespace, threading.Event], int]
"""What a command does: takes its options, and an event that says "cancel"; gives the exit code."""

CLIP_HELP: Final = "video file, folder of images, or pattern such as shot_%%04d.png"


def command_parser(commands: Any, name: str, command: Command, purpose: str) -> argparse.ArgumentParser:
    """Add a command to a set of commands.

    Args:
        commands: what :meth:`argparse.ArgumentParser.add_subparsers` gave.
        name: the word that calls it.
        command: what it does.
        purpose: one line for the help, starting with a small letter.

    Returns:
        Its parser, for its options.
    """
    parser = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which part of the footage, and at which rate its images run."""
    parser.add_argument("--start", type=float, metavar="S", help="where to start, seconds (the beginning)")
    parser.add_argument("--end", type=float, metavar="S", help="where to end, seconds (the end)")
    parser.add_argument(
        "--frame-rate", type=float, metavar="FPS", help="frames per second of an image sequence (24)"
    )


def add_body(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which body."""
    parser.add_argument("--body", default="open", metavar="BODY", help="open, or a body model file (open)")
