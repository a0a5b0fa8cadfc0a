# SPDX-License-Identifier: Apache-2.0
"""Training batches made by a process of its own, so that synthesis and training use different cores."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any, Final

import torch
from torch import multiprocessing

from fasthmr.errors import FastHMRError

_WAITING: Final = 3  # batches made ahead
_LOOK: Final = 1.0  # seconds between looks whether the other process still lives


class BatchStream:
    """An endless iterator over what a function makes, in another process.

    Args:
        make: called in the other process with ``arguments``; gives the function that makes one batch.
            Both must be importable there (functions of a module).
        arguments: of ``make``.

    Raises:
        FastHMRError: by ``next``, what the other process raised for people to read, such as bad input.
        RuntimeError: by ``next``, the other process failed; its traceback is on standard error.
    """

    def __init__(self, make: Callable[..., Callable[[], Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue = context.Queue(_WAITING)
        self._process: BaseProcess = context.Process(
            target=_produce, args=(self._queue, make, arguments), daemon=True, name="fasthmr-batches"
        )
        self._process.start()
        self._ahead: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def wait(self) -> None:
        """Wait for the first batch, which takes seconds: a budget of time need not begin before.

        Raises:
            FastHMRError, RuntimeError: as ``next``.
        """
        if not self._ahead:
            self._ahead.append(self._get())

    def __next__(self) -> Any:
        return self._ahead.pop() if self._ahead else self._get()

    def _get(self) -> Any:
        while True:
            try:
                made = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                if not self._process.is_alive():
                    raise RuntimeError("Making training batches failed; the reason stands above.") from None
                continue
            if isinstance(made, FastHMRError):
                raise made
            return made

    def close(self) -> None:
        """End the other process."""
        self._process.terminate()
        self._process.join()


def _produce(batches: Any, make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        draw = make(*arguments)
        while True:
            batches.put(draw())
    except FastHMRError as error:
        batches.put(error)
