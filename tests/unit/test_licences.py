"""Every package that the project installs is under a permissive licence; what is not has its page in docs/decisions."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

import pytest

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",  # of files, not of what uses them
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    }
)
CLASSIFIERS = {
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD-3-Clause",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
"""Of packages whose metadata is older than PEP 639."""
WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "BSD-3-Clause, Apache-2.0, dependency licenses": "BSD-3-Clause",
}
NAMED = {"psycopg": "0008-psycopg-under-the-lgpl.md", "psycopg-binary": "0008-psycopg-under-the-lgpl.md"}
"""Not permissive, and kept: package -> the decision that says why."""


def licences_of(package: PackageMetadata) -> list[list[str]]:
    """What the metadata says: all of the outer list hold, of each inner one any."""
    expression = package.get("License-Expression")
    if expression:
        words = re.sub(r" WITH [\w.-]+|[()]", "", expression)
        return [part.split(" OR ") for part in words.split(" AND ")]
    marks = [mark.partition(" :: ")[2] for mark in package.get_all("Classifier") or [] if mark.startswith("License")]
    known = [CLASSIFIERS.get(mark, mark) for mark in marks if mark != "DFSG approved"]
    said = (package.get("License") or "nothing").strip().splitlines()[0]
    return [known or [WORDS.get(said, said)]]


def pinned(repository: Path) -> list[str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    return [line.partition("==")[0] for line in lines if line and not line.startswith("#")]


def test_every_licence_is_permissive_or_decided_on(repository: Path) -> None:
    wrong = {}
    for name in pinned(repository):
        try:
            licences = licences_of(metadata(name))
        except PackageNotFoundError:  # of an extra or a platform that is not this one
            continue
        if not all(PERMISSIVE.intersection(choices) for choices in licences):
            wrong[name.lower()] = licences
    assert set(wrong) == set(NAMED), wrong
    assert all((repository / "docs" / "decisions" / page).is_file() for page in NAMED.values())


def test_every_package_is_held_at_one_version(repository: Path) -> None:
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line)] == []
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in pinned(repository)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("License-Expression", "MIT AND (GPL-3.0-only OR Apache-2.0)", [["MIT"], ["GPL-3.0-only", "Apache-2.0"]]),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)", None),
        ("License", "Proprietary", [["Proprietary"]]),
    ],
)
def test_what_is_not_permissive_is_seen(field: str, value: str, expected: list[list[str]] | None) -> None:
    from email.message import Message  # noqa: PLC0415

    package = Message()
    package[field] = value
    found = licences_of(package)  # type: ignore[arg-type]
    assert found == expected or expected is None
    is_permissive = all(PERMISSIVE.intersection(choices) for choices in found)
    assert is_permissive is (field == "License-Expression")
