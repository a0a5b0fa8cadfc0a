# SPDX-License-Identifier: Apache-2.0
"""How fast the whole job is on this machine, what each stage takes, and how much memory it needs.

Everything is measured in one run of the ordinary pipeline in a folder of its own. A clip can be
repeated to see whether memory grows with length.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import av
from av.error import FFmpegError

from fasthmr.errors import BadCall, BadInput
from fasthmr.people import People
from fasthmr.pipeline import RecoverRequest, recover
from fasthmr.progress import Progress

DEMO_CLIP: Final = Path("build/demo/demo.mp4")


def bench_pipeline(
    clip: Path | None = None, loop: int = 1, person: str = "largest", progress: Progress | None = None
) -> dict[str, Any]:
    """Run a whole job and measure it.

    Args:
        clip: real footage; the demo's clip when left out.
        loop: how often the clip is played, one after the other.
        person: whose motion is recovered.
        progress: told how far it is; can cancel.

    Returns:
        ``frames_per_second`` of the whole job (from the call to the last file, loading included),
        ``stages`` with seconds and share of each ("start" is what lies outside of the stages: loading
        libraries and models), ``peak_memory_mb`` of the process, and ``peak_memory_mb_by_tenth``: the
        peak after each tenth of the frames.

    Raises:
        BadCall: there is no clip, or it cannot be repeated.
        BadInput, NobodyFound, MissingModel, Cancelled: as :func:`fasthmr.pipeline.recover`.
    """
    clip = clip or _demo_clip()
    if loop < 1:
        raise BadCall(f"A clip is played once or more often, not {loop} times.")
    watched = _MemoryWatch(progress or Progress())
    with tempfile.TemporaryDirectory(prefix="fasthmr-bench-") as scratch:
        footage = clip if loop == 1 else repeat_clip(clip, loop, Path(scratch) / f"looped{clip.suffix}")
        started = time.perf_counter()
        result = recover(RecoverRequest(footage, Path(scratch) / "out", person=person), watched)
        seconds = time.perf_counter() - started
        peak = peak_memory_bytes()
        people = People.load(result.folder / "people.npz")
    frames = len(people.frame_indices)
    stages = {"start": seconds - sum(result.seconds_by_stage.values()), **result.seconds_by_stage}
    return {
        "clip": clip.name,
        "loop": loop,
        "width": people.image_size[0],
        "height": people.image_size[1],
        "frame_rate": round(people.frame_rate, 3),
        "frames": frames,
        "people_in_clip": len(people.tracks),
        "people_recovered": len(result.motions),
        "seconds": round(seconds, 3),
        "frames_per_second": round(frames / seconds, 2),
        "stages": {
            stage: {"seconds": round(value, 3), "share": round(value / seconds, 4)}
            for stage, value in stages.items()
        },
        "peak_memory_mb": _megabytes(peak),
        "peak_memory_mb_by_tenth": [_megabytes(value) for value in watched.peaks],
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def as_text(figures: Mapping[str, Any]) -> str:
    """The figures as a table for people."""
    lines = [
        f"{figures['clip']}: {figures['frames']} frames of {figures['width']}x{figures['height']}, "
        f"{figures['people_in_clip']} people in it, {figures['people_recovered']} recovered",
        f"{figures['frames_per_second']:.2f} frames/s, {figures['seconds']:.1f} s in all",
    ]
    for stage, value in figures["stages"].items():
        lines.append(f"  {stage:<8} {value['seconds']:8.2f} s  {value['share']:6.1%}")
    peak = figures["peak_memory_mb"]
    lines.append("peak memory: " + ("unknown on this system" if peak is None else f"{peak} MB"))
    if figures["peak_memory_mb_by_tenth"]:
        lines.append(f"  after each tenth of the frames: {figures['peak_memory_mb_by_tenth']}")
    return "\n".join(lines)


def repeat_clip(clip: Path, times: int, out: Path) -> Path:
    """Write a clip that plays another several times, without coding it anew.

    Packets are copied as they are read, so that the memory needed does not depend on the length.

    Args:
        clip: a video file.
        times: how often it is played.
        out: the file to write, with an ending that fits the clip's codec.

    Raises:
        BadInput: the clip cannot be read, or holds no video.
        BadCall: it is no single file.
    """
    if not clip.is_file():
        raise BadCall(f"Only a video file can be repeated, and {clip} is none.")
    try:
        with av.open(str(out), "w") as target:
            stream = None
            shift = 0
            for _ in range(times):
                with av.open(str(clip)) as source:
                    video = source.streams.video[0]
                    stream = stream or target.add_stream_from_template(video)
                    shift = _copy_packets(source, video, target, stream, shift)
    except (FFmpegError, IndexError) as error:
        raise BadInput(f"{clip} cannot be repeated: {error}. Give another clip.") from error
    return out


def _copy_packets(source: Any, video: Any, target: Any, stream: Any, shift: int) -> int:
    """Append the packets of one pass, later by ``shift`` ticks; give the shift for the next pass."""
    frame = int(1 / (video.time_base * video.average_rate))
    first, end = None, shift
    for packet in source.demux(video):
        if packet.dts is None or packet.pts is None:
            continue
        first = packet.pts if first is None else first
        packet.pts += shift - first
        packet.dts += shift - first
        end = max(end, packet.pts + (packet.duration or frame))
        packet.stream = stream
        target.mux(packet)
    return end


class _MemoryWatch(Progress):
    """Passes progress on, and notes the peak memory after each tenth of the stage "people"."""

    def __init__(self, outer: Progress) -> None:
        super().__init__(outer.cancelled)
        self.peaks: list[int | None] = []
        self._outer = outer

    def show(self, stage: str, done: int, total: int | None) -> None:
        if stage == "people" and total and done * 10 >= total * (len(self.peaks) + 1):
            self.peaks.append(peak_memory_bytes())
        self._outer.show(stage, done, total)

    def log(self, message: str) -> None:
        self._outer.log(message)


def peak_memory_bytes() -> int | None:
    """The most memory that this process has had at a time; None where the system does not tell."""
    if sys.platform == "win32":
        counters = _MemoryCounters(size=ctypes.sizeof(_MemoryCounters))
        process = ctypes.c_void_p(-1)  # this process, as Windows names it
        known = ctypes.windll.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
        return counters.peak if known else None
    status = Path("/proc/self/status")  # Linux; there getrusage also counts the program that started this one
    if status.is_file() and (found := re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)):
        return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, the others kilobytes


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of the Windows API."""

    _fields_: Final[list[tuple[str, Any]]] = [  # pyright: ignore[reportIncompatibleVariableOverride]
        ("size", ctypes.c_uint32),
        ("faults", ctypes.c_uint32),
        ("peak", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 7),
    ]


def _megabytes(value: int | None) -> int | None:
    return None if value is None else round(value / 1e6)


def _demo_clip() -> Path:
    """The demo's clip in the repository around the current folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / DEMO_CLIP).is_file():
            return folder / DEMO_CLIP
    raise BadCall(
        f"Which clip? Name one: `fasthmr bench pipeline CLIP`. Without a name the demo's clip is taken "
        f"({DEMO_CLIP}, which `python build.py demo` fetches), but it is not here."
    )
