"""docs/results.md says what the schema says."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.results.documentation import render, type_name
from manifests.schema import (
    ERROR_TYPES,
    MANIFEST_COLUMNS,
    RESERVED,
    RESULT_COLUMNS,
    RESULT_SCHEMA,
    SCHEMA_VERSION,
    STYLE_WEIGHTS,
    TRANSIENT_ERRORS,
    VERSION_KEY,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture(scope="module")
def document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def _rows(document: str, block: str) -> list[list[str]]:
    lines = document.split(f"<!-- {block} -->\n")[1].split(f"<!-- end of {block} -->")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_column_with_its_type_and_meaning_in_order(document: str) -> None:
    expected = [[f"`{column.name}`", type_name(column.type), column.description] for column in RESULT_COLUMNS]
    assert _rows(document, "columns") == expected


def test_every_error_type_with_its_meaning(document: str) -> None:
    assert [row[:2] for row in _rows(document, "errors")] == [[f"`{k}`", text] for k, text in ERROR_TYPES.items()]


def test_document_is_what_the_generator_makes(document: str) -> None:
    assert render(document) == document


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="<!-- columns -->"):
        render("# Results")


def test_descriptions_fit_a_table_and_say_something() -> None:
    for column in RESULT_COLUMNS:
        assert "|" not in column.description
        assert "\n" not in column.description
        assert len(column.description) > 10


def test_units_in_names_stand_in_the_descriptions() -> None:
    for suffix, unit in {"_hz": "Hz", "_db": "dB", "_per_s": "per second", "_s": ", s"}.items():
        for column in RESULT_COLUMNS:
            if column.name.endswith(suffix) and not (suffix == "_s" and column.name.endswith("_per_s")):
                assert unit in column.description, column.name


def test_names_are_unique_and_versioned() -> None:
    assert len(set(RESULT_SCHEMA.names)) == len(RESULT_COLUMNS)
    assert RESULT_SCHEMA.metadata == {VERSION_KEY: str(SCHEMA_VERSION).encode()}


def test_reserved_names_are_the_results_own() -> None:
    assert RESERVED.isdisjoint(MANIFEST_COLUMNS)
    assert RESERVED | set(MANIFEST_COLUMNS) == {*RESULT_SCHEMA.names, STYLE_WEIGHTS}


def test_transient_errors_are_documented_errors() -> None:
    assert set(ERROR_TYPES) > TRANSIENT_ERRORS
