# SPDX-License-Identifier: Apache-2.0
"""What takes long to load, loaded once: the worker keeps it from one job to the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthmr.errors import MissingModel
from fasthmr.jobs import sha256_of_file

if TYPE_CHECKING:
    from fasthmr.body import BodyModel
    from fasthmr.decoder.motion_decoder import MotionDecoder
    from fasthmr.encoder.runner import EncoderRunner
    from fasthmr.people import PersonDetector
    from fasthmr.request import EncoderChoice


_FileState = tuple[str, int, int]  # path, time of the last change, size: a file that changed is read again


class Models:
    """Loads models when they are first asked for and keeps them; used by one thread at a time."""

    def __init__(self) -> None:
        self._detector: PersonDetector | None = None
        self._bodies: dict[tuple[str, float], BodyModel] = {}
        self._encoder: tuple[Any, EncoderRunner] | None = None  # what it was made from, and the encoder
        self._decoder: tuple[_FileState, MotionDecoder] | None = None
        self._digests: dict[tuple[str, _FileState], str] = {}

    def detector(self) -> PersonDetector:
        """The person detector out of the box.

        Raises:
            MissingModel: its files were not prepared (``python build.py setup`` does it).
        """
        if self._detector is None:
            from fasthmr.people import BlazePoseDetector

            self._detector = BlazePoseDetector()
        return self._detector

    def detector_digest(self) -> str:
        """Digest of the detector's files, without loading them.

        Raises:
            MissingModel: they were not prepared.
        """
        from fasthmr.people.bundle import find_bundle

        return sha256_of_file(find_bundle())

    def body(self, name: str) -> BodyModel:
        """A body model: "open", or the path of a user's own.

        Raises:
            MissingModel: there is no such file.
            BadInput: the file is damaged or no body model.
        """
        from fasthmr.body import load_body

        path = Path(name)
        changed = path.stat().st_mtime if path.is_file() else 0.0  # a file that changed is read again
        if (name, changed) not in self._bodies:
            self._bodies[name, changed] = load_body(name)
        return self._bodies[name, changed]

    def encoder(self, choice: EncoderChoice) -> EncoderRunner:
        """An encoder on its device; the last one stays loaded, an earlier one is freed first.

        Raises:
            MissingModel: there is no such checkpoint.
            BadInput: it is damaged, or of another network.
            BadCall: the device or the precision is not possible here.
        """
        from fasthmr.device import choose_device, choose_precision
        from fasthmr.encoder.checkpoint import load_checkpoint
        from fasthmr.encoder.runner import EncoderRunner
        from fasthmr.encoder.token_merging import TokenMerging, schedule_to

        wanted = (choice, _state(choice.checkpoint))
        if self._encoder is None or self._encoder[0] != wanted:
            self._encoder = None  # two of them may not fit into memory
            device = choose_device(choice.device)
            dtype = choose_precision(device, choice.precision)
            model = load_checkpoint(choice.checkpoint, choice.kind, dtype=dtype, device=device)
            if choice.tokens < model.config.tokens:
                model.reduction = TokenMerging(schedule_to(model.config.tokens, choice.tokens))
            name = f"The encoder of {choice.checkpoint}"
            runner = EncoderRunner(model, device, precision=choice.precision, name=name)
            self._encoder = (wanted, runner)
        return self._encoder[1]

    def checkpoint_digest(self, choice: EncoderChoice) -> str:
        """Digest of an encoder's checkpoint that is whole and of the right network, without keeping it.

        Gigabytes are read once: a file that did not change is not looked at again.

        Raises:
            MissingModel: there is no such file, or it holds another network.
            BadInput: it is damaged, partial, or no checkpoint.
        """
        asked = (choice.kind, _state(choice.checkpoint))
        if asked not in self._digests:
            from fasthmr.encoder.checkpoint import read_weights
            from fasthmr.encoder.checkpoint_check import check_fit, config_for

            path = choice.checkpoint
            weights, metadata = read_weights(path)
            shapes = {name: tuple(one.shape) for name, one in weights.items()}
            check_fit(path, config_for(path, choice.kind, shapes, metadata), weights)
            self._digests[asked] = sha256_of_file(path)
        return self._digests[asked]

    def motion_decoder(self, path: Path | None = None) -> MotionDecoder | None:
        """The trained motion decoder; it stays loaded.

        Args:
            path: a user's own; None for the one that comes along.

        Returns:
            None where none comes along.

        Raises:
            MissingModel: the user's own is not there.
            BadInput: the file is damaged, or no motion decoder.
        """
        from fasthmr.decoder.motion_decoder import WEIGHTS, load_decoder

        if path is None and not WEIGHTS.is_file():
            return None
        state = _state(path or WEIGHTS)
        if self._decoder is None or self._decoder[0] != state:
            self._decoder = (state, load_decoder(path or WEIGHTS))
        return self._decoder[1]

    def close(self) -> None:
        """Free what was loaded; it is loaded again when asked for."""
        self._encoder = self._decoder = None
        if self._detector is not None:
            self._detector.close()
        self._detector = None
        self._bodies.clear()


def _state(path: Path) -> _FileState:
    try:
        status = path.stat()
    except OSError as error:
        raise MissingModel(f"The weights {path} cannot be read: {error.strerror or error}.") from error
    return str(path.absolute()), status.st_mtime_ns, status.st_size
