# SPDX-License-Identifier: Apache-2.0
"""A job's folder: what was asked, how far it is, and the result of every finished stage.

The same job asked for again goes on from its last finished stage. A stage's file counts as finished
when its fingerprint (the inputs it was made from, and the code that made it) is that of the stage
now asked for and its bytes are those that were written; so a changed setting costs only the stages
that depend on it, and a damaged file only its own stage.

::

    clip.job/
        job.json         the request, the footage, the state, the fingerprint of every finished stage
        progress.jsonl   the steps of the current or last run, one object a line
        log.txt          what happened, all runs
        people.npz, fit.person01.npz, ...   one file a finished stage
        result.json      what came out
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

import filelock
import msgspec

import fasthmr
from fasthmr.errors import BadInput, Cancelled, FastHMRError
from fasthmr.files import written_whole
from fasthmr.progress import Progress
from fasthmr.stage_clock import StageClock

if TYPE_CHECKING:
    from fasthmr.live_preview import Sketcher

SCHEMA: Final = 1

T = TypeVar("T")
State = Literal["running", "done", "failed", "cancelled"]


class JobBusy(FastHMRError):  # noqa: N818 (named like the others in errors.py)
    """Another process works in the job's folder at this moment."""


class StageRecord(msgspec.Struct):
    """A finished stage: its fingerprint, its files (relative to the job folder) with their sha256."""

    fingerprint: str
    files: dict[str, str]
    seconds: float


class JobRecord(msgspec.Struct):
    """What ``job.json`` holds."""

    schema: int
    version: str
    footage: str
    sha256: str
    request: dict[str, Any]
    state: State = "running"
    error: str | None = None
    started: str = ""
    ended: str | None = None
    stages: dict[str, StageRecord] = {}


