# SPDX-License-Identifier: Apache-2.0
"""Which captured motion is kept for tests, under whatever name and on whatever skeleton it comes.

The same recordings of CMU's database go round on several skeletons, mirrored, and in AMASS. A clip that is
tested with must not be learned from in any of these forms, so names are read generously: a sound clip that
is taken for a held-out one is a small loss, the other way round the figures would be wrong.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

#: CMU's subjects whose clips are for tests alone.
HELD_OUT_SUBJECTS: Final = frozenset({131, 139})
#: CMU's subjects in neither training nor test: 135 performs the clips of ``cmu_acrnn/martial``, which are for
#: tests. His own clips show the same recordings on another skeleton, so they would be learned by heart, or
#: count twice in a test.
LEFT_OUT_SUBJECTS: Final = frozenset({135})

_HELD_OUT_FOLDER: Final = re.compile(r"acrnn/martial")
# "131_03", also as "M131_03", "cmu_131_03_poses", "131_03-mirrored".
_TRIAL: Final = re.compile(r"(?<!\d)0*(\d{1,3})_0*(\d{1,3})(?!\d)")
# A name that is nothing but a trial, so that its numbers are CMU's beyond doubt.
_PLAIN_TRIAL: Final = re.compile(r"(?:m(?:irror(?:ed)?)?_?|cmu_)?0*(\d{1,3})_0*(\d{1,3})(?:[_+-].*)?", re.I)


def is_held_out(name: str, subject: int | None) -> bool:
    """Whether a clip is for tests alone.

    Args:
        name: of the clip: its path without ending.
        subject: number of the captured person, where a list says it.
    """
    return bool(_HELD_OUT_FOLDER.search(name)) or bool(_subjects(name, subject) & HELD_OUT_SUBJECTS)


def is_left_out(name: str, subject: int | None) -> bool:
    """Whether a clip is for nothing: it shows what a held-out one shows, and is not that clip."""
    return not is_held_out(name, subject) and bool(_subjects(name, subject) & LEFT_OUT_SUBJECTS)


def trial_in_name(name: str) -> tuple[int, int] | None:
    """CMU's subject and trial as a file's name tells them ("CMU/131/131_03_poses"), or None."""
    found = _PLAIN_TRIAL.fullmatch(PurePosixPath(name).name)
    return (int(found[1]), int(found[2])) if found else None


def trial_key(name: str, subject: int | None, trial: int | None) -> str:
    """What all versions of a recording share ("05_13"); the clip's own name where its trial is not known."""
    known = (subject, trial)
    if subject is None or trial is None:
        known = trial_in_name(name)
    return name if known is None else f"{known[0]:02d}_{known[1]:02d}"


def _subjects(name: str, subject: int | None) -> set[int]:
    if subject is not None:
        return {subject}
    return {int(found[1]) for found in _TRIAL.finditer(PurePosixPath(name).name)}
