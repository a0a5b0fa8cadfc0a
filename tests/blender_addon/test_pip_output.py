# SPDX-License-Identifier: GPL-3.0-or-later
"""What pip says, as progress and advice; and the lock that it reads."""

import re
from pathlib import Path

import pytest
from recover_motion.pip_output import PipProgress, advice_for, lock_entries

LOCK = Path(__file__).parents[2] / "blender_addon" / "backend_requirements.txt"


def told_by(lines, count):
    told = []
    progress = PipProgress(count, lambda **fields: told.append(fields))
    taken = [progress.take(line) for line in lines]
    return told, taken


def test_packages_and_their_bytes_are_a_share_of_the_whole():
    lines = [
        "Collecting numpy==2.4.6",
        "  Downloading https://index/numpy-2.4.6-cp311-cp311-win_amd64.whl (16.6 MB)",
        "Progress 0 of 16000000",
        "Progress 16000000 of 16000000",
        "Collecting scipy==1.17.1",
        "  Using cached scipy-1.17.1-cp311-cp311-win_amd64.whl (30 MB)",
        "Installing collected packages: numpy, scipy",
    ]
    told, taken = told_by(lines, 2)
    assert taken == [False, False, True, True, False, False, False]
    done = [one["done"] for one in told]
    assert done == sorted(done)
    assert all(one["total"] == 200 for one in told)
    assert [one["detail"] for one in told][:2] == ["numpy", "numpy (16.6 MB)"]
    assert "numpy, 16 of 16 MB" in [one["detail"] for one in told]
    assert told[-1]["detail"] == "unpacking"


def test_one_package_tells_its_bytes():
    told, _ = told_by(["Collecting torch==2.13.0", "Progress 50 of 200", "Progress 200 of 200"], 0)
    assert (told[0]["done"], told[0]["total"]) == (0, None)
    assert (told[-1]["done"], told[-1]["total"]) == (100, 100)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the one that was"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "cannot be reached"),
        ("ERROR: No matching distribution found for numpy==2.4.6", "no such build"),
        ("HINT: This error might have occurred since this system does not have Windows Long Path", "shorter"),
        ("something nobody has seen before", "report"),
        ("There was a problem confirming the ssl certificate: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
    ],
)
def test_advice_fits_what_pip_says(line, advice):
    assert advice in advice_for(["Collecting numpy", line])


def test_a_lock_is_split_into_entries():
    text = "# head\na==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    text += "# no entry\nB-c==2; x == 'y' \\\n    --hash=sha256:22\n"
    entries = lock_entries(text)
    assert list(entries) == ["a", "b-c"]
    assert entries["a"].count("--hash") == 2
    assert entries["b-c"].startswith("B-c==2; x == 'y' \\\n")


def test_the_real_lock_has_exact_versions_and_hashes_for_all_and_neither_torch_nor_the_backend():
    entries = lock_entries(LOCK.read_text("utf-8"))
    assert {"numpy", "pip", "smplx", "ai-edge-litert", "opencv-python-headless"} <= set(entries)
    assert not {"torch", "fasthmr"} & set(entries)
    for name, entry in entries.items():
        assert re.match(r"[\w-]+==[\w.]+", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", entry), name


def test_the_real_lock_has_all_that_the_backend_needs():
    project = (LOCK.parents[1] / "pyproject.toml").read_text("utf-8")
    needs = re.search(r"^dependencies = \[(.*?)^\]", project, flags=re.MULTILINE | re.DOTALL)[1]
    names = set(re.findall(r'^\s*"([\w-]+)', needs, flags=re.MULTILINE)) - {"torch"}
    assert len(names) > 10
    assert names <= set(lock_entries(LOCK.read_text("utf-8")))
