# SPDX-License-Identifier: Apache-2.0
"""Who is in a clip, for somebody who wants to choose: a span and a picture of each person.

It is the first stage of the job that would recover the clip, in the same job folder: a recovery asked
for afterwards goes on from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fasthmr.files import written_whole
from fasthmr.jobs import Job
from fasthmr.models import Models
from fasthmr.pipeline import job_folder
from fasthmr.progress import Progress
from fasthmr.request import check_frame_rate, identify
from fasthmr.stages import find_everyone

if TYPE_CHECKING:
    import numpy as np

    from fasthmr.people import People, Track


class PersonSeen(msgspec.Struct, frozen=True):
    """One person of a clip.

    Args:
        person: number to ask for; 1 is the largest and longest seen.
        shot: which shot of the clip, from 0.
        first_frame: first frame in which the person was seen, counted in the whole clip.
        last_frame: last such frame.
        start: time of the first frame, seconds since the clip's first frame.
        end: time of the last frame.
        frames: number of frames in which the person was seen.
        coverage: share of the frames from first to last in which the person was seen.
        box_height: median height in the picture, pixels.
        thumbnail: path of a PNG.
    """

    person: int
    shot: int
    first_frame: int
    last_frame: int
    start: float
    end: float
    frames: int
    coverage: float
    box_height: float
    thumbnail: str | None


class Survey(msgspec.Struct, frozen=True):
    """The people of a clip, and the job folder with their pictures."""

    people: list[PersonSeen]
    folder: str


def survey(
    footage: Path,
    out: Path,
    start: float | None = None,
    end: float | None = None,
    progress: Progress | None = None,
    models: Models | None = None,
    frame_rate: float | None = None,
) -> Survey:
    """Find the people of a clip and write a thumbnail of each.

    Args:
        footage: a video file, a folder of images, or a pattern of images.
        out: the folder for the job folder.
        start: where to start, seconds.
        end: where to end, seconds.
        progress: told how far it is; can cancel.
        models: models that are loaded already.
        frame_rate: frames per second of an image sequence; None for 24.

    Raises:
        BadCall, BadInput, NobodyFound, MissingModel, Cancelled: as :func:`fasthmr.pipeline.recover`.
    """
    check_frame_rate(frame_rate)
    clip = identify(footage, start, end, progress or Progress(), frame_rate)
    request = {"footage": str(clip.path), "start": start, "end": end, "frame_rate": frame_rate}
    with Job(job_folder(out, clip), clip.path, clip.sha256, request, progress) as job:
        people = find_everyone(job, clip, start, end, models or Models())
        seen = [_seen(track, people, job.folder) for track in people.tracks]
    return Survey(seen, str(job.folder))


def _seen(track: Track, people: People, folder: Path) -> PersonSeen:
    picture = people.thumbnails.get(track.person)
    thumbnail = None if picture is None else folder / f"person{track.person:02d}.png"
    if picture is not None and thumbnail is not None:
        _write_png(thumbnail, picture)
    return PersonSeen(
        person=track.person,
        shot=track.shot,
        first_frame=track.first_frame,
        last_frame=track.last_frame,
        start=round(float(track.timestamps[0]), 3),
        end=round(float(track.timestamps[-1]), 3),
        frames=len(track),
        coverage=round(people.coverage(track), 3),
        box_height=round(track.box_height, 1),
        thumbnail=None if thumbnail is None else str(thumbnail),
    )


def _write_png(path: Path, picture: np.ndarray) -> None:
    """Write a (height, width, 3) uint8 RGB picture."""
    import cv2

    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as PNG")
    with written_whole(path) as stream:
        stream.write(data.tobytes())
