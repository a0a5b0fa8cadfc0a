# SPDX-License-Identifier: Apache-2.0
"""Footage in, people out: the step ``people`` of the flow.

Frames stream through in short runs and are forgotten; of each person in each frame a few kilobytes are
kept. When the footage has ended, each shot's detections become tracks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from fasthmr.errors import NobodyFound
from fasthmr.footage import Footage, FootageInfo, Frame
from fasthmr.people import appearance, thumbnails
from fasthmr.people.detection import Detection, PersonDetector
from fasthmr.people.landmarks import LANDMARK_MIRROR
from fasthmr.people.misreadings import misread_frames
from fasthmr.people.shots import CutFinder
from fasthmr.people.sides import exchanged_limbs, swapped_frames
from fasthmr.people.sketches import sketch_people
from fasthmr.people.tracking import MIN_FRAMES, MIN_SECONDS, Sighting, track_shot
from fasthmr.people.values import People, Track
from fasthmr.progress import Progress

# A run of frames is about this long: a detector may look for new people only once in it.
_RUN_SECONDS: Final = 0.4
_MAX_RUN: Final = 16
_MAX_RUN_BYTES: Final = 256 << 20
# Every so many frames pictures of everybody are kept: whoever is followed at all has one.
_PICTURE_EVERY: Final = MIN_FRAMES

Shot = list[list[Sighting]]


def find_people(
    footage: Footage, detector: PersonDetector | None = None, progress: Progress | None = None
) -> People:
    """Find everybody in footage, and follow them.

    Args:
        footage: read once, from its first frame to its last.
        detector: finds people in frames; BlazePose when left out. It is reset first, and not closed
            if it was given.
        progress: told after each run of frames (stage "people"); may cancel.

    Returns:
        The people. Who is seen in fewer than 5 frames or for less than 0.3 s is left out, and so is
        what does not look like a person; the log says so.

    Raises:
        NobodyFound: nobody is in the footage, or nobody long enough.
        MissingModel: the detector's weights are missing.
        BadInput: the footage cannot be decoded.
        Cancelled: the user cancelled.
    """
    from fasthmr.people.blazepose import BlazePoseDetector  # here: not needed with another detector

    progress = progress or Progress()
    used = detector or BlazePoseDetector()
    used.reset()
    try:
        return _find(footage, used, progress)
    finally:
        if detector is None:
            used.close()


def _find(footage: Footage, detector: PersonDetector, progress: Progress) -> People:
    info, total = footage.info, footage.expected_frames
    frame_indices: list[int] = []
    timestamps: list[float] = []
    cuts: list[int] = []
    shots: list[Shot] = [[]]
    times_of_shots: list[list[float]] = [[]]
    progress.report("people", 0, total)
    for run, starts_shot in runs_of_frames(footage, run_length(info)):
        if starts_shot:
            detector.reset()
            cuts.append(run[0].index)
            shots.append([])
            times_of_shots.append([])
        found = detector.detect([frame.image for frame in run], [frame.time for frame in run])
        for frame, detections in zip(run, found, strict=True):
            with_picture = len(frame_indices) % _PICTURE_EVERY == 0
            shots[-1].append([_sighting(frame, detection, with_picture) for detection in detections])
            times_of_shots[-1].append(frame.time)
            frame_indices.append(frame.index)
            timestamps.append(frame.time)
        done = len(frame_indices)
        progress.report("people", done, max(done, total) if total else None)
        progress.offer(lambda _, frame=run[-1], seen=found[-1]: sketch_people(frame, seen))

    people = [
        (shot, sightings)
        for shot, (frames, times) in enumerate(zip(shots, times_of_shots, strict=True))
        for sightings in track_shot(frames, times, progress.log)
    ]
    if not people:
        seen = sum(bool(sightings) for frames in shots for sightings in frames)
        raise NobodyFound(_nobody(info, len(frame_indices), seen))
    people.sort(key=lambda entry: -_presence(entry[1], info.height))
    tracks = tuple(_track(i + 1, shot, sightings) for i, (shot, sightings) in enumerate(people))
    pictures = {i + 1: _best_picture(sightings, info) for i, (_, sightings) in enumerate(people)}
    return People(
        tracks=tracks,
        image_size=(info.width, info.height),
        frame_rate=float(info.frame_rate),
        frame_indices=np.array(frame_indices, np.int64),
        timestamps=np.array(timestamps, np.float64),
        cuts=tuple(cuts),
        thumbnails={person: picture for person, picture in pictures.items() if picture is not None},
    )


def run_length(info: FootageInfo) -> int:
    """Frames in a run: about 0.4 s, and no more than a quarter of a gigabyte of pictures."""
    frame_bytes = max(1, info.width * info.height * 3)
    wanted = round(_RUN_SECONDS * info.frame_rate)
    return max(1, min(wanted, _MAX_RUN, _MAX_RUN_BYTES // frame_bytes))


def runs_of_frames(frames: Iterable[Frame], length: int) -> Iterator[tuple[list[Frame], bool]]:
    """Group frames into runs that never span a cut.

    Args:
        frames: in order.
        length: frames in a run; the last run before a cut and the very last may be shorter.

    Yields:
        The run, and whether it starts a new shot (the first does not).
    """
    run: list[Frame] = []
    starts_shot = False
    for frame, cut in _with_cuts(frames):
        if run and (cut or len(run) == length):
            yield run, starts_shot
            run, starts_shot = [], cut
        run.append(frame)
    if run:
        yield run, starts_shot


def _with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Each frame with whether it starts a new shot."""
    finder = CutFinder()
    waiting: deque[Frame] = deque()
    for frame in frames:
        waiting.append(frame)
        for cut in finder.push(frame.image):
            yield waiting.popleft(), cut
    for cut in finder.finish():
        yield waiting.popleft(), cut


