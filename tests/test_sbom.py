"""Every package and model that a lab runs has a licence that is known and was expected."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from scripts import sbom


@pytest.mark.parametrize("package", sbom.packages())
def test_a_package_has_a_licence_that_was_expected(package: str) -> None:
    found = sbom.license_of(package)
    assert found, f"{package} names no licence that is in SPDX"
    assert not sbom.unexpected(found)


def test_so_has_a_model_and_each_of_its_files_a_checksum() -> None:
    found = list(sbom.models())
    assert {model.name for model in found} == set(sbom.MODELS)
    assert not [model for model in found if sbom.unexpected(model.license)]
    assert all(len(digest) == 64 for model in found for digest in model.files.values())


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("MIT", set()),
        ("GPL-3.0-only", {"GPL-3.0-only"}),
        ("GPL-3.0-only OR MIT", set()),
        ("MIT AND AGPL-3.0-only", {"AGPL-3.0-only"}),
        ("(MIT AND BSD-3-Clause)", set()),
    ],
)
def test_an_unexpected_one_is_noticed(expression: str, left: set[str]) -> None:
    assert sbom.unexpected(expression) == left


def test_what_lists_them_is_not_where_the_lab_runs() -> None:
    # jsonschema imports it wherever it finds it, which takes each process 1.3 s of a processor to begin.
    there = importlib.util.find_spec("rfc3987_syntax")
    assert there is None, f"`{sys.executable} -m pip uninstall rfc3987-syntax`: `make sbom` has it in .cache/sbom/tools"
