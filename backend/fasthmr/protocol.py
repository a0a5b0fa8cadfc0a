# SPDX-License-Identifier: Apache-2.0
"""What the worker and its client say to each other: JSON-RPC 2.0, one object a line, UTF-8.

Requests are checked against the types below before anything acts on them, so that a client is told
which parameter is wrong. Errors carry the exit code that the command line would have ended with.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from fasthmr.errors import Cancelled, FastHMRError
from fasthmr.request import DEFAULT_MODEL

PROTOCOL: Final = 1

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
UNKNOWN_METHOD: Final = -32601
BAD_PARAMETERS: Final = -32602
INTERNAL_ERROR: Final = -32603
CANCELLED: Final = -32800
FAILED: Final = -32000
"""Less the exit code: -32003 is bad input, for example."""

JobId = str | int
RequestId = str | int | None


class Hello(msgspec.Struct):
    """Parameters of ``hello``."""

    client: str = ""


class Probe(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of ``probe``."""

    footage: str


class FindPeople(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of ``people``."""

    footage: str
    start: float | None = None
    end: float | None = None
    out: str | None = None
    frame_rate: float | None = None
    preview: bool = False
    job: JobId | None = None


class Recover(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of ``recover``; they are those of :class:`fasthmr.pipeline.RecoverRequest`.

    Attributes:
        model: "open", "landmarks" (no encoder), "hmr2" or "camerahmr"; the last two need a ``checkpoint``.
        checkpoint: path of a file with an encoder's weights; it stays loaded for the jobs after this one.
        precision: "auto", "fp32", "bf16" or "fp16": numbers that the encoder reckons with.
        tokens: how many of its 192 tokens the encoder keeps while it merges background; null for all.
        decoder: "auto", "diffusion", "regressor" or "landmark_fit".
        steps: denoising steps of "diffusion".
        decoder_weights: path of a motion decoder; null for the one that comes along.
        refine: whether a decoded motion is fitted to the picture's landmarks.
        preview: whether small pictures of the work are made (see :mod:`fasthmr.worker`).
    """

    footage: str
    out: str
    person: str = "all"
    start: float | None = None
    end: float | None = None
    model: str = DEFAULT_MODEL
    checkpoint: str | None = None
    body: str = "open"
    device: str = "auto"
    camera_fov: float | None = None
    frame_rate: float | None = None
    precision: str = "auto"
    tokens: int | None = None
    decoder: str = "auto"
    steps: int = 1
    decoder_weights: str | None = None
    refine: bool = True
    preview: bool = False
    job: JobId | None = None


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of ``cancel``."""

    job: JobId


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


PARAMETERS: Final[dict[str, type[msgspec.Struct]]] = {
    "hello": Hello,
    "probe": Probe,
    "people": FindPeople,
    "recover": Recover,
    "cancel": Cancel,
    "doctor": Nothing,
    "shutdown": Nothing,
}


class Request(msgspec.Struct):
    """One request; without an ``id`` it is a notification, and is not answered."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | msgspec.UnsetType | None = msgspec.UNSET
    params: Any = None


class Refused(Exception):  # noqa: N818
    """A message that cannot be acted on.

    Args:
        code: JSON-RPC error code.
        message: what is wrong with it.
        request: the message's id, None when it has none that can be read.
    """

    def __init__(self, code: int, message: str, request: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.request = request


def read_request(line: bytes) -> tuple[Request, msgspec.Struct]:
    """Understand one line.

    Returns:
        The request and its checked parameters.

    Raises:
        Refused: with the code for what is wrong.
    """
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(PARSE_ERROR, f"This line is not JSON: {error}.") from error
    number = message.get("id") if isinstance(message, dict) else None
    number = number if isinstance(number, str | int) else None
    try:
        request = msgspec.convert(message, Request)
    except msgspec.ValidationError as error:
        raise Refused(INVALID_REQUEST, f"This is not a JSON-RPC 2.0 request: {error}.", number) from error
    if request.method not in PARAMETERS:
        known = ", ".join(PARAMETERS)
        raise Refused(UNKNOWN_METHOD, f"Unknown method '{request.method}'. Known: {known}.", number)
    try:
        given = {} if request.params is None else request.params
        return request, msgspec.convert(given, PARAMETERS[request.method])
    except msgspec.ValidationError as error:
        raise Refused(BAD_PARAMETERS, f"Bad parameters for '{request.method}': {error}.", number) from error


def result_message(request: RequestId, result: Any) -> dict[str, Any]:
    """The answer to a request that succeeded."""
    return {"jsonrpc": "2.0", "id": request, "result": result}


def notification(method: str, params: Any) -> dict[str, Any]:
    """A message that nobody answers."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def error_message(request: RequestId, error: BaseException) -> dict[str, Any]:
    """The answer to a request that failed."""
    if isinstance(error, Refused):
        code, exit_code = error.code, 2
    elif isinstance(error, Cancelled):
        code, exit_code = CANCELLED, error.exit_code
    elif isinstance(error, FastHMRError):
        code, exit_code = FAILED - error.exit_code, error.exit_code
    else:
        code, exit_code = INTERNAL_ERROR, 1
    text = str(error) or type(error).__name__
    if code == INTERNAL_ERROR:
        text = f"Internal error: {type(error).__name__}: {text} (the log has the details)"
    data = {"exit_code": exit_code, "kind": type(error).__name__}
    return {"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": text, "data": data}}
