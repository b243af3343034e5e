"""Ours beside a peer, on the same pairs in the same run: `python -m benchmarks.sound.peer_random_cnn`.

The peer is Ulyanov and Lebedev's random network (benchmarks/sound/random_cnn.py); a matched equaliser and a plain mix
stand beside both. One pair is computed by all of them, one after the other, in this process: their times belong
together, and are kept together when the run is stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

from benchmarks.judged_pairs import JudgedPair
from benchmarks.markdown_tables import markdown, mean_table, means, pair_table, shown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound import random_cnn
from benchmarks.sound.finished_results import Ledger, Row, key_of, meaning
from benchmarks.sound.judging import judged
from benchmarks.sound.quality import changes
from benchmarks.sound.random_cnn import PeerSettings
from benchmarks.sound.systems import Rendered, Samples, System, all_systems, warm_up
from benchmarks.speed.clips import CLIP_S, DEMO, demo_pairs
from benchmarks.speed.machine import machine, made_by
from stylecore.settings import SettingsError
from tasks.devices.freed_memory import keep_freed_memory

OUT = Path("output/peer")
OURS, PEER = "default", "random-cnn"
PAIRS = 4


def compared_systems(changed: Mapping[str, object], peer: PeerSettings, pairs: Sequence[JudgedPair]) -> list[System]:
    """Return ours, the peer, the equaliser and the mix, in the order in which each pair meets them."""
    known = all_systems(changed, [pair.content.samples for pair in pairs])
    return [known[OURS], peer_system(peer), known["equaliser"], known["mix"]]


def peer_system(settings: PeerSettings) -> System:
    """Return the peer as the quality table's systems are."""
    source = Path(str(random_cnn.__file__)).read_text(encoding="utf-8")
    identity = {
        "settings": asdict(settings),
        "code": hashlib.sha256(meaning(source).encode()).hexdigest(),
        "torch": torch.__version__,
    }
    return System(
        PEER, "Ulyanov and Lebedev's random one-layer network", identity, partial(_rendered, settings), "peer"
    )


def _rendered(settings: PeerSettings, content: Samples, style: Samples) -> Rendered:
    samples, evaluations = random_cnn.transfer(content, style, settings)
    return Rendered(samples, facts={"evaluations": evaluations})


def compare(pairs: Sequence[JudgedPair], systems: Sequence[System], out: Path) -> list[Row]:
    """Return the results of every pair and system, pair by pair; compute the pairs that are not finished.

    A pair is finished as a whole: seconds measured side by side are never put beside those of another day.
    """
    ledger = Ledger(out)
    rows: list[Row] = []
    warm = False
    for number, pair in enumerate(pairs, start=1):
        key = hashlib.sha256("".join(key_of(pair, system) for system in systems).encode()).hexdigest()[:40]
        found = ledger.finished(key)
        if found is None:
            if not warm:
                _warm_up(systems)
                warm = True
            print(f"[{number}/{len(pairs)}] {pair.pair_id} ...", flush=True)
            results = [judged(pair, system, out) for system in systems]
            found = {"key": key, "pair_id": pair.pair_id, "audio": None, "results": results}
            ledger.add(found)
        own = cast(list[Row], found["results"])
        print(f"\n{pair.pair_id}\n{pair_table(own)}\n", flush=True)
        rows += own
    return rows


def _warm_up(systems: Sequence[System]) -> None:
    """Pay for what the libraries do on their first call, so that no pair does."""
    warm_up([system for system in systems if system.name != PEER])
    noise = np.random.default_rng(0).normal(size=16_000)
    _rendered(PeerSettings(filters=64, iterations=1, phase_iterations=1), noise, noise[::-1])


def seconds_table(rows: Sequence[Row]) -> str:
    """Return the processor's seconds per second of audio, pair by pair: ours, the peer's and their ratio."""
    lines = []
    for pair_id in dict.fromkeys(str(row["pair_id"]) for row in rows):
        own = {str(row["system"]): row for row in rows if row["pair_id"] == pair_id}
        lines.append([pair_id, *_side_by_side(own[OURS], own[PEER])])
    average = {name: means([row for row in rows if row["system"] == name]) for name in (OURS, PEER)}
    lines.append(["mean", *_side_by_side(average[OURS], average[PEER])])
    return markdown(["CPU s per s of audio", OURS, PEER, "times ours", "evaluations", "of the peer"], lines)


def _side_by_side(ours: Mapping[str, object], peer: Mapping[str, object]) -> list[str]:
    seconds = [figures["cpu_seconds_per_second"] for figures in (ours, peer)]
    known = None not in seconds
    ratio = f"{float(str(seconds[1])) / float(str(seconds[0])):.0f}" if known else "-"
    return [*map(shown, seconds), ratio, *(str(figures.get("evaluations", "")) for figures in (ours, peer))]


def block(rows: Sequence[Row], systems: Sequence[System], command: str, seconds: float) -> str:
    """Return what docs/performance.md says of the peer."""
    pairs = len(dict.fromkeys(row["pair_id"] for row in rows))
    described = "\n".join(f"- `{system.name}`: {system.what}" for system in systems)
    conditions = (
        f"One thread; {pairs} demo pairs, contents and styles cut to {seconds:g} s. Every system gets the same samples "
        "at 16 kHz (the peer works at 22.05 kHz and is resampled both ways), and every result is judged as written."
    )
    tables = f"Means:\n\n{mean_table(rows)}\n\n{seconds_table(rows)}"
    return f"{made_by(command)}\n\n{conditions}\n\n{described}\n\n{tables}"


def write_report(path: Path, rows: Sequence[Row], systems: Sequence[System], command: str) -> None:
    """Write all figures and how they came about as JSON."""
    report = {
        "command": command,
        "machine": machine(),
        "systems": {system.name: {"what": system.what, **system.identity} for system in systems},
        "means": {system.name: means([row for row in rows if row["system"] == system.name]) for system in systems},
        "results": list(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sound.peer_random_cnn", description="Ours beside a peer."
    )
    add = parser.add_argument
    add("--out", type=Path, default=OUT, help="folder for everything made; default: %(default)s")
    add("--limit", type=int, default=PAIRS, help=f"pairs of {DEMO.name}; default: %(default)s")
    add("--seconds", type=float, default=CLIP_S, help="length of each sound; default: %(default)s")
    add("--set", action="append", default=[], dest="changes", help="change a setting of ours: --set iterations=5")
    for field in fields(PeerSettings):
        add(f"--peer-{field.name.replace('_', '-')}", type=type(field.default), default=field.default, dest=field.name)
    add("--document", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.sound.peer_random_cnn", *argv])
    torch.set_num_threads(1)
    keep_freed_memory()  # as a device process does; the peer gains by it too
    peer = PeerSettings(**{field.name: getattr(asked, field.name) for field in fields(PeerSettings)})
    try:
        pairs = demo_pairs(asked.limit, asked.seconds)
        systems = compared_systems(changes(asked.changes), peer, pairs)
    except (ValueError, SettingsError) as error:
        sys.exit(f"peer_random_cnn: {error}")
    rows = compare(pairs, systems, asked.out)
    write_report(asked.out / "peer.json", rows, systems, command)
    print(f"means of {len(pairs)} pairs\n{mean_table(rows)}\n\n{seconds_table(rows)}")
    if asked.document:
        rewrite(DOCS / "performance.md", {"peer": block(rows, systems, command, asked.seconds)})


if __name__ == "__main__":
    main(sys.argv[1:])
