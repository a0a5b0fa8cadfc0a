# SPDX-License-Identifier: Apache-2.0
"""The benchmark measures a whole job, and loops a clip without changing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput
from fasthmr.evaluation.bench_pipeline import as_text, bench_pipeline, repeat_clip
from fasthmr.footage import open_footage, probe
from fasthmr.people import People


@pytest.fixture
def quick(fake_parts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stand-ins, also for what the benchmark itself imports."""
    monkeypatch.setattr("fasthmr.evaluation.bench_pipeline.People", People)
    return fake_parts


def test_shares_and_seconds_add_up(clip: Path, quick: ModuleType) -> None:
    figures = bench_pipeline(clip)
    stages = figures["stages"]
    assert list(stages) == ["start", "probe", "people", "fit", "place", "write"]
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1.0, abs=1e-3)
    assert sum(stage["seconds"] for stage in stages.values()) == pytest.approx(figures["seconds"], abs=0.01)
    half_digit = 0.0006  # the seconds are told to a millisecond, and the stand-ins take a few of them only
    assert 12 / (figures["seconds"] + half_digit) < figures["frames_per_second"]
    assert figures["frames_per_second"] < 12 / (figures["seconds"] - half_digit)
    assert (figures["frames"], figures["width"], figures["height"]) == (12, 64, 48)
    assert (figures["people_in_clip"], figures["people_recovered"]) == (2, 1)


def test_a_slow_stage_has_the_greatest_share(
    clip: Path, quick: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FIT_SECONDS", "1.5")
    stages = bench_pipeline(clip)["stages"]
    assert max(stages, key=lambda name: stages[name]["share"]) == "fit"
    assert stages["fit"]["seconds"] >= 1.5


def test_memory_is_followed_over_the_clip(clip: Path, quick: ModuleType) -> None:
    figures = bench_pipeline(clip, loop=5)
    peaks = figures["peak_memory_mb_by_tenth"]
    assert len(peaks) == 10
    assert peaks == sorted(peaks)
    assert figures["peak_memory_mb"] >= peaks[-1] > 10


PEAK_ALONE = """
from fasthmr.evaluation.bench_pipeline import peak_memory_bytes
import numpy as np
before = peak_memory_bytes()
np.ones(before // 8 + 10_000_000)  # more than ever before
print(before, peak_memory_bytes())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="reads the resource module's figure")
def test_peak_memory_sees_what_was_needed_by_this_process_alone() -> None:
    ours = np.ones(800_000_000 // 8)  # on Linux the system's own figure of a child begins at its parent's
    command = [sys.executable, "-c", PEAK_ALONE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 700e6 < ours.nbytes
    assert after - before > 50e6


def test_a_looped_clip_is_the_clip_again_and_again(clip: Path, tmp_path: Path) -> None:
    looped = repeat_clip(clip, 3, tmp_path / "looped.mp4")
    once, thrice = probe(clip), probe(looped)
    assert thrice.frame_count == 3 * once.frame_count
    assert thrice.duration == pytest.approx(3 * once.duration, rel=0.01)
    assert thrice.frame_rate == pytest.approx(once.frame_rate, rel=0.01)
    with open_footage(clip) as footage:
        frames = [frame.image for frame in footage]
    with open_footage(looped) as footage:
        again = list(footage)
    assert len(again) == 3 * len(frames)
    for index, frame in enumerate(again):
        np.testing.assert_array_equal(frame.image, frames[index % len(frames)])
    np.testing.assert_allclose(np.diff([frame.time for frame in again]), 1 / 30, atol=1e-3)


def test_what_cannot_be_looped(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="video file"):
        repeat_clip(tmp_path, 2, tmp_path / "looped.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadInput, match=r"text\.mp4"):
        repeat_clip(tmp_path / "text.mp4", 2, tmp_path / "looped.mp4")
    with pytest.raises(BadCall, match="0 times"):
        bench_pipeline(tmp_path / "text.mp4", loop=0)


def test_without_a_clip_the_demo_is_taken_or_asked_for(
    clip: Path, tmp_path: Path, quick: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repository" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository" / "deep")
    with pytest.raises(BadCall, match="Name one"):
        bench_pipeline()
    demo = tmp_path / "repository" / "build" / "demo" / "demo.mp4"
    demo.parent.mkdir(parents=True)
    clip.rename(demo)
    assert bench_pipeline()["clip"] == "demo.mp4"


def test_the_table_names_every_stage_and_the_memory(clip: Path, quick: ModuleType) -> None:
    figures = bench_pipeline(clip)
    text = as_text(figures)
    for stage in figures["stages"]:
        assert f"  {stage} " in text
    assert f"{figures['peak_memory_mb']} MB" in text
    assert "unknown" in as_text(figures | {"peak_memory_mb": None})
