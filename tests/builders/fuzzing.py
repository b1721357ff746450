"""Schemathesis against a served node: every route of its OpenAPI document, with values that no client would send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""For each route; CI asks for more, and then every boundary of every parameter is tried too."""
FEW = 10
TIMEOUT_S = 800
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer."""

    method: str
    url: str
    status: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What came of a run."""

    is_clean: bool
    report: str
    exchanges: tuple[Exchange, ...]


def fuzz(
    folder: Path,
    url: str,
    *,
    document: str,
    headers: Mapping[str, str],
    parameters: Mapping[str, str] | None = None,
) -> Fuzzed:
    """Run it.

    Args:
        folder: for its configuration and report; created.
        url: of the node.
        document: the OpenAPI document.
        headers: of every request.
        parameters: values of parameters that are then not made up, so that requests reach what is held.
    """
    folder.mkdir(parents=True)
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in (parameters or {}).items()]
    (folder / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines]), encoding="utf-8")
    (folder / "openapi.json").write_text(document, encoding="utf-8")
    phases = "fuzzing" if EXAMPLES < FEW else "coverage,fuzzing"
    words = ["--phases", phases, "--max-examples", str(EXAMPLES), "--checks", ",".join(CHECKS), "--seed", "1"]
    words += ["--request-timeout", "60", "--no-shrink"]
    words += ["--continue-on-failure", "--no-color", "--report", "har", "--report-har-path", str(folder / "run.har")]
    words += [word for name, value in headers.items() for word in ("--header", f"{name}:{value}")]
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", url, *words]
    finished = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    return Fuzzed(
        is_clean=finished.returncode == 0,
        report=finished.stdout + finished.stderr,
        exchanges=tuple(_exchanges(folder / "run.har")),
    )


def _exchanges(path: Path) -> Iterator[Exchange]:
    for entry in json.loads(path.read_text(encoding="utf-8"))["log"]["entries"]:
        request, response = entry["request"], entry["response"]
        yield Exchange(
            method=request["method"],
            url=request["url"],
            status=response["status"],
            media_type=response["content"].get("mimeType", ""),
            body=response["content"].get("text", ""),
        )
