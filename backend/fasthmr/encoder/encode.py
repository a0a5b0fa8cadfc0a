# SPDX-License-Identifier: Apache-2.0
"""From footage and tracks to encodings: crops are made while the network is busy with earlier ones.

One pass over the footage serves everybody; batches are filled across frames and people. Where the network
runs on a GPU, a thread decodes and cuts ahead, and a few batches wait in a queue of fixed length, so that
memory does not grow with the clip beyond the results (about 5 kB for each person in each frame). On a CPU
both take turns: the same cores do both, and a thread that takes one from the network's makes all of these
wait (measured on two busy cores: 5 to 40 % slower than taking turns).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.encoder.crop_camera import box_information
from fasthmr.encoder.crop_geometry import CropRule, CropSquare, rule_for, square_of
from fasthmr.encoder.crops import crop_people, cut_bytes
from fasthmr.encoder.encoding import Encoding
from fasthmr.encoder.landmark_tokens import landmark_numbers
from fasthmr.encoder.model import HMROutput
from fasthmr.encoder.protection import track_levels
from fasthmr.encoder.proxies import mask_in_crop, proxies
from fasthmr.encoder.runner import EncoderRunner
from fasthmr.errors import BadInput
from fasthmr.people.sketches import sketch_tracks
from fasthmr.progress import Progress

if TYPE_CHECKING:
    from fasthmr.footage import Footage, Frame
    from fasthmr.live_preview import Sketch
    from fasthmr.people import PackedMask, People, Track

STAGE: Final = "encode"

# Batches that wait at most, and how often a waiting thread looks whether the work was given up.
_WAITING: Final = 2
_LOOK: Final = 0.05  # seconds


def encode_people(
    footage: Footage,
    people: People,
    tracks: Sequence[Track],
    intrinsics: np.ndarray,
    runner: EncoderRunner,
    progress: Progress | None = None,
    rule: CropRule | None = None,
    overlapped: bool | None = None,
) -> list[Encoding]:
    """Encode each person in every frame in which the person was seen.

    Args:
        footage: the clip in which the people were found, between the same start and end.
        people: everybody in it.
        tracks: whom to encode.
        intrinsics: (3, 3) camera matrix, which CameraHMR is told of.
        runner: the network. If it merges tokens, the people's masks say which patches it keeps.
        progress: stage "encode", one unit for each person in each frame.
        rule: how boxes become squares; None for what the network was trained with.
        overlapped: whether a thread makes crops ahead; None: where the network is not on the CPU.

    Returns:
        One encoding for each track, in their order, with all of the track's frames.

    Raises:
        Cancelled: the user cancelled; after one frame, or on a CPU one layer of the network.
        BadInput: the footage cannot be decoded as before, or the network gives numbers that are not finite.
        BadCall: the GPU's memory does not hold one crop.
    """
    progress = progress or Progress()
    if not tracks:
        return []
    total = sum(len(track) for track in tracks)
    progress.report(STAGE, 0, total)
    runner.prepare()
    results = [_Results(track, runner) for track in tracks]
    rule = rule or rule_for(runner.model.config.kind)
    work = _Work(footage, people, tracks, intrinsics, runner, rule, progress)
    done = 0

    def still_wanted() -> None:
        if progress.cancelled.is_set():
            progress.report(STAGE, done, total)  # which raises

    ahead = runner.device.type != "cpu" if overlapped is None else overlapped
    with work.ahead(still_wanted) if ahead else work.in_turns(still_wanted) as batches:
        for batch in batches:
            output = runner.encode(batch.crops, batch.box_info, batch.levels, still_wanted, batch.landmarks)
            forced = output.state.forced if output.state is not None else None
            for place, (person, row) in enumerate(batch.places):
                results[person].put(row, output, forced, place, batch.squares[place])
            done += len(batch.places)
            progress.report(STAGE, done, total)
    encodings = [result.finished() for result in results]
    _tell_forced(encodings, runner, progress)
    return encodings


@dataclass(frozen=True)
class _Batch:
    """Crops that travel together.

    Attributes:
        crops: (B, C, 256, 192) float32, on the GPU if there is one.
        box_info: (B, 3) for CameraHMR.
        levels: (B, 192) uint8 for a network that merges tokens.
        landmarks: (B, L, 6) for a network that reads them.
        squares: B.
        places: B times which track, and which row of it.
    """

    crops: Tensor
    box_info: Tensor | None
    levels: Tensor | None
    landmarks: Tensor | None
    squares: list[CropSquare]
    places: list[tuple[int, int]]


class _Work:
    """Decodes and cuts: in turns with the network, or in a thread with a queue to it."""

    def __init__(
        self,
        footage: Footage,
        people: People,
        tracks: Sequence[Track],
        intrinsics: np.ndarray,
        runner: EncoderRunner,
        rule: CropRule,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._footage, self._image_size, self._intrinsics = footage, people.image_size, intrinsics
        self._tracks, self._runner, self._rule = tracks, runner, rule
        self._squares = [square_of(track.boxes, rule) for track in tracks]
        self._queue: queue.Queue[_Batch | Exception | None] = queue.Queue(_WAITING)
        self._given_up = threading.Event()
        self._go_on: Callable[[], None] = self._raise_if_given_up  # asked once a frame

    @contextlib.contextmanager
    def in_turns(self, still_wanted: Callable[[], None]) -> Iterator[Iterator[_Batch]]:
        """The batches, each made when it is asked for."""
        self._go_on = still_wanted
        try:
            yield self._make()
        finally:
            self._footage.close()

    @contextlib.contextmanager
    def ahead(self, still_wanted: Callable[[], None]) -> Iterator[Iterator[_Batch]]:
        """The batches, made by a thread that runs while the block lasts."""
        thread = threading.Thread(target=self._produce, name="fasthmr-crops", daemon=True)
        thread.start()
        try:
            yield self._received(still_wanted)
        finally:
            self._given_up.set()
            thread.join()

    def _received(self, still_wanted: Callable[[], None]) -> Iterator[_Batch]:
        """The batches as they come; an error of the thread is raised here."""
        while True:
            try:
                batch = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                still_wanted()
                continue
            if batch is None:
                return
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def _produce(self) -> None:
        try:
            for batch in self._make():
                self._put(batch)
            self._put(None)
        except _GivenUp:
            pass
        except Exception as error:  # noqa: BLE001 (it is raised where the batches are read)
            with contextlib.suppress(_GivenUp):
                self._put(error)
        finally:
            self._footage.close()  # here, for a pass cannot be closed from another thread while it runs

    def _put(self, item: _Batch | Exception | None) -> None:
        while True:
            self._go_on()
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_LOOK)
                return

    def _raise_if_given_up(self) -> None:
        if self._given_up.is_set():
            raise _GivenUp

    def _make(self) -> Iterator[_Batch]:
        """Decode, cut, and fill batches.

        Raises:
            BadInput: a frame that was there when the people were found is not there, or of another size.
        """
        wanted: dict[int, list[tuple[int, int]]] = {}
        for person, track in enumerate(self._tracks):
            for row, index in enumerate(track.frame_indices.tolist()):
                wanted.setdefault(index, []).append((person, row))
        levels = self._levels()
        cut: list[Tensor] = []
        places: list[tuple[int, int]] = []
        for frame in self._footage:
            self._go_on()
            here = wanted.pop(frame.index, [])
            if here:
                if frame.image.shape[1::-1] != tuple(self._image_size):
                    raise self._other_footage(f"frame {frame.index} has another size")
                cut.append(self._cut(frame.image, here))
                places += here
                self._progress.offer(lambda _, frame=frame, here=here: self._sketch(frame, here))
            while len(places) >= self._runner.batch_size or (places and not wanted):
                size = min(self._runner.batch_size, len(places))
                crops = torch.cat(cut)
                yield self._batch(crops[:size], places[:size], levels)
                cut, places = [crops[size:]], places[size:]
            if not wanted:
                return
        raise self._other_footage(f"{len(wanted)} frames are missing, the first is {min(wanted)}")

    def _sketch(self, frame: Frame, here: list[tuple[int, int]]) -> Sketch:
        return sketch_tracks(frame, [(self._tracks[person], row) for person, row in here])

    def _cut(self, image: np.ndarray, here: list[tuple[int, int]]) -> Tensor:
        """Crops of the people of one frame (track and row); on a GPU beside what the network does there."""
        squares = [self._squares[person][row] for person, row in here]
        images, device = [image] * len(squares), self._runner.device
        if self._runner.model.config.reads_proxies:
            return self._proxies(image, squares, [self._tracks[person].masks[row] for person, row in here])
        if device.type != "cuda":
            return crop_people(images, squares, self._rule)
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            crops = crop_people(images, squares, self._rule, device)
        stream.synchronize()
        crops.record_stream(torch.cuda.default_stream(device))  # it is read there; not to be reused before
        return crops

    def _proxies(
        self, image: np.ndarray, squares: list[CropSquare], masks: list[PackedMask | None]
    ) -> Tensor:
        """Edges and masks of the people of one frame; on the CPU, where the bytes are."""
        channels = self._runner.model.config.in_channels
        crops = [
            proxies(cut_bytes(image, square, self._rule), mask_in_crop(mask, square), channels)
            for square, mask in zip(squares, masks, strict=True)
        ]
        return torch.from_numpy(np.stack(crops))

    def _landmarks(self, places: list[tuple[int, int]], squares: list[CropSquare]) -> Tensor:
        """What the network reads of the detector's landmarks."""
        image, world, visibility = (
            torch.from_numpy(np.stack([getattr(self._tracks[person], name)[row] for person, row in places]))
            for name in ("landmarks_image", "landmarks_world", "visibility")
        )
        return landmark_numbers(image[..., :2], world, visibility, torch.tensor(squares))

    def _batch(self, crops: Tensor, places: list[tuple[int, int]], levels: list[np.ndarray] | None) -> _Batch:
        squares = [self._squares[person][row] for person, row in places]
        box_info = level = landmarks = None
        if self._runner.model.config.landmarks:
            landmarks = self._landmarks(places, squares)
        if self._runner.model.config.reads_box:
            box_info = torch.from_numpy(box_information(squares, self._intrinsics))
        if levels is not None:
            level = torch.from_numpy(np.stack([levels[person][row] for person, row in places]))
        return _Batch(crops, box_info, level, landmarks, squares, places)

    def _levels(self) -> list[np.ndarray] | None:
        """For each track which patches not to merge, (T, 192); None if none are merged."""
        if not self._runner.merges:
            return None
        levels = []
        for track, squares in zip(self._tracks, self._squares, strict=True):
            self._go_on()
            levels.append(track_levels(track.masks, squares))
        return levels

    def _other_footage(self, what: str) -> BadInput:
        return BadInput(
            f"{self._footage.info.path} is not what it was when the people were found: {what}. "
            "Delete the job's folder and run the job again."
        )


