"""A real Prometheus reads a served node: every rule and panel that is shipped speaks of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.node import Node, send
from builders.peers import LOOPBACK, REPOSITORY, free_tcp_port, program, running, wait_until

pytestmark = pytest.mark.peer("prometheus")

SHIPPED = REPOSITORY / "deploy" / "prometheus"
RULES = yaml.safe_load((SHIPPED / "spine-node.rules.yml").read_text())["groups"]
ALARMS = [rule for group in RULES for rule in group["rules"]]
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "spine-node.json").read_text())
SCRAPED = 'up{job="spine-node"}'
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
ONLY_WITH_A_CERTIFICATE = {"spine_certificate_expiry_seconds"}
NO_DATA_WHEN_ALL_IS_WELL = {
    "Certificates",
    "Time since the last success",
    "Attachments of claims",
    "Reviews",
    "Decisions of reviewers",
    "Drift",
}


def expressions() -> dict[str, str]:
    """Every expression that is shipped, by where it stands; Grafana's variables filled in."""
    panels = {f"{p['title']} {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]}
    return {rule["alert"]: rule["expr"] for rule in ALARMS} | {
        place: text.replace("$instance", ".*") for place, text in panels.items()
    }


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"http://{LOOPBACK}:{self.port}/api/v1/{path}", params=parameters, timeout=30)
        return answer.raise_for_status().json()["data"]

    def value(self, expression: str) -> list[Any]:
        return self.get("query", query=expression)["result"]

    @classmethod
    @contextmanager
    def reading(cls, node: Node, folder: Path) -> Iterator[Prometheus]:
        """The shipped configuration, on another port and each second."""
        folder.mkdir()
        shutil.copy(SHIPPED / "spine-node.rules.yml", folder)
        text = (SHIPPED / "prometheus.yml").read_text()
        assert "127.0.0.1:8080" in text
        text = text.replace("127.0.0.1:8080", f"{LOOPBACK}:{node.http_port}").replace("interval: 15s", "interval: 1s")
        (folder / "prometheus.yml").write_text(text)
        this = cls(port=free_tcp_port())
        executable = program("prometheus")
        assert executable is not None
        command = [
            str(executable),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'db'}",
        ]
        with running([*command, f"--web.listen-address={LOOPBACK}:{this.port}"], log=folder / "prometheus.log"):
            wait_until(this.has_scraped, timeout_s=60, what=f"a first scrape ({folder / 'prometheus.log'})")
            yield this

    def has_scraped(self) -> bool:
        try:
            return bool(self.value(f"{SCRAPED} == 1"))
        except httpx.TransportError:
            return False
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # it listens before it answers
                raise
            return False


def promtool(*words: str) -> str:
    executable = program("promtool")
    assert executable is not None
    done = subprocess.run([str(executable), *words], cwd=SHIPPED, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_well_formed_and_alarm_when_they_should() -> None:
    assert f"{len(ALARMS)} rules found" in promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "spine-node.rules.test.yml")


def test_every_alarm_leads_to_its_section_of_the_runbook() -> None:
    runbook = (REPOSITORY / "docs" / "runbook.md").read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    }

    for rule in ALARMS:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md"
        assert anchor in headings, rule["alert"]
        assert f"`{rule['alert']}`" in runbook, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_the_dashboard_is_whole() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"


@contextmanager
def watched_node(tmp_path: Path) -> Iterator[tuple[Node, Prometheus]]:
    """A node that has read one study and delivered it."""
    noise = np.random.default_rng(5)
    voxels = (noise.random((5, 48, 48)) * 500).astype(np.int16)
    write_series(tmp_path / "study", SeriesPlan(voxels=voxels, attributes=dict(T2_TSE)))
    port = free_tcp_port()
    options = {"quiet-period": 1, "threads": 1, "destination": f"PACS=ARCHIVE@{LOOPBACK}:{port}"}
    classes = [Comprehensive3DSRStorage, SegmentationStorage, EnhancedSRStorage]
    with archive(port, classes) as pacs, Node.started(tmp_path / "node", options=options) as node:
        send(tmp_path / "study", f"SPINEAI@{LOOPBACK}:{node.dicom_port}")
        wait_until(lambda: bool(pacs.of("SR")), timeout_s=120, what="the SR")
        with Prometheus.reading(node, tmp_path / "prometheus") as prometheus:
            yield node, prometheus


def test_every_rule_and_panel_speaks_of_metrics_that_there_are(tmp_path: Path) -> None:
    with watched_node(tmp_path) as (node, prometheus):
        exposed = httpx.get(f"{node.url}/metrics", timeout=30).text
        families = list(text_string_to_metric_families(exposed))
        names = {f.name + suffix for f in families for suffix in SUFFIXES[f.type]} | ONLY_WITH_A_CERTIFICATE
        for place, text in expressions().items():
            used = set(re.findall(r"\bspine_[a-z_]+", text))
            assert used <= names, f"{place}: {sorted(used - names)}"

        wait_until(lambda: bool(prometheus.value("spine_study_latency_seconds_count == 1")), timeout_s=30, what="1 SR")
        wait_until(lambda: bool(prometheus.value(f"count_over_time({SCRAPED}[1m]) > 2")), timeout_s=30, what="a rate")
        empty = {place for place, text in expressions().items() if not prometheus.value(text)}
        assert {p["title"] for p in PANELS for t in p["targets"] if f"{p['title']} {t['refId']}" in empty} <= (
            NO_DATA_WHEN_ALL_IS_WELL
        )
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert sorted(r["name"] for r in rules) == sorted(rule["alert"] for rule in ALARMS)
        wait_until(lambda: bool(prometheus.value("count(spine_check_ok == 1) == 4")), timeout_s=30, what="all checks")
        firing = [a["labels"]["alertname"] for a in prometheus.get("alerts")["alerts"] if a["state"] == "firing"]
        assert firing == []
        (latency,) = prometheus.value("spine_study_latency_seconds_sum")
        assert 1 <= float(latency["value"][1]) < 120
