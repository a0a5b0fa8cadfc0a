# SPDX-License-Identifier: Apache-2.0
"""Quick stand-ins for what a job calls: the runtime is tested without a network, a body or PyTorch.

Footage is decoded for real. :func:`stand_ins` gives the modules to put in place of the real ones. As
a program, this file is the command ``fasthmr`` with the stand-ins in place; the environment says how
they behave: ``FAKE_PACE`` seconds a frame, ``FAKE_FIT_SECONDS`` in the fit, ``FAKE_CRASH`` raises in it,
``FAKE_NOISE`` prints to standard output, ``FAKE_NOBODY`` finds nobody, ``FAKE_SAY_LOADS`` logs what is
loaded, ``FAKE_CHILD`` starts a child process and writes its number to the file named.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fasthmr
from fasthmr.device import PRECISIONS
from fasthmr.errors import NobodyFound
from fasthmr.progress import Progress

PACKAGE = Path(fasthmr.__file__).parent

CALLS: list[str] = []  # what was asked of the stand-ins, in order


def called(what: str) -> None:
    CALLS.append(what)
    if "FAKE_SAY_LOADS" in os.environ and "load" in what:
        sys.stderr.write(f"{what}\n")


class FakeDetector:
    def __init__(self) -> None:
        called("load detector")

    def close(self) -> None:
        called("close detector")


class FakeBody:
    name, licence, sha256 = "fake body", "CC0-1.0", "b0d1"


def save_body(body: FakeBody, path: Path) -> None:
    path.write_bytes(b"body")


def load_body(name: str) -> FakeBody:
    called(f"load body {name}")
    return FakeBody()


def make_track(person: int, frames: Sequence[int], rate: float = 30.0, height: float = 40.0) -> Any:
    from fasthmr.people.values import Track

    count = len(frames)
    box = np.tile(np.array([4, 4, 4 + height / 2, 4 + height], np.float32), (count, 1))
    return Track(
        person=person,
        shot=0,
        frame_indices=np.array(frames, np.int64),
        timestamps=np.array(frames, np.float64) / rate,
        boxes=box,
        landmarks_image=np.ones((count, 33, 3), np.float32),
        landmarks_world=np.zeros((count, 33, 3), np.float32),
        visibility=np.ones((count, 33), np.float32),
        masks=(None,) * count,
    )


def find_people(footage: Any, detector: object, progress: Progress) -> Any:
    """Two people: the first in every frame, the second from the third frame on."""
    from fasthmr.people.sketches import sketch_people
    from fasthmr.people.values import People

    called("find people")
    if "FAKE_CHILD" in os.environ:
        child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
        child.start()
        Path(os.environ["FAKE_CHILD"]).write_text(str(child.pid))
    indices, times, picture = [], [], None
    for frame in footage:
        time.sleep(float(os.environ.get("FAKE_PACE", "0")))
        indices.append(frame.index)
        times.append(frame.time)
        picture = frame.image[:8, :8]
        progress.report("people", len(indices), footage.expected_frames)
        progress.offer(lambda _, frame=frame: sketch_people(frame, []))
        if "FAKE_NOISE" in os.environ:
            os.write(1, b"noise from a native library\n")
            print("noise from Python")  # noqa: T201
    if "FAKE_NOBODY" in os.environ:
        raise NobodyFound(f"Nobody was found in {footage.info.path}.")
    rate = footage.info.frame_rate
    return People(
        tracks=(make_track(1, indices, rate), make_track(2, indices[2:], rate, height=20)),
        image_size=(footage.info.width, footage.info.height),
        frame_rate=rate,
        frame_indices=np.array(indices, np.int64),
        timestamps=np.array(times, np.float64),
        thumbnails={1: picture, 2: picture} if picture is not None else {},
    )


def fit_landmarks(evidence: Any, body: object, progress: Progress) -> Any:
    from fasthmr.evidence import BodyEstimate

    called("fit")
    time.sleep(float(os.environ.get("FAKE_FIT_SECONDS", "0")))
    if "FAKE_CRASH" in os.environ:
        raise RuntimeError("the fit fell over")
    for step in range(10):
        progress.report("fit", step + 1, 10)
    count = evidence.frame_count
    return BodyEstimate(
        rotations=np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1)),
        betas=np.zeros(10, np.float32),
        translation=np.tile(np.array([0, 0, 3], np.float32), (count, 1)),
        joints=np.zeros((count, 24, 3), np.float32),
        confidence=np.ones((count, 24), np.float32),
    )


def camera_intrinsics(info: Any, fov: float | None) -> np.ndarray:
    focal = 100.0 if fov is None else info.width / 2 / np.tan(np.radians(fov) / 2)
    return np.array([[focal, 0, info.width / 2], [0, focal, info.height / 2], [0, 0, 1.0]])


def place(estimates: Any, evidences: Any, body: object, provenance: Any) -> list[Any]:
    from fasthmr.motion import Motion

    called("place")
    return [
        Motion(
            poses=np.zeros((evidence.frame_count, 72)),
            trans=estimate.translation,
            betas=estimate.betas,
            joints_camera=estimate.joints,
            frame_indices=evidence.frame_indices,
            timestamps=evidence.timestamps,
            confidence=estimate.confidence,
            contacts=np.zeros((evidence.frame_count, 4)),
            boxes=evidence.boxes,
            camera_intrinsics=evidence.intrinsics,
            world_from_camera=np.tile(np.eye(4), (evidence.frame_count, 1, 1)),
            image_size=np.array(evidence.image_size),
            mocap_framerate=evidence.frame_rate,
            meta=dict(provenance),
        )
        for estimate, evidence in zip(estimates, evidences, strict=True)
    ]


def render_preview(
    footage: Path, motions: Any, body: Any, out_video: Path, out_image: Path, progress: Progress
) -> None:
    called(f"preview of {len(motions)}")
    out_video.write_bytes(b"video")
    out_image.write_bytes(b"picture")


def choose_device(name: str) -> str:
    return name


def stand_ins() -> dict[str, types.ModuleType]:
    """Modules to put into ``sys.modules``; their sub-modules are still the real ones."""
    from fasthmr.people.values import People, Track

    contents = {
        "fasthmr.people": {
            "People": People,
            "Track": Track,
            "find_people": find_people,
            "BlazePoseDetector": FakeDetector,
        },
        "fasthmr.people.bundle": {"find_bundle": lambda: Path(__file__)},
        "fasthmr.body": {"load_body": load_body, "save_body": save_body},
        "fasthmr.decoder.landmark_fit": {"fit_landmarks": fit_landmarks},
        # no weights of a motion decoder: jobs take the landmark fit, which has a stand-in
        "fasthmr.decoder.motion_decoder": {"WEIGHTS": Path(__file__).with_name("none"), "load_decoder": None},
        "fasthmr.placement": {"camera_intrinsics": camera_intrinsics, "place": place},
        "fasthmr.preview": {"render_preview": render_preview},
        "fasthmr.device": {
            "choose_device": choose_device,
            "expected_device": lambda: "cpu",
            "PRECISIONS": PRECISIONS,
        },
    }
    modules = {}
    for name, values in contents.items():
        module = types.ModuleType(name)
        module.__path__ = [str(PACKAGE.joinpath(*name.split(".")[1:]))]
        vars(module).update(values)
        modules[name] = module
    return modules


if __name__ == "__main__":
    # The packages' own __init__ are not needed, and would import PyTorch: their places are taken first.
    for package in ("people", "body"):
        hollow = types.ModuleType(f"fasthmr.{package}")
        hollow.__path__ = [str(PACKAGE / package)]
        sys.modules[f"fasthmr.{package}"] = hollow
    sys.modules["fasthmr.people"].LANDMARK_COUNT = 33  # type: ignore[attr-defined]
    sys.modules.update(stand_ins())
    from fasthmr.cli import main

    sys.exit(main())