class _GivenUp(Exception):  # noqa: N818
    """Nobody waits for the batches any more."""


class _Results:
    """The rows of one person, filled as they come."""

    def __init__(self, track: Track, runner: EncoderRunner) -> None:
        count = len(track)
        self._track, self._kind = track, runner.model.config.kind
        self._arrays = {
            "rotmat": np.empty((count, 24, 3, 3), np.float32),
            "betas": np.empty((count, 10), np.float32),
            "camera": np.empty((count, 3), np.float32),
            "token": np.empty((count, runner.model.config.head_dim), np.float32),
        }
        self._squares = np.empty((count, 3), np.float32)
        self._forced = np.zeros(count, np.int32)

    def put(self, row: int, output: HMROutput, forced: Tensor | None, place: int, square: CropSquare) -> None:
        """Keep one crop's results."""
        for name, array in self._arrays.items():
            array[row] = getattr(output, name)[place].numpy()
        self._squares[row] = square
        if forced is not None:
            self._forced[row] = int(forced[place])

    def finished(self) -> Encoding:
        return Encoding(
            frame_indices=self._track.frame_indices,
            squares=self._squares,
            forced=self._forced,
            kind=self._kind,
            **self._arrays,
        )


def _tell_forced(encodings: Sequence[Encoding], runner: EncoderRunner, progress: Progress) -> None:
    """Say in how many crops merging had to touch the person."""
    if not runner.merges:
        return
    forced = np.concatenate([encoding.forced for encoding in encodings])
    if short := int((forced > 0).sum()):
        progress.log(
            f"Background ran out in {short} of {len(forced)} crops: there {forced[forced > 0].mean():.1f} "
            "merges on average took patches of the person. Keeping more tokens avoids it."
        )
