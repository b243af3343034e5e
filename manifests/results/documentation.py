"""Write the generated tables of docs/results.md: `python -m manifests.results.documentation docs/results.md`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa

from manifests.schema import ERROR_TYPES, RESULT_COLUMNS, TRANSIENT_ERRORS


def type_name(data_type: pa.DataType) -> str:
    """Return the name of an Arrow type as pandas and NumPy users know it.

    >>> type_name(pa.list_(pa.float64()))
    'list of float64'
    """
    if pa.types.is_list(data_type):
        return f"list of {type_name(data_type.value_type)}"
    if pa.types.is_timestamp(data_type):
        return f"timestamp ({data_type.unit}, {data_type.tz})"
    return "float64" if pa.types.is_float64(data_type) else str(data_type)


def columns_table() -> str:
    """Return the result columns as a Markdown table: name, type, meaning."""
    rows = [f"| `{column.name}` | {type_name(column.type)} | {column.description} |" for column in RESULT_COLUMNS]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


def errors_table() -> str:
    """Return the error types as a Markdown table: name, meaning, when the pair is tried again."""
    rows = [
        f"| `{name}` | {meaning} | {'by the next run' if name in TRANSIENT_ERRORS else 'with `--retry-failed`'} |"
        for name, meaning in ERROR_TYPES.items()
    ]
    return "\n".join(["| error type | meaning | tried again |", "| --- | --- | --- |", *rows])


def render(text: str) -> str:
    """Replace what stands between the markers `<!-- columns -->` and `<!-- errors -->` and their ends.

    Raises
    ------
    ValueError
        A marker is missing.
    """
    for name, table in (("columns", columns_table()), ("errors", errors_table())):
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"no block from '<!-- {name} -->' to '<!-- end of {name} -->'")
        text = block.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main(path: Path) -> None:
    """Rewrite the generated blocks of a document in place."""
    path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
