# SPDX-License-Identifier: Apache-2.0
"""The extension as a repository of one's own: static files that Blender installs and updates it from.

Part of build.py, and as that: standard library only, and no syntax newer than Python 3.8. The listing is
written by Blender's own tool, which is always there: packaging needs it to check and zip the extension.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Callable, Sequence, Union
from urllib.parse import quote

Command = Sequence[Union[str, Path]]


def make_repository(
    package: Path,
    folder: Path,
    tool: Command,
    must_run: Callable[[str, Command], None],
    url_base: str | None = None,
) -> Path:
    """Make a folder with the extension, ``index.json``, which is what Blender reads, and a page for people.

    Args:
        package: the extension's zip.
        folder: the repository; it is made anew.
        tool: the command of Blender's extension tool.
        must_run: runs a command, and raises with its first argument when it fails.
        url_base: where the zip will be on the web; when left out it is looked for beside ``index.json``.

    Returns:
        The path of ``index.json``.
    """
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    shutil.copy2(package, unfinished)
    must_run("Blender's listing", [*tool, "server-generate", f"--repo-dir={unfinished}", "--html"])
    index = unfinished / "index.json"
    if url_base:
        index.write_text(with_base(index.read_text(encoding="utf-8"), url_base), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder / index.name


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``build.py package``."""
    parser.add_argument("--blender", help="the Blender whose tool is used (default: BLENDER, or on the PATH)")
    parser.add_argument(
        "--url-base", type=web_address, help="web address of the folder where the zip will be"
    )


def web_address(text: str) -> str:
    """Return an address from the command line as it is.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not re.match(r"(https?|file)://\S+$", text):
        raise argparse.ArgumentTypeError(f"{text} is no web address, as https://example.org/blender/ is one")
    return text


def with_base(listing: str, url_base: str) -> str:
    """Return a listing whose archives are at ``url_base`` instead of beside it."""
    index = json.loads(listing)
    for entry in index["data"]:
        name = entry["archive_url"].rpartition("/")[2]
        entry["archive_url"] = url_base.rstrip("/") + "/" + quote(name, safe="%")
    return json.dumps(index, indent=2)
