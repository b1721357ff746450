"""A study that no detector reads, in a real OHIF: its images, and in words what was not assessed and why."""

from __future__ import annotations

import tarfile

import pytest
from pydicom import dcmread

from builders.browser import browsing
from builders.ohif import Ohif, bright_share, keep_picture
from dicom_node.derived import plain

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("npm"),
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def read(ohif, reading_node, shared_folder, tmp_path_factory):
    """A node that has received the real chest CT."""
    folder = tmp_path_factory.mktemp("ct")
    with tarfile.open(shared_folder("ct_lidc_0314") / "dicom_275slices.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return reading_node(folder, ohif)


def test_what_was_not_assessed_is_read_where_measurements_would_be_a_black_image(read):
    findings = read.get("findings")["findings"]
    assert {finding["assessment"] for finding in findings} == {"not_assessed"}
    with browsing() as watched:
        ohif = Ohif.opened(watched, read.viewer)
        assert bright_share(ohif.pixels()) > 0.05
        first = ohif.pixels()
        assert ohif.show_slice(275) == 275
        assert bright_share(ohif.pixels()) > 0.05
        assert (ohif.pixels() != first).any()

        text = ohif.read_text("AI report in words")

        for finding in findings:
            assert plain(finding["reason_sentence"]) in text
        assert "For research use only" in text
        assert "Nothing was assessed." in text
        keep_picture(ohif.page, "ohif-text.png")
        watched.assert_clean(read.node.url)


def test_archives_get_the_report_of_measurements_alone(read):
    """What nobody asked for is kept for viewers of this node, in a series of its own."""
    files = {path.name: dcmread(path) for path in (read.node.data_dir / "results").rglob("*.dcm")}
    assert sorted(files) == ["sr.dcm", "text-sr.dcm"]
    assert files["sr.dcm"].SeriesInstanceUID != files["text-sr.dcm"].SeriesInstanceUID
