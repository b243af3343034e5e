"""The files of a listening report: what they hold, that no text in them is code, that what is gone stops nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from manifests.files import join
from manifests.results.layout import record_uri
from tasks.audio.style_catalog import catalogued
from tasks.options import REPORT_PAIRS
from tasks.reporting import embedded_sounds, listening_report, report_rows
from tasks.reporting.listening_report import Asked, write_report
from tasks.reporting.report_errors import ReportError
from tasks.reporting.report_page import SCRIPTS
from tasks.reporting.spectrogram_pictures import band_powers, difference_png, spectrogram_png
from tasks.storage.storage import Storage
from tests.tasks.output_root import failed_row, write_root
from tests.tasks.reported_root import RATE, STYLE_S, heard_row, spoken, tone, write_sound


def page(root: str) -> str:
    return Storage().read(join(root, "report", "index.html")).decode()


def data(root: str) -> dict[str, Any]:
    """Return what the scripts of a report are given."""
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page(root), re.DOTALL)
    assert found is not None
    told: dict[str, Any] = json.loads(found[1])
    return told


def rows(root: str, script: str = "rows-000.js") -> dict[str, Any]:
    """Return the columns of a script of rows."""
    text = Storage().read(join(root, "report", script)).decode()
    columns: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return columns


def sound(root: str, key: str) -> tuple[np.ndarray, int]:
    """Return an embedded sound and its rate."""
    text = Storage().read(join(root, "report", "sounds", f"{key}.js")).decode()
    return soundfile.read(io.BytesIO(base64.b64decode(text.split('"')[3])))


def tracks(root: str, row: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = data(root)["pairs"][str(row)]["tracks"]
    return found


def names(root: str) -> list[str]:
    return [uri.removeprefix(f"{root}/report/") for uri in Storage().find(join(root, "report"))]


def test_a_report_holds_rows_figures_sounds_and_pictures(anywhere: str) -> None:
    root = join(anywhere, "root")
    write_root(root, [heard_row(anywhere, "a"), failed_row("b"), heard_row(anywhere, "c", timbre_transfer=0.1)])
    told = write_report(root)
    assert (told.pairs, told.embedded, told.address) == (3, 2, join(root, "report", "index.html"))
    assert rows(root)["pair_id"] == ["a", "b", "c"]
    assert rows(root)["error"] == [None, ["missing", "gone"], None]
    assert rows(root)["timbre_transfer"] == [0.87, None, 0.1]
    assert (data(root)["best"], data(root)["worst"], data(root)["sample"]) == ([0, 2], [2, 0], [0, 2])
    samples, rate = sound(root, tracks(root)["content"]["sound"])
    assert rate == RATE
    np.testing.assert_allclose(samples, spoken("voice"), atol=2**-14)
    assert tracks(root)["style"]["seconds"] == pytest.approx(STYLE_S)
    picture = Storage().read(join(root, "report", "pictures", f"{tracks(root)['style']['sound']}.png"))
    assert Image.open(io.BytesIO(picture)).size == (400, 128)
    assert "1 of 3 pairs failed" in page(root)


def test_a_figure_is_rounded_once(tmp_path: Path) -> None:
    """The page shows two digits, as the terminal does: .80496 is .80, while .805 would be .81."""
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a", rhythm_kept=0.80496)])
    write_report(str(tmp_path / "root"))
    assert f"{rows(str(tmp_path / 'root'))['rhythm_kept'][0]:.2f}" == "0.80"


def test_a_tone_is_bright_at_its_frequency_and_nowhere_else(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a")])
    write_report(str(tmp_path / "root"))
    for name, hz in (("content", 500.0), ("style", 1_250.0), ("result", 3_000.0)):
        path = tmp_path / "root/report/pictures" / f"{tracks(str(tmp_path / 'root'))[name]['sound']}.png"
        bright = np.asarray(Image.open(path)).mean(axis=1)  # places in the palette: the louder, the higher
        height = 1 - np.log(hz / 50) / np.log(RATE / 2 / 50)
        assert abs(bright.argmax() / 127 - height) < 0.02
        assert np.median(bright) < bright.max() / 4


def test_pictures_are_small_also_of_noise(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a")])
    write_report(str(tmp_path / "root"))
    noise = np.random.default_rng(0).normal(size=(2, 10 * 48_000)) * np.linspace(0.01, 1, 10 * 48_000)
    powers = [band_powers(samples, 48_000) for samples in noise]
    picture, difference = len(spectrogram_png(powers[0])), len(difference_png(*powers))
    pairs, sources = 3 * REPORT_PAIRS, 2 * 3 * REPORT_PAIRS  # no two of one sound
    assert len(page(str(tmp_path / "root"))) + pairs * (picture + difference) + sources * picture < 2e6


def test_a_second_report_leaves_what_is_there_and_removes_what_is_not_asked_for(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    write_root(root, [heard_row(str(tmp_path), "a"), heard_row(str(tmp_path), "c")])
    (tmp_path / "root/report").mkdir()
    (tmp_path / "root/report/mine.txt").write_text("mine")
    write_report(root)
    before = {name: (tmp_path / "root/report" / name).stat().st_mtime_ns for name in names(root)}
    write_report(root)
    after = {name: (tmp_path / "root/report" / name).stat().st_mtime_ns for name in names(root)}
    assert {name for name in after if after[name] != before[name]} == {"index.html", "rows-000.js"}
    write_report(root, Asked(most=0))
    assert names(root) == ["index.html", "mine.txt", "rows-000.js"]
    assert rows(root)["pair_id"] == ["a", "c"]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028'\"&amp;", "🎻 Größe"])
def test_whatever_a_name_holds_is_text(tmp_path: Path, text: str) -> None:
    root, name = str(tmp_path / "root"), text.replace("/", "_")
    failed = {**failed_row("f"), "error_message": text}
    write_root(root, [heard_row(str(tmp_path), text, content=name), failed])
    write_report(root)
    assert page(root).count("</script>") == len(SCRIPTS) + 1
    assert page(root).lower().count("<!--") == 0
    assert rows(root)["pair_id"] == [text, "f"]
    assert rows(root)["sounds"][0][0].endswith(f"{name}.wav")
    assert "<" not in Storage().read(join(root, "report", "rows-000.js")).decode()


def test_a_sound_that_is_gone_or_has_changed_is_left_out_and_said(tmp_path: Path) -> None:
    folder, root = str(tmp_path), str(tmp_path / "root")
    write_root(
        root, [heard_row(folder, "a", style="moved"), heard_row(folder, "b", content="other"), heard_row(folder, "c")]
    )
    (tmp_path / "sounds/moved.wav").unlink()
    write_sound(join(folder, "sounds", "other.wav"), tone(300, 1.0))
    next((tmp_path / "root/audio").rglob(f"{rows_fingerprint(root, 2)}.flac")).unlink()
    told = write_report(root)
    pairs = data(root)["pairs"]
    assert told.embedded == 2
    assert list(pairs["0"]["tracks"]) == ["content", "result"]
    assert pairs["0"]["problems"]["style"] == f"'{folder}/sounds/moved.wav' does not exist"
    assert pairs["1"]["problems"]["content"] == f"'{folder}/sounds/other.wav' has changed"
    assert "difference" not in pairs["1"]
    assert list(pairs["2"]["problems"]) == ["result"]


def rows_fingerprint(root: str, row: int) -> str:
    import pyarrow.parquet as pq

    fingerprint: str = pq.read_table(f"{root}/results.parquet").column("fingerprint")[row].as_py()
    return fingerprint


def test_an_excerpt_is_what_is_heard_and_of_a_long_sound_the_beginning(tmp_path: Path) -> None:
    folder, root = str(tmp_path), str(tmp_path / "root")
    row = heard_row(folder, "a", content_start_s=0.25, content_end_s=0.75)
    long = {"style": join(folder, "sounds", "long.wav")}
    long["style_identity"] = write_sound(long["style"], tone(200, 40.0))
    write_root(root, [row, {**heard_row(folder, "b"), **long}])
    write_report(root)
    samples, _ = sound(root, tracks(root)["content"]["sound"])
    np.testing.assert_allclose(samples, spoken("voice")[4_000:12_000], atol=2**-14)
    assert (tracks(root, 1)["style"]["seconds"], tracks(root, 1)["style"]["cut"]) == (30.0, True)
    assert "cut" not in tracks(root, 1)["content"]


def test_a_style_of_several_clips_is_heard_as_it_was_listened_to(tmp_path: Path) -> None:
    folder, root = str(tmp_path), str(tmp_path / "root")
    clips = [join(folder, "bells", f"{name}.wav") for name in "ab"]
    for hz, clip in zip((300, 600), clips, strict=True):
        write_sound(clip, tone(hz, 0.5))
    several = [join(folder, "bells"), json.dumps(clips), json.dumps(dict.fromkeys(clips, 0.5)), f"{folder}/bells/*.wav"]
    styles = [(style, catalogued([], [style], {}, Storage()).styles[style].sound.identity) for style in several]
    styles.append((several[0], "0" * 64))
    row = heard_row(folder, "p")
    table = [{**row, "pair_id": f"{n}", "style": s, "style_identity": i} for n, (s, i) in enumerate(styles)]
    write_root(root, table)
    assert write_report(root).embedded == len(table)
    for number in range(len(several)):
        samples, _ = sound(root, tracks(root, number)["style"]["sound"])
        peaks = [np.abs(np.fft.rfft(part)).argmax() * RATE / len(part) for part in (samples[:8_000], samples[-8_000:])]
        assert sorted(peaks) == pytest.approx([300, 600], abs=3)
    assert "has changed, or a clip of it is gone" in data(root)["pairs"]["4"]["problems"]["style"]
    named = {uri: name for uri, _, name in rows(root)["sounds"]}
    assert [named[style] for style in several] == ["bells", "a+b", "a 50%+b 50%", "bells"]


def test_what_only_a_browser_plays_is_linked(tmp_path: Path) -> None:
    folder, root = str(tmp_path), str(tmp_path / "root")
    many = join(folder, "many.wav")
    identity = write_sound(many, np.tile(tone(300, 1.0)[:, None], 9))
    write_root(root, [{**heard_row(folder, "a"), "content": many, "content_identity": identity}])
    write_report(root)
    pair = data(root)["pairs"]["0"]
    assert pair["linked"] == ["content"]
    assert "9 channels" in pair["problems"]["content"]
    assert list(pair["tracks"]) == ["style", "result"]


def test_the_users_own_columns_ride_along_as_text(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    own = {"genre": "warm", "take": 7, "kept": True, "tempo": 1.5, "words": ["a"], "long": "x" * 1_000}
    more = {f"more{number}": "y" for number in range(9)}
    write_root(root, [heard_row(str(tmp_path), "a", **own, **more), failed_row("b")])
    write_report(root)
    told = rows(root)["own"]
    expected = {"genre": "warm", "take": "7", "kept": "true", "tempo": "1.5", "long": "x" * 200}
    assert {name: values[0] for name, values in told.items() if name in own} == expected
    assert all(values[1] is None for values in told.values())
    assert len(told) == report_rows.MOST_OWN


def test_a_root_that_was_moved_finds_its_own_audio(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a")])
    (tmp_path / "root").rename(tmp_path / "moved")
    assert write_report(str(tmp_path / "moved")).embedded == 1
    assert rows(str(tmp_path / "moved"))["audio"][0].startswith("../audio/")


def test_where_there_is_no_more_room_pairs_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_sounds, "MOST_BYTES", 1)
    root = str(tmp_path / "root")
    write_root(root, [heard_row(str(tmp_path), name) for name in "abc"])
    assert write_report(root).embedded == 1
    assert len([name for name in rows(root)["audio"] if name]) == 3


def test_a_large_table_comes_in_pieces_and_is_counted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_rows, "PIECE_ROWS", 2)
    monkeypatch.setattr(listening_report, "MOST_ROWS", 4)
    root = str(tmp_path / "root")
    write_root(root, [failed_row(name) for name in "abcde"])
    write_report(root)
    told = data(root)
    assert (told["total"], told["rows"], told["scripts"]) == (5, 4, ["rows-000.js", "rows-001.js"])
    assert rows(root, "rows-001.js")["pair_id"] == ["c", "d"]
    assert "All 5 pairs failed" in page(root)


def test_numbers_without_an_end_are_none_and_an_old_row_needs_no_rate(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    odd = heard_row(str(tmp_path), "a", timbre_transfer=float("nan"), rhythm_kept=float("inf"), sample_rate=None)
    write_root(root, [odd, heard_row(str(tmp_path), "b")])
    assert write_report(root).embedded == 2
    assert (rows(root)["timbre_transfer"], rows(root)["rhythm_kept"]) == ([None, 0.87], [None, 0.7])


def test_an_empty_table_has_a_report(tmp_path: Path) -> None:
    write_root(str(tmp_path), [])
    assert write_report(str(tmp_path)).pairs == 0
    assert "No pairs" in page(str(tmp_path))


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b'{"run_id": 1}', b"\xff"])
def test_a_damaged_record_of_a_run_is_none(tmp_path: Path, record: bytes) -> None:
    root = str(tmp_path / "root")
    row = heard_row(str(tmp_path), "a")
    write_root(root, [row])
    with Storage().writing(record_uri(root, row["run_id"])) as sink:
        sink.write(record)
    assert write_report(root).embedded == 1


def test_two_settings_of_the_same_sounds_are_a_blind_test(tmp_path: Path) -> None:
    folder, root = str(tmp_path), str(tmp_path / "root")
    settings = ['{"strength": 0.5, "content_start_s": 0.0}', '{"strength": 1.0, "content_start_s": 0.0}']
    table = [
        heard_row(folder, f"{name}{n}", content=name, settings=text) for name in "ab" for n, text in enumerate(settings)
    ]
    # Sounds that have one setting only, and some whose two results are the same sound: no question.
    alone = [heard_row(folder, "c0", content="c"), heard_row(folder, "d0", content="d")]
    same = [{**alone[1], "pair_id": f"d{n}", "settings": text} for n, text in enumerate(settings)]
    write_root(root, [*table, alone[0], *same])
    write_report(root)
    blind = data(root)["blind"]
    assert (blind["first"], blind["second"]) == ("strength 0.5", "strength 1.0")
    assert [trial["pair_ids"] for trial in blind["trials"]] == [["a0", "a1"], ["b0", "b1"]]
    for trial in blind["trials"]:
        assert trial["sides"][0]["tracks"]["result"] != trial["sides"][1]["tracks"]["result"]


def test_two_roots_are_compared_pair_by_pair(tmp_path: Path) -> None:
    anywhere = str(tmp_path)
    root, other = join(anywhere, "root"), join(anywhere, "other")
    write_root(root, [heard_row(anywhere, "a"), heard_row(anywhere, "b", content="second")])
    theirs = heard_row(anywhere, "x")
    write_root(other, [{**theirs, "pair_id": "a"}])
    write_report(root, Asked(against=other))
    blind = data(root)["blind"]
    assert (blind["first"], blind["second"]) == ("root", "other")
    assert [trial["pair_ids"] for trial in blind["trials"]] == [["a", "a"]]


def test_a_private_bucket_is_read_by_signed_addresses_alone(s3: str) -> None:
    root = join(s3, "root")
    write_root(root, [heard_row(s3, "a")])
    address = write_report(root, Asked(presign_hours=1.0)).address

    def fetched(signed: str) -> tuple[bytes, str]:
        with urllib.request.urlopen(signed, timeout=20) as answer:
            return answer.read(), answer.headers["Content-Type"]

    text, kind = fetched(address)
    assert kind == "text/html"
    assert text.decode() == page(root)
    signed = data(root)["addresses"]
    assert set(signed) == set(names(root)) - {"index.html"}
    assert fetched(signed["rows-000.js"])[0].startswith(b"timbreflow.receiveRows(0")
    assert fetched(rows(root)["audio"][0])[0][:4] == b"fLaC"
    assert fetched(rows(root)["sounds"][0][1])[0][:4] == b"RIFF"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(by="timbr"), "by='timbr': no figure. Use one of balance, timbre_transfer"),
        (Asked(presign_hours=1.0), "is not on S3"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, asked: Asked, told: str) -> None:
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a")])
    with pytest.raises(ReportError, match=re.escape(told)):
        write_report(str(tmp_path / "root"), asked)
    assert not (tmp_path / "root/report").exists()


def test_a_table_that_is_replaced_meanwhile_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(tmp_path / "root")
    first, second = heard_row(str(tmp_path), "a"), heard_row(str(tmp_path), "b", timbre_transfer=0.1)
    write_root(root, [first, second])
    at_work = iter([lambda: write_root(root, [second, first])])  # a run ends, once

    def told(done: int, total: int) -> None:
        next(at_work, lambda: None)()

    write_report(root, progress=told)
    assert rows(root)["pair_id"] == ["b", "a"]
    assert data(root)["best"] == [1, 0]
    samples, _ = sound(root, tracks(root, 1)["result"]["sound"])
    with soundfile.SoundFile(io.BytesIO(first["audio"])) as result:
        np.testing.assert_allclose(samples, result.read(), atol=2**-14)
