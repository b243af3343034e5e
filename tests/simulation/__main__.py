"""Play seeds: `python -m tests.simulation FIRST [COUNT]`. One is told step by step; of many, those that fail."""

from __future__ import annotations

import sys
import time
import traceback

from tests.simulation.course import play


def main(first: int, count: int = 1) -> int:
    """Return how many seeds failed."""
    began, failed = time.monotonic(), 0
    for seed in range(first, first + count):
        try:
            course = play(seed)
        except Exception as error:
            failed += 1
            if count == 1:
                print("\n".join(error.course.world.log))  # type: ignore[attr-defined]
                traceback.print_exc()
            else:
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
        else:
            if count == 1:
                print("\n".join(course.world.log))
    print(f"{count} seeds, {failed} failed, {time.monotonic() - began:.1f} s")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
