# SPDX-License-Identifier: Apache-2.0
"""Errors meant for people: each says what was wrong, with which file, and what to do.

Every class carries the exit code of the command line (README, "Exit codes"); the worker sends the
same code in the ``data`` of its JSON-RPC error. Anything that is not one of these is a bug and
ends with exit code 1 and a traceback in the log.
"""

from __future__ import annotations


class FastHMRError(Exception):
    """Base of every error whose message is meant to be read by the user as it stands."""

    exit_code = 1


class BadCall(FastHMRError):
    """The request itself is wrong: an unknown option, an end before its start."""

    exit_code = 2


class BadInput(FastHMRError):
    """An input file is missing, empty, damaged or of a kind that cannot be read."""

    exit_code = 3


class NobodyFound(FastHMRError):
    """The footage was read, but holds no person (or none long enough to recover)."""

    exit_code = 4


class MissingModel(FastHMRError):
    """A model file that the request needs is not there, or does not fit."""

    exit_code = 5


class Cancelled(FastHMRError):
    """The user cancelled; finished stages are kept."""

    exit_code = 130
