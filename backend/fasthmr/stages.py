# SPDX-License-Identifier: Apache-2.0
"""The stages of a job: each takes its result from the job folder, or makes it and leaves it there.

What a stage depends on is listed where it is made (the keyword arguments of
:meth:`fasthmr.jobs.Job.stage`): the stages before it, its own settings, and its code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthmr.errors import BadCall, NobodyFound
from fasthmr.jobs import Job, code_digest
from fasthmr.memory import large_arrays_apart
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.request import Clip, EncoderChoice

if TYPE_CHECKING:
    from fasthmr.body import BodyModel
    from fasthmr.chosen_decoder import ChosenDecoder
    from fasthmr.encoder.encoding import Encoding
    from fasthmr.evidence import BodyEstimate, Evidence
    from fasthmr.live_preview import Sketcher
    from fasthmr.people import People, Track


def find_everyone(job: Job, clip: Clip, start: float | None, end: float | None, models: Models) -> People:
    """Stage "people": who is in the clip, where, in which frames.

    Args:
        job: the open job.
        clip: the footage, opened between start and end.
        start: where it starts, seconds.
        end: where it ends, seconds.
        models: gives the detector, which is loaded only when the stage is not finished already.

    Raises:
        NobodyFound: nobody is in it.
        MissingModel: the detector's files are not there.
    """
    from fasthmr.people import People, find_people

    def make() -> list[People]:
        try:
            with large_arrays_apart():
                return [find_people(clip.footage, models.detector(), job.progress)]
        finally:
            clip.footage.close()
            for warning in clip.footage.warnings:
                job.progress.log(warning)

    (people,) = job.stage(
        "people",
        [job.folder / "people.npz"],
        make,
        People.save,
        People.load,
        footage=clip.sha256,
        start=start,
        end=end,
        frame_rate=clip.footage.info.frame_rate if clip.footage.info.kind == "images" else None,
        detector=models.detector_digest(),
        code=code_digest("footage", "people"),
    )
    return people


def choose(people: People, wanted: str, clip: Clip) -> list[Track]:
    """The tracks of the people that were asked for.

    Raises:
        BadCall: somebody asked for is not in the clip; the message lists who is.
        NobodyFound: there is nobody at all.
    """
    if not people.tracks:
        raise NobodyFound(f"Nobody was found in {clip.path}. Choose footage that shows a person well.")
    if wanted == "all":
        return list(people.tracks)
    if wanted == "largest":
        return [people.tracks[0]]
    there = {track.person: track for track in people.tracks}
    numbers = sorted({int(number) for number in wanted.split(",")})
    if unknown := [number for number in numbers if number not in there]:
        known = ", ".join(f"{n} (frames {t.first_frame} to {t.last_frame})" for n, t in there.items())
        raise BadCall(
            f"{clip.path.name} has no person {', '.join(map(str, unknown))}. It has: {known}. "
            "`fasthmr people` shows them."
        )
    return [there[number] for number in numbers]


def gather_evidence(
    clip: Clip, people: People, tracks: Sequence[Track], camera_fov: float | None
) -> list[Evidence]:
    """What was seen of each person, in every frame of the person's span, with the clip's camera.

    Args:
        clip: the footage.
        people: everybody in it.
        tracks: the people asked for.
        camera_fov: horizontal field of view in degrees, None to take it from the footage or a default.
    """
    from fasthmr.evidence import Evidence
    from fasthmr.placement import camera_intrinsics

    intrinsics = camera_intrinsics(clip.footage.info, camera_fov)
    return [Evidence.from_track(track, people, intrinsics) for track in tracks]


def encode_everyone(
    job: Job,
    clip: Clip,
    people: People,
    tracks: Sequence[Track],
    evidences: Sequence[Evidence],
    body: BodyModel,
    choice: EncoderChoice,
    models: Models,
) -> list[Evidence]:
    """Stage "encode": what an encoder sees in the crops of each person, put beside the other evidence.

    All people who still need it are read in one pass over the footage.

    Returns:
        The evidence with rotations, joints, confidence and token.

    Raises:
        MissingModel: the checkpoint is not there.
        BadInput: it is damaged, or of another network.
    """
    from fasthmr.encoder.as_evidence import add_encoding
    from fasthmr.encoder.encode import encode_people
    from fasthmr.encoder.encoding import Encoding

    intrinsics = evidences[0].intrinsics
    inputs = {
        "people": job.fingerprint("people"),
        "checkpoint": models.checkpoint_digest(choice),
        "kind": choice.kind,
        "tokens": choice.tokens,
        "precision": choice.precision,
        "intrinsics": intrinsics.tolist() if choice.kind == "camerahmr" else None,  # the others never ask
        "code": code_digest("encoder", "footage"),
    }
    paths = {track.person: job.folder / f"encoding.person{track.person:02d}.npz" for track in tracks}
    missing = [
        track
        for track in tracks
        if not job.finished(_encode_name(track), [paths[track.person]], Encoding.load, **inputs)
    ]
    made: dict[int, Encoding] = {}

    def encode(track: Track) -> Encoding:
        if not made:
            job.progress.report("encode", 0, sum(len(one) for one in missing))  # loading takes a while
            runner = models.encoder(choice)
            found = encode_people(clip.footage, people, missing, intrinsics, runner, job.progress)
            made.update({one.person: encoding for one, encoding in zip(missing, found, strict=True)})
        return made[track.person]

    encodings = [
        encoding
        for track in tracks
        for encoding in job.stage(
            _encode_name(track),
            [paths[track.person]],
            lambda track=track: [encode(track)],
            Encoding.save,
            Encoding.load,
            **inputs,
        )
    ]
    frames = sum(len(track) for track in tracks)
    job.progress.report("encode", frames, frames)
    return [
        add_encoding(evidence, encoding, body)
        for evidence, encoding in zip(evidences, encodings, strict=True)
    ]


def fit_everyone(
    job: Job,
    tracks: Sequence[Track],
    evidences: Sequence[Evidence],
    body: BodyModel,
    decoder: ChosenDecoder | None = None,
) -> list[BodyEstimate]:
    """Stage "fit": the body of each person in the camera's frame.

    Args:
        job: the open job.
        tracks: the people.
        evidences: what was seen of each.
        body: wears the motion.
        decoder: the trained motion decoder that makes it; None for the landmark fit.
    """
    from fasthmr.evidence import BodyEstimate

    frames = [evidence.frame_count for evidence in evidences]
    estimates: list[BodyEstimate] = []
    for index, (track, evidence) in enumerate(zip(tracks, evidences, strict=True)):
        part = _PartOfStage(job.progress, sum(frames[:index]), frames[index], sum(frames))
        part.report("fit", 0, 1)

        def make(evidence: Evidence = evidence, part: Progress = part) -> list[BodyEstimate]:
            return [_fit(evidence, body, decoder, part)]

        estimates += job.stage(
            _fit_name(track),
            [job.folder / f"{_fit_name(track)}.npz"],
            make,
            BodyEstimate.save,
            BodyEstimate.load,
            people=job.fingerprint("people"),
            intrinsics=evidence.intrinsics.tolist(),
            body=body.sha256,
            **_decoded(decoder),
            **_encoded(job, track, evidence),
        )
        part.report("fit", 1, 1)
    return estimates


def _fit(
    evidence: Evidence, body: BodyModel, decoder: ChosenDecoder | None, progress: Progress
) -> BodyEstimate:
    if decoder is None:
        from fasthmr.decoder.landmark_fit import fit_landmarks

        return fit_landmarks(evidence, body, progress)
    from fasthmr.decoder.decode import decode
    from fasthmr.decoder.refine import refine

    if decoder.refinement is None:
        return decode(evidence, body, decoder.networks, progress, decoder.settings)
    # Decoding takes a moment, fitting takes long: only the latter is told.
    decoded = decode(evidence, body, decoder.networks, Progress(progress.cancelled), decoder.settings)
    return refine(evidence, decoded, body, progress, decoder.refinement)


def _decoded(decoder: ChosenDecoder | None) -> dict[str, Any]:
    """What a fit depends on in its decoder."""
    if decoder is None:
        return {"code": code_digest("decoder/landmark_fit", "body", "evidence.py")}
    return {"decoder": decoder.described(), "code": code_digest("decoder", "body", "evidence.py")}


def place_everyone(
    job: Job,
    clip: Clip,
    tracks: Sequence[Track],
    estimates: Sequence[BodyEstimate],
    evidences: Sequence[Evidence],
    body: BodyModel,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Stage "place": the people in one world, a motion file each, beside the job folder.

    Returns:
        The motion files, in the order of the tracks.
    """
    from fasthmr.motion import Motion
    from fasthmr.placement import place

    paths = [job.folder.parent / f"{clip.name}.person{track.person:02d}.npz" for track in tracks]
    job.progress.report("place", 0, len(paths))
    job.stage(
        "place",
        paths,
        lambda: place(estimates, evidences, body, provenance),
        Motion.save,
        Motion.load,
        fits=[job.fingerprint(_fit_name(track)) for track in tracks],
        provenance=provenance,
        code=code_digest("placement", "body", "evidence.py", "motion.py"),
    )
    job.progress.report("place", len(paths), len(paths))
    return paths


def _encoded(job: Job, track: Track, evidence: Evidence) -> dict[str, str]:
    """What a fit depends on where an encoder has seen the person; nothing without one."""
    if evidence.rotations is None:
        return {}
    code = code_digest("encoder/as_evidence.py", "encoder/agreement.py")
    return {"encoding": job.fingerprint(_encode_name(track)), "encoding_code": code}


def _encode_name(track: Track) -> str:
    return f"encode.person{track.person:02d}"


def _fit_name(track: Track) -> str:
    return f"fit.person{track.person:02d}"


class _PartOfStage(Progress):
    """One person's share of a stage, reported as frames of all people, so that it never starts again."""

    def __init__(self, whole: Progress, before: int, frames: int, total: int) -> None:
        super().__init__(whole.cancelled)
        self._whole, self._before, self._frames, self._total = whole, before, frames, total

    def show(self, stage: str, done: int, total: int | None) -> None:
        share = min(1.0, done / total) if total else 0.0
        self._whole.show(stage, self._before + int(self._frames * share), self._total)

    def offer(self, make: Sketcher, folder: Path | None = None) -> None:
        self._whole.offer(make, folder)

    def log(self, message: str) -> None:
        self._whole.log(message)
