# SPDX-License-Identifier: GPL-3.0-or-later
"""What pip reads and says: the entries of a lock, progress in its output, advice for its complaints."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

_ADVICE = (  # what pip says, and what that means
    ("HASHES", "A file is not the one that was tested. Try again later, or in another network."),
    ("No space left|Errno 28|not enough space", "The disk is full: free some space, then install again."),
    ("Long Path|path is too long", "The folder's path is too long for Windows: choose a shorter one."),
    ("ensurepip", "This Python cannot make environments (Debian, Ubuntu: sudo apt install python3-venv)."),
    ("Permission denied|Errno 13|WinError 5", "A file cannot be written: close other Blenders, try again."),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "This network shows a certificate of its own, as firewalls of companies do. Set the environment"
        " variable PIP_CERT to their certificate file before Blender starts, then install again to go on.",
    ),
    (
        "Connection|timed out|Max retries|name resolution|ProxyError|SSLError",
        "The package registry cannot be reached: look after the network, then install again to go on.",
    ),
    ("No matching distribution", "The package registry has no such build for this system and Python."),
)


def advice_for(lines: Sequence[str]) -> str:
    """What to do about what pip said."""
    text = "\n".join(lines)
    return next(
        (advice for words, advice in _ADVICE if re.search(words, text)), "The report has the details."
    )


class PipProgress:
    """Understands what pip says.

    Args:
        count: how many packages it looks for; 0 when unknown.
        tell: takes `done`, `total` and `detail`.
    """

    def __init__(self, count: int, tell: Callable[..., None]) -> None:
        self._count, self._tell = count, tell
        self._seen = 0
        self._name = ""
        self._told = 0.0

    def take(self, line: str) -> bool:
        """Understand a line.

        Returns:
            Whether it was about bytes only, and worth nothing in a log.
        """
        if found := re.match(r"Progress (\d+) of (\d+)", line):
            now, done, total = time.monotonic(), int(found[1]), int(found[2])
            if now - self._told > 0.2 or done == total:
                self._told = now
                self._say(f"{self._name}, {done / 1e6:.0f} of {total / 1e6:.0f} MB", done / max(total, 1))
            return True
        if found := re.match(r"(?:Collecting|Requirement already satisfied:|Processing) ([\w.-]+)", line):
            self._seen += 1
            self._name = found[1]
            self._say(self._name)
        elif found := re.match(r"\s+(?:Downloading|Using cached) (?:\S*/)?([\w.]+)-\S* \((.+)\)", line):
            self._name = found[1]
            self._say(f"{self._name} ({found[2]})")
        elif line.startswith("Installing collected packages"):
            self._seen = self._count or self._seen
            self._say("unpacking")
        return False

    def _say(self, detail: str, part: float = 0.0) -> None:
        if not self._count:  # one package: its bytes are what there is to tell
            self._tell(done=round(100 * part), total=100 if part else None, detail=detail)
            return
        done = min(max(self._seen - 1, 0) + part, self._count)
        self._tell(done=round(100 * done), total=100 * self._count, detail=detail)


def lock_entries(text: str) -> dict[str, str]:
    """The entries of a lock by package: a line, or several that a backslash joins."""
    joined = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    entries = re.split(r"(?<!\\)\n", joined)
    return {
        re.split(r"[=<>~! ;\[]", entry.strip())[0].lower(): entry.strip()
        for entry in entries
        if entry.strip()
    }
