# SPDX-License-Identifier: Apache-2.0
"""What the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

from fasthmr.errors import Cancelled, FastHMRError

# From the best to the worst: the exit codes that several clips can end with.
_SEVERITY: Final = (0, 4, 3, 2, 5, 1, 130)


def report(error: BaseException) -> int:
    """Say on standard error what went wrong; give the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled("Stopped. Finished stages are kept: the same job goes on from there.")
    if isinstance(error, FastHMRError):
        say(f"fasthmr: {error}")
        return error.exit_code
    say("".join(traceback.format_exception(error)).rstrip())
    say(f"fasthmr: internal error: {error!r}. This is a bug: please report it with the lines above.")
    return 1


def worst(codes: Sequence[int]) -> int:
    """The exit code that stands for several: the one that asks most for attention."""
    return max(codes, key=_SEVERITY.index, default=0)


def say(message: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def put(line: str) -> None:
    """Write a line of the result to standard output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def put_json(value: Any) -> None:
    """Write a result to standard output as one line of JSON."""
    put(json.dumps(value, ensure_ascii=False))
