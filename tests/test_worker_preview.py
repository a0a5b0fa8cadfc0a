# SPDX-License-Identifier: Apache-2.0
"""Live pictures through the worker: asked for, named in the progress, and gone when the job is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fasthmr.live_preview import FILE_NAME, Sketch
from fasthmr.worker import JobProgress
from tests.test_worker import Client


class Connection:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message["params"])


def sketch(_: object) -> Sketch:
    import numpy as np

    image = np.zeros((48, 64, 3), np.uint8)
    return Sketch(0, (64, 48), image, np.zeros((0, 4)), np.zeros((0, 2, 2)))


def test_a_picture_is_named_once_in_the_next_step(tmp_path: Path) -> None:
    connection = Connection()
    progress = JobProgress(connection, "a", preview=True)  # type: ignore[arg-type]
    progress.report("people", 0, 9)
    progress.offer(sketch, tmp_path)
    progress.report("people", 9, 9)
    progress.report("fit", 0, 9)
    assert [step.get("preview") for step in connection.sent] == [None, str(tmp_path / FILE_NAME), None]
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"P6 64 48 255\n")
    progress.close()
    assert list(tmp_path.iterdir()) == []


def test_nobody_draws_what_nobody_asked_for(tmp_path: Path) -> None:
    def never(_: object) -> Sketch:
        raise AssertionError("a sketch was made")

    connection = Connection()
    progress = JobProgress(connection, "a")  # type: ignore[arg-type]
    progress.offer(never, tmp_path)
    JobProgress(connection, "b", preview=True).offer(never)  # type: ignore[arg-type]  # there is no folder
    progress.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def start(tmp_path: Path) -> Any:
    clients: list[Any] = []

    def one(**settings: str) -> Any:
        clients.append(Client(tmp_path / f"log{len(clients)}.txt", **settings))
        return clients[-1]

    yield one
    for client in clients:
        client.process.kill()
        client.process.wait()
        client.process.stdout.close()
        if not client.process.stdin.closed:
            client.process.stdin.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_through_the_worker(wanted: bool, start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="0.15")
    folder = tmp_path / "out" / "clip.job"
    asked = {"preview": True} if wanted else {}
    client.ask("recover", footage=str(clip), out=str(tmp_path / "out"), **asked)
    named = [step["preview"] for step in client.steps() if "preview" in step]
    # twelve frames in about two seconds: the first is pictured, and one a second after it
    assert len(named) in ((1, 2, 3) if wanted else (0,))
    assert set(named) == ({str(folder / FILE_NAME)} if wanted else set())
    assert (folder / "people.npz").exists()
    assert not list(folder.glob(f"*{FILE_NAME}*"))


def test_people_take_it_too(start: Any, clip: Path, tmp_path: Path) -> None:
    client = start(FAKE_PACE="0.15")
    client.ask("people", footage=str(clip), out=str(tmp_path / "out"), preview=True)
    assert any("preview" in step for step in client.steps())
