"""A Reaper project: read by a parser of the format, complete, with every file that it names."""

from __future__ import annotations

import io
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from manifests.files import join
from manifests.schema import ManifestError
from tasks.exporting.export_errors import ExportError
from tasks.exporting.reaper import PROJECT_NAME, ExportedProject, export_reaper
from tasks.exporting.reaper_project import Item, Project, project_text
from tasks.ledger.selection import Selection
from tasks.storage.storage import Storage
from tests.tasks.output_root import exported_row, failed_row, write_root

RATE = 16_000
Named = tuple[str, str]


class Block(NamedTuple):
    """A block of a project: its first line, its values by name, and the blocks in it."""

    words: list[str]
    values: dict[str, list[list[str]]]
    blocks: list[Block]

    def one(self, name: str) -> list[str]:
        (found,) = self.values[name]
        return found

    def named(self, name: str) -> list[Block]:
        return [block for block in self.blocks if block.words[0] == name]


def words_of(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.quotes, lexer.escape, lexer.whitespace_split, lexer.commenters = "\"'`", "", True, ""
    return list(lexer)


def parsed_project(text: str) -> Block:
    """Return the one block of a project; every block must end."""
    stack = [Block([], {}, [])]
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("<"):
            stack.append(Block(words_of(bare[1:]), {}, []))
            stack[-2].blocks.append(stack[-1])
        elif bare == ">":
            stack.pop()
        else:
            name, *values = words_of(bare)
            stack[-1].values.setdefault(name, []).append(values)
    (whole,) = stack
    (project,) = whole.blocks
    return project


def wave(seconds: float, frequency: float) -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, np.sin(np.arange(round(seconds * RATE)) * frequency) / 10, RATE, format="FLAC")
    return sink.getvalue()


def put_sound(folder: str, name: str, seconds: float) -> Named:
    """Write a sound, and return its URI and the sha256 of its bytes."""
    uri, data = join(folder, "sounds", name), wave(seconds, len(name) / 50)
    with Storage().writing(uri) as sink:
        sink.write(data)
    return uri, sha256(data).hexdigest()


def row(
    pair_id: str, content: tuple[str, str], style: tuple[str, str], seconds: float, **values: Any
) -> dict[str, Any]:
    told = {"content": content[0], "content_identity": content[1], "style": style[0], "style_identity": style[1]}
    more = {"duration_s": seconds, "sample_rate": RATE, **values}
    return exported_row(pair_id, wave(seconds, len(pair_id) / 20), **told, **more)


def write_pairs(where: str) -> None:
    """Write two pairs that share a style; the second is an excerpt."""
    voice, bell = put_sound(where, "voice.flac", 2.0), put_sound(where, "bell's.flac", 3.0)
    harp = put_sound(where, "harp.flac", 1.5)
    excerpt = {"content_start_s": 0.5, "content_end_s": 1.25, "style_start_s": 1.0}
    rows = [row("one", voice, bell, 2.0, melody_kept=0.5), row('two "x"', harp, bell, 0.75, melody_kept=0.9, **excerpt)]
    write_root(join(where, "root"), [*rows, failed_row("bad")])


def export(where: str, wanted: Selection | None = None, folder: str = "out", copies: bool = False) -> ExportedProject:
    return export_reaper(join(where, "root"), join(where, folder), wanted or Selection(), copies)


def items_of(project: Block) -> dict[str, list[tuple[float, float, float]]]:
    """Return position, length and offset of the items of each track."""
    return {
        track.one("NAME")[0]: [
            tuple(float(item.one(name)[0]) for name in ("POSITION", "LENGTH", "SOFFS"))  # type: ignore[misc]
            for item in track.named("ITEM")
        ]
        for track in project.named("TRACK")
    }


def paths_in_project(project: Block) -> list[str]:
    items = [item for track in project.named("TRACK") for item in track.named("ITEM")]
    return [source.one("FILE")[0] for item in items for source in item.named("SOURCE")]


def test_content_style_and_result_lie_under_each_other_pair_after_pair(anywhere: str) -> None:
    write_pairs(anywhere)
    done = export(anywhere)
    assert (done.pairs, done.missing) == (2, 0)
    project = parsed_project(Storage().read(done.uri).decode())
    assert project.words[0] == "REAPER_PROJECT"
    assert project.one("SAMPLERATE")[0] == str(RATE)
    assert items_of(project) == {
        "content": [(0.0, 2.0, 0.0), (4.0, 0.75, 0.5)],
        "style": [(0.0, 3.0, 0.0), (4.0, 2.0, 1.0)],
        "result": [(0.0, 2.0, 0.0), (4.0, 0.75, 0.0)],
    }
    assert [(float(one[1]), one[2]) for one in project.values["MARKER"]] == [(0.0, "one"), (4.0, 'two "x"')]
    folder = done.uri.removesuffix(f"/{PROJECT_NAME}")
    paths = paths_in_project(project)
    assert len(set(paths)) == 5
    lengths = [soundfile.info(io.BytesIO(Storage().read(join(folder, path)))).duration for path in paths]
    assert lengths == [2.0, 1.5, 3.0, 3.0, 2.0, 0.75]


