"""CSV as programs write it: separators, encodings, quotes, and the user's own columns as they stand."""

from __future__ import annotations

import codecs
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests.building.builder import build_from_csv
from manifests.files import join
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()


def converted(folder: str, data: str | bytes, name: str = "p.csv") -> tuple[dict[str, list[object]], list[str]]:
    """Build a manifest of a CSV; return its columns and what was said."""
    said: list[str] = []
    with FILES.writing(join(folder, name)) as sink:
        sink.write(data if isinstance(data, bytes) else data.encode())
    build_from_csv(join(folder, name), join(folder, "p.parquet"), FILES, said.append)
    with FILES.open(join(folder, "p.parquet")) as source:
        return pq.read_table(source).to_pydict(), said


def test_own_columns_stay_as_they_are_written(anywhere: str) -> None:
    own = {
        "id": ["007", "010"],
        "price": ["1.50", "2"],
        "flag": ["true", ""],
        "day": ["2026-01-02", "NA"],
        "note": [" x ", "line\nbreak"],
        "empty": ["", ""],
    }
    lines = [",".join(["content", "style", *own])]
    lines += [",".join([f"{row}.wav", "s.wav", *(f'"{values[row]}"' for values in own.values())]) for row in range(2)]
    columns, said = converted(anywhere, "\n".join(lines))
    assert {name: columns[name] for name in own} == own
    assert said == []


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_separators_encodings_and_line_ends_are_found_out(
    tmp_path: Path, separator: str, encoding: str, line_end: str
) -> None:
    rows = [["content", "style", "id", "naïve, a;b"], ["ü.wav", "s.wav", "007", "ç"], ["", "", "", ""]]
    text = line_end.join(separator.join(f'"{field}"' for field in row) for row in rows)
    columns, said = converted(str(tmp_path), text.encode(encoding), "p.tsv")
    assert columns == {"content": ["ü.wav"], "style": ["s.wav"], "id": ["007"], "naïve, a;b": ["ç"]}
    assert said == []


def test_what_excel_saves(tmp_path: Path) -> None:
    big_endian = codecs.BOM_UTF16_BE + "content\tstyle\r\na\tb\r\n".encode("utf-16-be")
    assert converted(str(tmp_path), big_endian)[0] == {"content": ["a"], "style": ["b"]}
    europe = "sep=;\r\ncontent;style;alpha;note\r\na;b;0,5;1,5\r\nc;d;;x\r\n;;;\r\n"
    expected = {"content": ["a", "c"], "style": ["b", "d"], "alpha": [0.5, None], "note": ["1,5", "x"]}
    assert converted(str(tmp_path), europe)[0] == expected


def test_settings_become_numbers(tmp_path: Path) -> None:
    text = "content,style,alpha,beta,seed,iterations\na,b,1e2,,9223372036854775807, 7 \nc,d,NaN,.5,NA,\n"
    columns, _ = converted(str(tmp_path), text)
    assert (columns["alpha"], columns["beta"]) == ([100.0, None], [None, 0.5])
    assert (columns["seed"], columns["iterations"]) == ([9223372036854775807, None], [7, None])


def test_columns_without_a_name_and_likely_misspellings_are_said(tmp_path: Path) -> None:
    columns, said = converted(str(tmp_path), ",content,style,alhpa,\n0,a,b,20,\n")
    assert columns == {"content": ["a"], "style": ["b"], "alhpa": ["20"]}
    assert len(said) == 2
    assert "columns without a name are left out: number 1, 5" in said[0]
    assert "column 'alhpa' is taken for one of your own, and sets nothing. Is it 'alpha'?" in said[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("content,style,note\na,b,café\n".encode("latin-1"), "line 2: not UTF-8; .*'a,b,café'. Save it as UTF-8"),
        ('content,style\n"a\nb",c\né,d\n'.encode("latin-1"), "line 4: not UTF-8; in Latin-1 .* Save it as UTF-8"),
        ("content;style\na;b\n".encode("utf-16-le"), "line 1: a zero byte: UTF-16 without its mark"),
        (codecs.BOM_UTF16_LE + b"c", "damaged UTF-16 at byte 2. Save it as UTF-8"),
        (b"PAR1", "a Parquet file already"),
        (b"PK\x03\x04workbook", "a workbook or an archive, not a CSV. Save it as CSV"),
        (b"\x1f\x8bpacked", "compressed. Unpack it first"),
        (" \n\n", "it is empty"),
        ("sep=;\n", "it is empty"),
        ("content style\na b\n", "its header 'content style' is one column. Separate the columns by commas, semico"),
        ("content,style\na,b\nc\n", "line 3: 1 field, but the header has 2. Give every column a field"),
        ("content;style\na;b;c\n", "line 2: 3 fields, but the header has 2. Put a text that holds semicolons in quo"),
        ('content,style,note\na,b,"x\nc,d,y\n', "line 2: not a readable CSV .*Look at its quotes"),
        ('content,style,note\na,b,"x\ny"\nc,,z\n', "column 'style', line 4: empty"),
        ("content,style,alpha\na,b,1\nc,d,loud\n", "column 'alpha', line 3: 'loud' is not a number. Give one"),
        ("content,style,alpha\na,b,inf\n", "column 'alpha', line 2: 'inf' is not a number"),
        ('content,style,alpha\na,b,"0,5"\n', "column 'alpha', line 2: '0,5' is not a number. Give one such as 0.5"),
        ("content;style;iterations\na;b;1,000\n", "column 'iterations', line 2: '1,000' is not a number"),
        ("content,style,seed\na,b,9223372036854775808\n", "column 'seed', line 2: .*not a whole number in 64 bits"),
        ("content,style,Alpha\na,b,1\n", "column 'Alpha' sets nothing: it differs from 'alpha' in case"),
        ("content, style\na, b\n", "no column 'style'. Is it ' style'"),
        ("content,style,content\na,b,c\n", "column 'content' is there 2 times"),
        ("content,style\na,b\n\na,b\n", r"line 4: .*\(content 'a' x style 'b'\) stands in line 2 already"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        converted(str(tmp_path), data)
    assert "p.csv" in str(caught.value)
    assert not (tmp_path / "p.parquet").exists()


def test_a_style_of_several_is_json(anywhere: str) -> None:
    """The weights go into the style's text, relative paths and all."""
    data = (
        "content;style;style_weights;note\n"
        'a.wav;"[""s/b.wav"", ""s/../c.wav""]";;x\n'
        'a.wav;"[""b.wav"", ""c.wav""]";[1, 3];y\n'
        'a.wav;"{""b.wav"": 1, ""c.wav"": 1}"; ;z\n'
        "a.wav;s/*.wav;[2];w\n"
    )
    columns, said = converted(anywhere, data)
    assert columns["style"] == [
        '["c.wav", "s/b.wav"]',
        '{"b.wav": 0.25, "c.wav": 0.75}',
        '{"b.wav": 0.5, "c.wav": 0.5}',
        "s/*.wav",
    ]
    assert (list(columns), said) == (["content", "style", "note"], [])


def test_weights_that_do_not_fit_are_refused_with_their_line(tmp_path: Path) -> None:
    data = 'content,style,style_weights\na.wav,b.wav,\na.wav,"[""b.wav"", ""c.wav""]","[1, 2, 3]"\n'
    with pytest.raises(ManifestError, match="line 3: 3 weights for 2 styles"):
        converted(str(tmp_path), data)
