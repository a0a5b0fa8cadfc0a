# SPDX-License-Identifier: Apache-2.0
"""Bad footage: each kind gets a message that names the file, the fault and the remedy."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput
from fasthmr.footage import open_footage, probe, sha256_of
from fasthmr.progress import Progress


class Log(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def complaint(path) -> str:
    """The one message that both ways in give."""
    with pytest.raises(BadInput) as probed:
        probe(path)
    with pytest.raises(BadInput) as opened:
        open_footage(path)
    assert str(probed.value) == str(opened.value)
    assert str(path) in str(probed.value)
    return str(probed.value)


def test_a_missing_file(tmp_path):
    assert "There is no footage" in complaint(tmp_path / "nowhere.mp4")
    with pytest.raises(BadInput, match="There is no footage"):
        sha256_of(tmp_path / "nowhere.mp4")


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "empty (0 bytes)" in complaint(path)


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes.mov", "notes"])
def test_text_under_any_name(tmp_path, name):
    path = tmp_path / name
    path.write_text("Shot list — café, second take\n" * 400, encoding="utf-8")
    assert "is a text file" in complaint(path)


def test_a_playlist_reaches_for_nothing(tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://localhost:9/clip.ts\n#EXT-X-ENDLIST\n"
    )
    assert "is a text file" in complaint(path)


def test_noise_renamed_to_mp4(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes())
    message = complaint(path)
    assert "not a video" in message or "no video" in message or "cannot be decoded" in message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_mp4_cut_before_its_index(make, share):
    path = make.video("cut.mp4", 40)  # the index comes last unless asked otherwise
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "incomplete" in complaint(path)


def test_an_mp4_cut_after_its_index_is_used_as_far_as_it_goes(make):
    rng = np.random.default_rng(1)
    frames = [
        np.clip(make.stamped(i) + rng.integers(-12, 12, (64, 96, 3)), 0, 255).astype(np.uint8)
        for i in range(60)
    ]
    path = make.video("cut.mp4", frames, container_options={"movflags": "faststart"}, options={"g": "10"})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    log = Log()
    footage = open_footage(path, progress=log)
    read = list(footage)
    assert 10 < len(read) < 55
    assert [make.stamp_of(frame.image) for frame in read] == [frame.index for frame in read]
    assert "cut short" in log.lines[0]
    assert str(path) in log.lines[0]
    assert footage.warnings == log.lines


def test_damage_in_the_middle_costs_only_the_damaged_frames(make):
    rng = np.random.default_rng(2)
    frames = [
        np.clip(make.stamped(i) + rng.integers(-12, 12, (64, 96, 3)), 0, 255).astype(np.uint8)
        for i in range(60)
    ]
    path = make.video("scratched.mp4", frames, options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        hit = [packet for packet in container.demux(video=0) if packet.size][25]
        data[hit.pos : hit.pos + hit.size] = bytes(hit.size)
    path.write_bytes(data)
    footage = open_footage(path)
    read = list(footage)
    assert 50 <= len(read) < 60
    assert "damaged" in footage.warnings[0]
    later = [frame for frame in read if frame.index >= 30]
    assert [make.stamp_of(frame.image) for frame in later] == list(range(30, 60))


def test_sound_alone(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "holds no video, only audio" in complaint(path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_file_that_may_not_be_read(make):
    path = make.video("private.mp4", 3)
    path.chmod(0o000)
    if os.geteuid() == 0:  # root may read everything: become nobody for a moment
        for folder in (make.folder, *make.folder.parents):
            if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "test")):
                folder.chmod(0o755)
        os.seteuid(65534)
    try:
        assert "may not be read" in complaint(path)
        with pytest.raises(BadInput, match="may not be read"):
            sha256_of(path)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-1.0, None, "start of -1.0 s"),
        (float("nan"), None, "start of nan s"),
        (None, float("inf"), "end of inf s"),
        (2.0, 1.0, "must come after"),
        (1.0, 1.0, "must come after"),
        (5.0, None, "the clip lasts 0.400 s"),
        (0.01, 0.02, "No frame"),
    ],
)
def test_spans_that_make_no_sense(make, start, end, message):
    with pytest.raises(BadCall, match=message):
        open_footage(make.video(), start, end)