class Job:
    """An open job folder, locked against other processes until the ``with`` block ends.

    Args:
        folder: the job's folder; made when missing.
        footage: path of the clip, kept for people to read.
        sha256: fingerprint of the clip.
        request: the settings as plain values, kept for people to read.
        progress: who else wants to see the progress and may cancel.

    Attributes:
        progress: give this to the stages; it also writes ``progress.jsonl`` and ``log.txt``.
        seconds: stage -> wall time it took in this run.
        reused: stages that were taken from the folder in this run.
    """

    def __init__(
        self,
        folder: Path,
        footage: Path,
        sha256: str,
        request: Mapping[str, Any],
        progress: Progress | None = None,
    ) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.reused: list[str] = []
        self._recorder = _Recorder(folder, progress or Progress())
        self.progress: Progress = self._recorder
        self._lock = filelock.FileLock(folder / ".lock", timeout=0)
        self._record = JobRecord(SCHEMA, fasthmr.__version__, str(footage), sha256, dict(request))

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            JobBusy: another process has it.
            BadInput: it cannot be written to, or it belongs to another clip.
        """
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except filelock.Timeout as error:
                raise JobBusy(
                    f"Another FastHMR is working in {self.folder}. Wait until it is done, cancel it, or "
                    "choose another output folder."
                ) from error
        try:
            self._take_over(self._previous())
            self._record.started = _now()
            self._write_record()
            with storing(self.folder):
                (self.folder / "progress.jsonl").write_bytes(b"")
            self._recorder.keep(f"FastHMR {fasthmr.__version__}: {self._record.footage}")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write down how it ended and give the folder back; errors go on to the caller."""
        if error is None:
            self._record.state = "done"
        elif isinstance(error, (Cancelled, KeyboardInterrupt)):
            self._record.state = "cancelled"
            self.progress.log("Cancelled.")
        else:
            self._record.state, self._record.error = "failed", str(error) or type(error).__name__
            expected = isinstance(error, FastHMRError)
            self.progress.log(str(error) if expected else "".join(traceback.format_exception(error)).rstrip())
        self._record.ended = _now()
        try:
            # A full disk must not hide the error that says so.
            with contextlib.suppress(BadInput) if error else contextlib.nullcontext():
                self._write_record()
        finally:
            self._lock.release()

    def stage(
        self,
        name: str,
        paths: Sequence[Path],
        make: Callable[[], Iterable[T]],
        save: Callable[[T, Path], None],
        load: Callable[[Path], T],
        **inputs: Any,
    ) -> list[T]:
        """Give a stage's values: from their files when these are sound and still right, else made anew.

        Args:
            name: "people", or "fit.person01" for a stage with a part for each person.
            paths: one file a value.
            make: makes the values, one for each path.
            save: writes one value, whole or not at all.
            load: reads one value; raises :class:`BadInput` when it is damaged.
            **inputs: everything that the values depend on, as plain values.

        Raises:
            BadInput: a file cannot be written; earlier stages and earlier files are kept.
        """
        started = time.perf_counter()
        fingerprint = fingerprint_of(name, inputs)
        values = self._finished(name, paths, load, fingerprint)
        if values is not None:
            self.reused.append(name)
            self._clocked(name, started)
            return values
        values = list(make())
        for value, path in zip(values, paths, strict=True):
            with storing(path):
                save(value, path)
        files = {self._relative(path): sha256_of_file(path) for path in paths}
        self._record.stages[name] = StageRecord(fingerprint, files, self._clocked(name, started))
        self._write_record()
        return values

    def finished(self, name: str, paths: Sequence[Path], load: Callable[[Path], Any], **inputs: Any) -> bool:
        """Whether :meth:`stage` with the same arguments would take its values from their files."""
        record = self._record.stages.get(name)
        if record is None or record.fingerprint != fingerprint_of(name, inputs):
            return False  # :meth:`stage` says why
        return self._finished(name, paths, load, record.fingerprint) is not None

    def fingerprint(self, name: str) -> str:
        """Fingerprint of a stage that is finished: an input of the stages after it."""
        return self._record.stages[name].fingerprint

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``.

        Raises:
            BadInput: it cannot be written.
        """
        with written_whole(self.folder / "result.json") as stream:
            stream.write(_pretty({"schema": SCHEMA, "version": fasthmr.__version__, **result}))

    def _finished(
        self, name: str, paths: Sequence[Path], load: Callable[[Path], T], fingerprint: str
    ) -> list[T] | None:
        record = self._record.stages.get(name)
        if record is None:
            return None
        if record.fingerprint != fingerprint or list(record.files) != [
            self._relative(path) for path in paths
        ]:
            self.progress.log(f"{name}: settings, footage or software changed; made anew.")
            return None
        try:
            for path, digest in zip(paths, record.files.values(), strict=True):
                if sha256_of_file(path) != digest:
                    raise BadInput(f"{path.name} was changed after it was written")
            return [load(path) for path in paths]
        except (BadInput, OSError) as error:
            self.progress.log(f"{name}: the stored file cannot be used ({error}); made anew.")
            return None

    def _clocked(self, name: str, started: float) -> float:
        elapsed = time.perf_counter() - started
        stage = name.partition(".")[0]
        self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed
        return round(elapsed, 3)

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def _previous(self) -> JobRecord | None:
        """The record of the earlier run, None when there is none that can be used."""
        path = self.folder / "job.json"
        try:
            record = msgspec.json.decode(path.read_bytes(), type=JobRecord)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            self.progress.log(f"{path.name} cannot be used ({error}); every stage is made anew.")
            return None
        if record.schema != SCHEMA:
            self.progress.log(f"{path.name} has schema {record.schema}; every stage is made anew.")
            return None
        return record

    def _take_over(self, previous: JobRecord | None) -> None:
        """Go on from an earlier run.

        Raises:
            BadInput: the folder is that of another clip of the same name.
        """
        if previous is None:
            return
        if previous.sha256 != self._record.sha256 and previous.footage != self._record.footage:
            raise BadInput(
                f"{self.folder} belongs to another clip of the same name ({previous.footage}). "
                "Choose another output folder, so that its results are not overwritten."
            )
        if previous.state == "running":
            self.progress.log("The last run ended without a word; going on from its finished stages.")
        self._record.stages = previous.stages

    def _write_record(self) -> None:
        with written_whole(self.folder / "job.json") as stream:
            stream.write(_pretty(msgspec.to_builtins(self._record)))


class _Recorder(Progress):
    """Writes the progress and the log into the job folder, and passes both on."""

    def __init__(self, folder: Path, outer: Progress) -> None:
        super().__init__(outer.cancelled)
        self._folder = folder
        self._outer = outer
        self._clock = StageClock()

    def show(self, stage: str, done: int, total: int | None) -> None:
        step = self._clock.step(stage, done, total)
        if step is not None:
            line = {"time": _now(), **msgspec.to_builtins(step)}
            self._append("progress.jsonl", msgspec.json.encode(line) + b"\n")
        self._outer.show(stage, done, total)

    def offer(self, make: Sketcher, folder: Path | None = None) -> None:
        self._outer.offer(make, self._folder)

    def log(self, message: str) -> None:
        self.keep(message)
        self._outer.log(message)

    def keep(self, message: str) -> None:
        """Write a line into the job's own log; nobody who waits for the job need see it."""
        self._append("log.txt", f"{_now()}  {message}\n".encode())

    def _append(self, name: str, line: bytes) -> None:
        # These are records beside the work: when the disk fills up, the stage's own file says so.
        with contextlib.suppress(OSError), (self._folder / name).open("ab") as stream:
            stream.write(line)


def fingerprint_of(name: str, inputs: Mapping[str, Any]) -> str:
    """Digest of a stage's inputs, the same for the same values in any order of keys."""
    return hashlib.sha256(msgspec.json.encode([name, inputs], order="deterministic")).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.cache
def code_digest(*places: str) -> str:
    """Digest of the package's own source at some places ("people", "motion.py").

    It is an input of every stage, so that a stage whose code changed is made again without anybody
    having to remember to raise a number.
    """
    root = Path(fasthmr.__file__).parent
    digest = hashlib.sha256()
    for place in places:
        path = root / place
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Turn what the system says about a place that cannot be written into a message for people.

    Raises:
        BadInput: in the place of the system's error.
    """
    try:
        yield
    except FastHMRError:
        raise
    except Exception as error:
        cause = _system_error(error)
        if cause is None:
            raise
        reason = cause.strerror or str(cause)
        raise BadInput(
            f"{place} cannot be written: {reason}. Free some space, choose another output folder or change "
            "its permissions, and run the same again: finished stages are kept."
        ) from error


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's error behind an error: closing a half-written archive hides it behind a ValueError."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
