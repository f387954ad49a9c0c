"""The table of instance types."""

from __future__ import annotations

import os

import botocore.session
import pytest

from harness.containers.instances import GIB, Resources, limits, resources

SHAPES = (
    "ProcessingInstanceType",
    "ProductionVariantInstanceType",
    "TrainingInstanceType",
    "TransformInstanceType",
)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_type_that_the_api_names_is_known(shape: str):
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert [name for name in model.shape_for(shape).enum if resources(name) is None] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ml.t3.medium", Resources(2, 4 * GIB)),
        ("ml.m5.large", Resources(2, 8 * GIB)),
        ("ml.m5.24xlarge", Resources(96, 384 * GIB)),
        ("ml.c5.18xlarge", Resources(72, 144 * GIB)),
        ("ml.c7i-flex.2xlarge", Resources(8, 16 * GIB)),
        ("ml.r7gd.medium", Resources(1, 8 * GIB)),
        ("ml.g5.12xlarge", Resources(48, 192 * GIB, 4)),
        ("ml.g5.16xlarge", Resources(64, 256 * GIB, 1)),
        ("ml.p4d.24xlarge", Resources(96, 1152 * GIB, 8)),
    ],
)
def test_resources(name: str, expected: Resources):
    assert resources(name) == expected


@pytest.mark.parametrize("name", ["m5.large", "ml.m5", "ml.z9.large", "ml.m5.huge", ""])
def test_what_is_no_type(name: str):
    assert resources(name) is None
    assert limits(name) == (None, None)


def test_limits_are_those_of_the_smaller_of_the_two_machines(monkeypatch: pytest.MonkeyPatch):
    pages = 16 * GIB // os.sysconf("SC_PAGE_SIZE")
    sysconf = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else sysconf(name))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert limits("ml.t3.medium") == (4 * GIB, 2.0)
    assert limits("ml.m5.xlarge") == (None, None)
    assert limits("ml.c5.xlarge") == (8 * GIB, None)