def test_the_same_command_writes_nothing_again_and_another_choice_replaces(tmp_path: Path) -> None:
    where, out = str(tmp_path), tmp_path / "out"
    write_pairs(where)
    export(where, copies=True)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    export(where, copies=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    done = export(where, Selection("melody_kept > 0.1", "melody_kept desc", limit=1))
    project = parsed_project((out / PROJECT_NAME).read_text())
    assert (done.pairs, project.one("MARKER")[2]) == (1, 'two "x"')
    assert {path.name for path in (out / "audio").glob("*.flac")} == {
        path.removeprefix("audio/") for path in paths_in_project(project)
    }


def test_clips_of_a_style_follow_each_other(tmp_path: Path) -> None:
    where = str(tmp_path)
    write_pairs(where)
    from tasks.audio.style_catalog import catalogued

    style = join(where, "sounds/*.flac")
    known = catalogued([], [style], {}, Storage())
    voice = put_sound(where, "voice.flac", 2.0)
    identity = known.of("style")[style].identity
    write_root(join(where, "root"), [row("one", voice, (style, identity), 2.0)])
    assert export(where, folder="new").missing == 0
    project = parsed_project((tmp_path / "new" / PROJECT_NAME).read_text())
    items = items_of(project)["style"]
    assert sorted(length for _, length, _ in items) == [1.5, 2.0, 3.0]
    assert [position for position, _, _ in items] == pytest.approx(np.cumsum([0, items[0][1], items[1][1]]).tolist())


def test_sounds_that_are_gone_or_have_changed_are_left_out_and_told(tmp_path: Path) -> None:
    where = str(tmp_path)
    write_pairs(where)
    put_sound(where, "voice.flac", 1.0)
    (tmp_path / "sounds" / "harp.flac").unlink()
    next((tmp_path / "root" / "audio").rglob("*.flac")).unlink()
    done = export(where)
    assert (done.pairs, done.missing) == (2, 3)
    assert "3 sounds are gone or have changed since" in done.sentence()
    project = parsed_project((tmp_path / "out" / PROJECT_NAME).read_text())
    assert {track: len(items) for track, items in items_of(project).items()} == {"content": 0, "style": 2, "result": 1}
    assert all((tmp_path / "out" / path).exists() for path in paths_in_project(project))


def test_a_project_that_somebody_has_worked_on_stays(tmp_path: Path) -> None:
    where = str(tmp_path)
    write_pairs(where)
    export(where)
    (tmp_path / "out" / PROJECT_NAME).write_text("mine")
    with pytest.raises(ExportError, match="somebody has changed it"):
        export(where, Selection(limit=1))
    assert (tmp_path / "out" / PROJECT_NAME).read_text() == "mine"
    assert len(list((tmp_path / "out" / "audio").glob("*.flac"))) == 5


def test_a_table_from_before_there_were_excerpts_will_do(tmp_path: Path) -> None:
    write_pairs(str(tmp_path))
    table = tmp_path / "root" / "results.parquet"
    excerpts = [f"{sound}_{end}_s" for sound in ("content", "style") for end in ("start", "end")]
    pq.write_table(pq.read_table(table).drop_columns(excerpts), table)
    assert (export(str(tmp_path)).pairs, export(str(tmp_path)).missing) == (2, 0)


def test_a_condition_that_is_no_sql_is_refused(tmp_path: Path) -> None:
    write_pairs(str(tmp_path))
    with pytest.raises(ManifestError, match="melody"):
        export(str(tmp_path), Selection("melody_keptt > 1"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ['a "b"', "it's", "`x`", "a\nb > <c", "`\"'", "", "  ", "\u00fcber", "a\x00\u2028b"])
def test_no_name_breaks_the_text(name: str) -> None:
    item = Item(name, f"audio/{'x'}.wav", 0.0, 1.0)
    project = parsed_project(project_text(Project(RATE, {name: [item]}, [(0.0, name)])))
    plain = " ".join(name.replace("\x00", " ").split())
    expected = plain.replace("`", "'") if '"' in name and "'" in name else plain
    (track,) = project.named("TRACK")
    assert track.one("NAME") == track.named("ITEM")[0].one("NAME") == [expected]
    assert project.one("MARKER")[2] == expected
