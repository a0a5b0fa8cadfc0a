# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error: lines in a log, bars at a terminal."""

from __future__ import annotations

import io

import pytest

from fasthmr import cli_progress
from fasthmr.cli_progress import CommandProgress
from fasthmr.errors import Cancelled


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO) -> str:
    with CommandProgress(stream=stream) as progress:
        for done in range(1001):
            progress.report("people", done, 1000)
        progress.log("a message [not markup]")
        progress.report("fit", 0, None)
    return stream.getvalue()


def test_a_log_gets_few_plain_lines() -> None:
    lines = run(io.StringIO()).splitlines()
    assert lines == [
        "Finding people: 0/1000",
        "Finding people: 1000/1000",
        "a message [not markup]",
        "Fitting the body: 0",
    ]


def test_a_long_stage_says_something_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_progress, "_LINE_EVERY", 0.0)
    stream = io.StringIO()
    with CommandProgress(stream=stream) as progress:
        progress._clock._interval = 0.0
        for done in range(6):
            progress.report("people", done, 10)
    assert len(stream.getvalue().splitlines()) == 6


def test_a_terminal_gets_a_bar_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    text = run(Terminal())
    assert "Finding people" in text
    assert "1000/1000" in text
    assert "Fitting the body" in text
    assert "a message [not markup]" in text


def test_messages_outside_of_the_display_are_not_lost() -> None:
    stream = io.StringIO()
    CommandProgress(stream=stream).log("early")
    assert stream.getvalue() == "early\n"


def test_a_cancel_stops_the_next_report() -> None:
    progress = CommandProgress(stream=io.StringIO())
    progress.cancelled.set()
    with pytest.raises(Cancelled):
        progress.report("people", 1, 2)
