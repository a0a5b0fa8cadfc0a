# SPDX-License-Identifier: Apache-2.0
"""What docs/troubleshooting.md and docs/privacy.md say of the code, held against the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GAP = "\0"  # where a message has something that changes
TROUBLE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [
    message
    for cell in re.findall(r"^\| (`.*?`) \| ", TROUBLE, flags=re.MULTILINE)
    for message in re.findall(r"`(.*?)`", cell)
]


def texts(source: Path) -> list[str]:
    """Every text of a source as it is said, with a gap for each value in it."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(re.sub(r"\{[^{}]*\}", GAP, node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else GAP for part in node.values]
            found.append("".join(map(str, parts)))
    return found


@pytest.fixture(scope="module")
def said() -> str:
    sources = [*(ROOT / "blender_addon").glob("*.py"), *(ROOT / "backend/fasthmr").rglob("*.py")]
    return "\n".join(text for source in sources for text in texts(source))


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 40


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_troubleshooting_is_one_that_the_code_says(message: str, said: str) -> None:
    pattern = f"(?:{GAP}.{{0,3}})*".join(re.escape(part) for part in message.strip("… ").split("…"))
    assert re.search(pattern, said)


def test_a_message_that_nobody_says_is_noticed(said: str) -> None:
    assert "The backend is tired" not in said


@pytest.mark.parametrize("name", ["troubleshooting.md", "privacy.md", "headless.md", "cleaning.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in link or (ROOT / "docs" / link).exists(), link


def test_only_the_installer_of_the_add_on_knows_an_address() -> None:
    """As docs/privacy.md says: nothing but pip, started by Install Backend, uses the network."""
    modules = ("socket", "http", "urllib", "ftplib", "smtplib", "ssl", "requests", "asyncio", "xmlrpc")
    for source in (ROOT / "blender_addon").glob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            node.module.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and not node.level
        }
        assert not names & set(modules), source.name
        if source.name != "torch_build.py":
            assert "https://" not in source.read_text(encoding="utf-8"), source.name