def _sighting(frame: Frame, detection: Detection, with_picture: bool) -> Sighting:
    picture = thumbnails.thumbnail(frame.image, detection.box) if with_picture else None
    return Sighting(
        frame=frame.index,
        time=frame.time,
        detection=detection,
        colours=appearance.describe(frame.image, detection),
        picture=None if picture is None else thumbnails.encode(picture),
    )


def _presence(sightings: Sequence[Sighting], image_height: int) -> float:
    """Size times length: the heights of all boxes, as far as they lie in the image."""
    return sum(
        float(min(one.detection.box[3], image_height) - max(one.detection.box[1], 0.0)) for one in sightings
    )


def _best_picture(sightings: Sequence[Sighting], info: FootageInfo) -> np.ndarray | None:
    pictured = [one for one in sightings if one.picture is not None]
    if not pictured:
        return None
    best = max(pictured, key=lambda one: thumbnails.merit(one.detection, (info.width, info.height)))
    return thumbnails.decode(best.picture or b"")


def _track(person: int, shot: int, sightings: Sequence[Sighting]) -> Track:
    """A track of the frames that were read rightly, with left and right where they belong."""
    timestamps = np.array([one.time for one in sightings], np.float64)
    image = np.stack([one.detection.landmarks_image for one in sightings])
    world = np.stack([one.detection.landmarks_world for one in sightings])
    good = ~misread_frames(image, world, timestamps)
    image, world, timestamps = (
        image[good].astype(np.float32),
        world[good].astype(np.float32),
        timestamps[good],
    )
    kept = [one for one, is_good in zip(sightings, good, strict=True) if is_good]
    boxes = np.stack([one.detection.box for one in kept]).astype(np.float32)
    visibility = np.stack([one.detection.visibility for one in kept]).astype(np.float32)
    swapped = swapped_frames(image, world, boxes[:, 3] - boxes[:, 1], timestamps)
    for landmarks in (image, world, visibility):
        landmarks[swapped] = landmarks[swapped][:, list(LANDMARK_MIRROR)]
    for left, exchanged in exchanged_limbs(image, boxes[:, 3] - boxes[:, 1], timestamps).items():
        limb = [*left, *(LANDMARK_MIRROR[index] for index in left)]
        other = [LANDMARK_MIRROR[index] for index in limb]
        rows = np.flatnonzero(exchanged)[:, None]
        for landmarks in (image, world):  # across the picture only: depths stay with their names
            landmarks[rows, limb, :2] = landmarks[rows, other, :2]
    return Track(
        person=person,
        shot=shot,
        frame_indices=np.array([one.frame for one in kept], np.int64),
        timestamps=timestamps,
        boxes=boxes,
        landmarks_image=image,
        landmarks_world=world,
        visibility=visibility,
        masks=tuple(one.detection.mask for one in kept),
    )


def _nobody(info: FootageInfo, frames: int, seen: int) -> str:
    if seen:
        return (
            f"{info.path}: somebody is seen in {seen} of {frames} frames, but nobody in the {MIN_FRAMES} "
            f"frames and {MIN_SECONDS} seconds that a motion needs. Choose a longer part, or footage "
            "in which the person is larger."
        )
    return (
        f"{info.path}: nobody was found in its {frames} frames. The person should be upright in the picture, "
        "seen for the most part, and at least a tenth of the picture high."
    )
