"""Names of exported files: what a template may say, what any system takes, and that no two pairs share one."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.schema import RESULT_SCHEMA
from tasks.exporting.export_errors import ExportError
from tasks.exporting.file_names import MOST_BYTES, folded, safe_name, unique_names
from tasks.exporting.name_template import NameTemplate

OWN = pa.schema(
    [
        ("genre", pa.string()),
        ("take no.", pa.int64()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("tags", pa.list_(pa.string())),
        ("taken", pa.timestamp("ns")),
    ]
)
SCHEMA = pa.schema([*RESULT_SCHEMA, *OWN])
ROW = {
    "content": "s3://bucket/voices/take 1.final.wav",
    "style": "/snd/glass/rub.flac",
    "pair_id": "p1",
    "fingerprint": "0123456789abcdef" * 2 + "01234567",
    "seed": 7,
    "strength": 0.8,
    "timbre_transfer": 0.123456,
    "genre": "jazz/fusion",
    "take no.": 12,
    "kind": "loop",
    "taken": datetime(2026, 11, 25, 10, 30, tzinfo=UTC).replace(tzinfo=None),
}


def stem(template: str, **values: object) -> str:
    """Return what a template makes of a row."""
    (named,) = NameTemplate(template, SCHEMA).stems(pa.Table.from_pylist([{**ROW, **values}], schema=SCHEMA))
    return named


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{content}__{style}", "take 1.final__rub"),
        ("{pair_id} {fingerprint}", "p1 0123456789"),
        ("{seed:04d}_{strength}_{timbre_transfer:.2f}", "0007_0.8_0.12"),
        ("{genre}-{take no.}-{kind}-{taken}-{taken:%Y}", "jazz/fusion-12-loop-20261125T103000-2026"),
        ("DSGNTonl_{content} {style}_{pair_id}_TIMBREFLOW", "DSGNTonl_take 1.final rub_p1_TIMBREFLOW"),
        ("{{{seed}}}", "{7}"),
        ("plain", "plain"),
        ("{melody_kept}{melody_kept:.1f}", "nonenone"),
    ],
)
def test_fields_stand_for_the_columns_of_the_row(template: str, expected: str) -> None:
    assert stem(template) == expected


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (
            "{contents}",
            "unknown field 'contents'; did you mean 'content'? Known are content, style, pair_id, fingerprint, seed, ",
        ),
        ("{status}", "unknown field 'status'"),
        ("{tags}", "unknown field 'tags'"),
        ("{output}", "unknown field 'output'"),
        ("{content.upper}", "unknown field 'content.upper'"),
        ("{0}", "unknown field '0'"),
        ("{}", "a field is a name in braces"),
        ("{content!r}", "a field is a name in braces"),
        ("{seed:{strength}}", "a field is a name in braces"),
        ("{content", "expected '}' before end of string"),
        ("content}", "single '}' encountered"),
        ("{style}/{content}", "'/' separates folders"),
        ("{style}\\{content}", "separates folders"),
        ("a:{content}", "':' is in no name that is safe"),
        ("a\n{content}", "is in no name that is safe"),
        ("{strength:d}", "'d' is no format for the values of 'strength'"),
        ("{content:.2f}", "'.2f' is no format for the values of 'content'"),
        ("{seed:99999999999d}", "no format for the values of 'seed'"),
        (" ", "a name needs text"),
    ],
)
def test_what_a_template_cannot_mean_is_refused(template: str, told: str) -> None:
    with pytest.raises(ExportError) as caught:
        NameTemplate(template, SCHEMA)
    assert str(caught.value).startswith(f"name='{template}': ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        ("tab\tand\nline  break ", "tab and line break"),
        ("bell\x07 del\x7f c1\x85x", "bell_ del_ c1 x"),
        ("...hidden", "hidden"),
        ("trailing. . .", "trailing"),
        ("con", "con_"),
        ("Aux.take", "Aux_.take"),
        ("COM1 .x", "COM1 _.x"),
        ("lpt¹", "lpt¹_"),
        ("console", "console"),
        ("cafe\u0301", "caf\u00e9"),
        ("right\u202eto left", "rightto left"),
        ("no\u00a0break", "no break"),
        ("private\ue000", "private_"),
        (" . ", "unnamed"),
        ("", "unnamed"),
        ("take.FLAC", "take"),
        ("音楽 🎻", "音楽 🎻"),
    ],
)
def test_a_name_is_one_that_any_system_takes(text: str, expected: str) -> None:
    assert safe_name(text, ".flac") == f"{expected}.flac"


@given(st.text(max_size=300), st.sampled_from([".flac", ".wav", ".ogg"]), st.sampled_from(["", "0" * 8, "f" * 64]))
def test_any_text_gives_a_safe_name(text: str, suffix: str, ending: str) -> None:
    name = safe_name(text, suffix, ending)
    assert name == unicodedata.normalize("NFC", name)
    assert len(name.encode()) <= MOST_BYTES
    assert name.endswith(f"_{ending}{suffix}" if ending else suffix)
    base = name.removesuffix(suffix)
    assert base
    assert base == base.strip(" .")
    assert not set(name) & set('<>:"/\\|?*')
    assert all(unicodedata.category(character) not in ("Cc", "Cs", "Cf", "Cn", "Zl", "Zp") for character in name)
    assert name.partition(".")[0].rstrip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert safe_name(base, suffix) == f"{base}{suffix}"


def names(stems: list[str], ids: list[str] | None = None, taken: tuple[str, ...] = ()) -> list[str]:
    ids = ids or [f"id{number}" for number in range(len(stems))]
    found: list[str] = unique_names(stems, [".flac"] * len(stems), pa.array(ids), taken).to_pylist()
    assert len({folded(name) for name in found} | {folded(name) for name in taken}) == len(stems) + len(taken)
    return found


def test_pairs_of_one_name_get_an_ending_and_others_do_not() -> None:
    first, second, third, other = names(["a", "A", "a", "b"])
    assert other == "b.flac"
    assert [name[:2] for name in (first, second, third)] == ["a_", "A_", "a_"]
    assert all(len(name) == len("a_12345678.flac") for name in (first, second, third))


def test_names_do_not_depend_on_the_order_of_the_pairs() -> None:
    stems, ids = ["a", "a", "b", "A", "straße", "STRASSE", "e\u0301", "\u00e9"], list("stuvwxyz")
    forward = dict(zip(ids, names(stems, ids), strict=True))
    backward = dict(zip(ids[::-1], names(stems[::-1], ids[::-1]), strict=True))
    assert forward == backward


def test_an_ending_that_another_pair_has_by_itself_is_made_longer() -> None:
    (ending, _) = names(["a", "a"], ["x", "y"])
    found = names(["a", "a", ending.removesuffix(".flac")], ["x", "y", "z"])
    assert len(set(found)) == 3


def test_names_that_are_cut_are_still_unique() -> None:
    long = "ü" * 300
    found = names([long + "1", long + "2"])
    assert all(len(name.encode()) <= MOST_BYTES for name in found)


def test_a_name_that_is_taken_is_left_alone() -> None:
    (name,) = names(["a"], taken=("A.flac",))
    assert name.startswith("a_")


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ('["/snd/a.wav", "/snd/b c.wav"]', "a+b c"),
        ('["/1.wav", "/2.wav", "/3.wav", "/4.wav", "/5.wav"]', "1+2+3+2 more"),
        ('{"/snd/a.wav": 0.25, "s3://bucket/bells": 0.75}', "a 25%+bells 75%"),
        ("s3://bucket/glass/**/*.wav", "glass"),
        ("/snd/strings", "strings"),
        ("/snd/violin*.wav", "violin"),
    ],
)
def test_a_style_of_several_has_a_short_name(style: str, expected: str) -> None:
    assert stem("{style}", style=style) == expected
    assert safe_name(stem("{style}", style=style), ".flac") == f"{expected}.flac"
