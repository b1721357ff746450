"""Rendered images through a socket: grey values by the standard's formulas, shapes, formats, refusals."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in

VOXELS = np.arange(3 * 16 * 32, dtype=np.uint16).reshape(3, 16, 32)
PNG, JPEG = {"Accept": "image/png"}, {"Accept": "image/jpeg"}
WINDOWS = {"WindowCenter": [-724, 40], "WindowWidth": [300, 9]}
REPORT = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"}
CT = SeriesPlan(
    voxels=VOXELS,
    study="rendered",
    series="ct",
    modality="CT",
    attributes={"WindowCenter": [-724, 40], "WindowWidth": [300, 9]},
)
XRAY = SeriesPlan(voxels=VOXELS, study="rendered", series="mr", attributes={"PhotometricInterpretation": "MONOCHROME1"})


@pytest.fixture(scope="module")
def filled(shared_web, tmp_path_factory):
    for plan in (CT, XRAY):
        take_in(shared_web.node, write_series(tmp_path_factory.mktemp("in"), plan))
    return shared_web


def series(plan) -> str:
    return f"/studies/{plan.study_instance_uid}/series/{plan.series_instance_uid}"


def instance(plan, index=0) -> str:
    return f"{series(plan)}/instances/{plan.sop_instance_uid(index)}"


def picture(web, path, accept=PNG) -> np.ndarray:
    answer = web.get(path, accept)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept["Accept"]
    return np.asarray(Image.open(BytesIO(answer.content)))


def linear(values, center, width) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, as its pseudo code has it, for grey values 0 to 255."""
    grey = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    grey[values <= center - 0.5 - (width - 1) / 2] = 0
    grey[values > center - 0.5 + (width - 1) / 2] = 255
    return np.rint(grey)


def test_the_window_of_the_image(filled):
    hounsfield = VOXELS[0].astype(float) - 1024
    assert np.array_equal(picture(filled, f"{instance(CT)}/rendered"), linear(hounsfield, -724, 300))


def test_the_window_that_is_asked_for(filled):
    hounsfield = VOXELS[1].astype(float) - 1024
    path = f"{instance(CT, 1)}/rendered?window=-300,200,linear"
    assert np.array_equal(picture(filled, path), linear(hounsfield, -300, 200))
    sigmoid = picture(filled, f"{instance(CT, 1)}/rendered?window=-300,200,sigmoid")
    assert np.array_equal(sigmoid, np.rint(255 / (1 + np.exp(-4 * (hounsfield + 300) / 200))))


def test_without_a_window_all_values_and_the_smallest_is_white_where_the_image_says_so(filled):
    grey = picture(filled, f"{instance(XRAY)}/rendered")
    assert (grey[0, 0], grey[-1, -1]) == (255, 0)


def test_frames_and_formats(filled):
    assert np.array_equal(
        picture(filled, f"{instance(CT)}/frames/1/rendered"), picture(filled, f"{instance(CT)}/rendered")
    )
    fine, coarse = (filled.get(f"{instance(CT)}/rendered?quality={q}", JPEG).content for q in (100, 1))
    assert len(fine) > len(coarse)
    exact = picture(filled, f"{instance(CT)}/rendered").astype(int)
    assert np.abs(picture(filled, f"{instance(CT)}/rendered?quality=100", JPEG) - exact).max() < 12
    assert filled.get(f"{instance(CT)}/rendered", {"Accept": "*/*"}).headers["content-type"] == "image/jpeg"


def test_the_viewport_keeps_the_shape_and_can_show_a_part(filled):
    assert picture(filled, f"{instance(CT)}/rendered?viewport=64,64").shape == (32, 64)
    whole = picture(filled, f"{instance(CT)}/rendered")
    part = picture(filled, f"{instance(CT)}/rendered?viewport=8,4,16,8,8,4")
    assert np.array_equal(part, whole[8:12, 16:24])
    mirrored = picture(filled, f"{instance(CT)}/rendered?viewport=8,4,16,8,-8,4")
    assert np.array_equal(mirrored, whole[8:12, 16:24][:, ::-1])


def test_a_series_in_parts_and_thumbnails(filled):
    answer = filled.get(f"{series(CT)}/rendered", PNG)
    assert answer.headers["content-type"].startswith('multipart/related; type="image/png"')
    assert answer.content.count(b"\x89PNG") == 3
    for path in (instance(CT), series(CT), f"/studies/{CT.study_instance_uid}", f"{instance(CT)}/frames/1"):
        assert picture(filled, f"{path}/thumbnail", JPEG).shape == (64, 128)
    tag = filled.get(f"{series(CT)}/thumbnail", JPEG).headers["etag"]
    assert filled.get(f"{series(CT)}/thumbnail", JPEG | {"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/rendered", {"Accept": "image/gif"}, 406),
        ("/rendered?window=1", PNG, 400),
        ("/rendered?window=1,0,linear", PNG, 400),
        ("/rendered?window=nan,1,linear", PNG, 400),
        ("/rendered?window=1,2,cubic", PNG, 400),
        ("/rendered?quality=0", PNG, 400),
        ("/rendered?quality=101", PNG, 400),
        ("/rendered?quality=best", PNG, 400),
        ("/rendered?viewport=0,5", PNG, 400),
        ("/rendered?viewport=99999,99999", PNG, 400),
        ("/rendered?viewport=5,5,0,0,99999,99999", PNG, 400),
        ("/rendered?viewport=5,5,0,0,0,1", PNG, 400),
        ("/rendered?viewport=inf,5", PNG, 400),
        ("/frames/2/rendered", PNG, 404),
    ],
)
def test_what_cannot_be_rendered_is_a_problem(filled, path, accept, status):
    answer = filled.get(f"{instance(CT)}{path}", accept)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_no_image_is_not_rendered(web, tmp_path):
    report = SeriesPlan(
        voxels=small_voxels(1), study="report", attributes={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"}
    )
    (path,) = write_series(tmp_path, report)
    take_in(web.node, [path])
    assert web.get(f"{series(report)}/rendered", PNG).status_code == 404
    assert web.get(f"{series(report)}/thumbnail", PNG).status_code == 404
