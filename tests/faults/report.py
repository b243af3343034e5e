"""What the tests of faults found, as a table: `python -m tests.faults.report RECORDS DOCUMENT` writes it.

Tests append a line of JSON per fault that they caused to the file that TIMBREFLOW_FAULT_RECORDS names, if it is set.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "TIMBREFLOW_FAULT_RECORDS"
BEGIN, END = "<!-- written by make soak: begin -->", "<!-- written by make soak: end -->"


@dataclass
class Record:
    """A fault that was caused, and the pairs it cost."""

    fault: str
    lost: int = 0
    doubled: int = 0
    times: int = 1
    passed: bool = False


@contextmanager
def recorded(fault: str, times: int = 1) -> Iterator[Record]:
    """Keep the record of a fault; it has passed if the block ends cleanly. The block fills in the pairs."""
    record = Record(fault, times=times)
    try:
        yield record
        record.passed = True
    finally:
        if path := os.environ.get(VARIABLE):
            # One write to a file opened for appending: other test processes write to it too.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(descriptor, f"{json.dumps(asdict(record))}\n".encode())
            os.close(descriptor)


def summary(records: Sequence[Record]) -> str:
    """Return the table in a sentence.

    >>> summary([Record("power cut", passed=True), Record("power cut", lost=1), Record("full disk", 0, 0, 2000, True)])
    '2,002 faults of 2 kinds: 1 pairs lost, 0 doubled; 1 of 3 tests failed.'
    """
    times, lost, doubled = (sum(getattr(record, name) for record in records) for name in ("times", "lost", "doubled"))
    kinds, failed = len({record.fault for record in records}), sum(not record.passed for record in records)
    costs = f"{lost:,} pairs lost, {doubled:,} doubled; {failed} of {len(records)} tests failed"
    return f"{times:,} faults of {kinds} kinds: {costs}."


def fault_table(records: Sequence[Record]) -> str:
    """Return the table in Markdown, a line per fault.

    >>> print(fault_table([Record("power cut", passed=True), Record("power cut", lost=1)]))
    | fault | times caused | pairs lost | pairs doubled | result |
    | --- | ---: | ---: | ---: | --- |
    | power cut | 2 | 1 | 0 | 1 of 2 tests failed |
    """
    lines = ["| fault | times caused | pairs lost | pairs doubled | result |", "| --- | ---: | ---: | ---: | --- |"]
    for fault in sorted({record.fault for record in records}):
        same = [record for record in records if record.fault == fault]
        failed = sum(not record.passed for record in same)
        result = f"{failed} of {len(same)} tests failed" if failed else "nothing lost, as promised"
        counts = (sum(getattr(record, name) for record in same) for name in ("times", "lost", "doubled"))
        lines.append(f"| {fault} | {' | '.join(map(str, counts))} | {result} |")
    return "\n".join(lines)


def main(records_path: str, document: str) -> None:
    """Print the table of some records, and put it between the markers of a document."""
    records = [Record(**json.loads(line)) for line in Path(records_path).read_text().splitlines()]
    table = f"{summary(records)}\n\n{fault_table(records)}"
    print(table)
    text = Path(document).read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    Path(document).write_text(f"{before}{BEGIN}\n{table}\n\nMeasured on {machine}.\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
