# SPDX-License-Identifier: Apache-2.0
"""What a file that is given as a checkpoint really is, and what to tell the user if it is none.

The usual mistakes: a download that broke off, a login page saved as a file, the pointer that git keeps in
place of a large file, the archive instead of what is in it, the body model instead of the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fasthmr.errors import BadInput, MissingModel

FileKind = Literal["torch", "safetensors"]

AGAIN = "Download it again, or take another copy."


def kind_of_file(path: Path) -> FileKind:
    """Whether a file is PyTorch's or safetensors'; by its first bytes, not its name.

    Raises:
        MissingModel: there is no such file.
        BadInput: it is something else; the message says what, and what to do.
    """
    if not path.exists():
        raise MissingModel(f"There is no checkpoint at {path}. Check the path; see docs/checkpoints.md.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder. Name the checkpoint in it (.ckpt, .pt, .pth or .safetensors).")
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror or error}. Change its permissions."
        ) from error
    if start.startswith(b"PK\x03\x04"):
        return "torch"
    if len(start) > 8 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < 1 << 32:
        return "safetensors"
    raise BadInput(f"{path} is no checkpoint: {_what(start)}")


def _what(start: bytes) -> str:
    """What a file that begins like this is, and what to do."""
    if not start:
        return f"it is empty. {AGAIN}"
    if start.startswith(b"version https://git-lfs"):
        return "it is the pointer that git keeps in place of a large file. Run 'git lfs pull' where it lies."
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return (
            "it is a web page, as some sites send when one is not logged in. "
            "Open its address in a browser, log in, and download the file itself."
        )
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        return "it is an archive. Unpack it (tar -xf) and name the .ckpt file in it."
    if start.startswith(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9"):
        return (
            "it was written by PyTorch before 1.6 in a format that is not read here. "
            "If you trust it, load it with PyTorch and save it again with torch.save."
        )
    if start.startswith(b"\x80"):
        return (
            "it is a Python pickle without PyTorch's archive around it, as body models are. "
            "Name the network's file here, and the body model with --body."
        )
    if not start.strip(b"\0"):
        return f"it begins with zeros only, as a download does that has not finished. {AGAIN}"
    text = start.decode("utf-8", "ignore")  # ignoring a letter that the end of the piece cuts in two
    if len(text.encode()) > len(start) - 4 and all(one.isprintable() or one.isspace() for one in text):
        return f"it is a text file. {AGAIN}"
    return f"it is neither a PyTorch file nor safetensors, or it is damaged. {AGAIN}"
