"""Build a manifest: from folders of sounds and a pairing, or from a CSV."""

from __future__ import annotations

import posixpath
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from manifests.building.csv_table import read_csv
from manifests.building.sources import LeftOut, find_sounds, source_uri
from manifests.files import Files, is_s3, parent, relative_to
from manifests.parquet import BATCH_ROWS, write_parquet
from manifests.reading.columns import Place, paths, texts
from manifests.reading.duplicates import refuse_duplicates
from manifests.reading.hints import column_hints, path_hint
from manifests.reading.reader import normalise
from manifests.reading.schema_checks import check_schema
from manifests.reading.style_column import resolved_styles, written_styles
from manifests.schema import REQUIRED_COLUMNS, STYLE_WEIGHTS, ManifestError
from manifests.style_text import mapped

SUFFIX = ".parquet"
"""Of every manifest: what is in a folder with another one is not read."""

_SCHEMA = pa.schema([(name, pa.string()) for name in REQUIRED_COLUMNS])


def _silent(sentence: str) -> None:
    """Say nothing."""


def build_manifest(
    content: Sequence[str],
    style: Sequence[str],
    pairing: str,
    out: str,
    files: Files,
    seed: int = 0,
    say: Callable[[str], None] = _silent,
) -> int:
    """Write the manifest of a pairing; paths are relative to it where they can be.

    Parameters
    ----------
    content, style : sequence of str
        Folders, glob patterns, s3:// prefixes or single files. From folders and patterns come the files with a suffix
        of `audio_suffixes`, sorted, and no hidden ones; a file named by itself is taken as it is.
    pairing : str
        `cross`: every content with every style. `zip`: the first with the first, and so on. `sample:N`: N different
        pairs of the cross product, drawn at random.
    out : str
        The Parquet file to write, local or s3://; an old one is replaced.
    files : Files
        The file system.
    seed : int
        Decides the pairs of `sample:N`.
    say : callable
        Is given a sentence on each kind of files that was left out.

    Returns
    -------
    int
        Number of pairs.

    Raises
    ------
    ManifestError
        A source without sounds, an unknown or impossible pairing, a sound named twice, local sounds for a manifest
        on S3, `out` is a folder or no name of a Parquet file.
    """
    target = _target(out, files)
    left_out = LeftOut()
    contents = find_sounds(content, "content", files, left_out)
    styles = find_sounds(style, "style", files, left_out)
    if pairing == "zip":
        _check_zip(contents, styles)
    else:
        # Sources may overlap; a pair must not come twice.
        contents, styles = list(dict.fromkeys(contents)), list(dict.fromkeys(styles))
    pairs = _pairs(pairing, len(contents), len(styles), seed)
    for sentence in left_out.sentences():
        say(sentence)
    return write_parquet(target, files, _paired(pairs, _written(contents, target), _written(styles, target)), _SCHEMA)


def build_from_csv(csv: str, out: str, files: Files, say: Callable[[str], None] = _silent) -> int:
    """Write the manifest that a CSV with a header line describes; return the number of pairs.

    All columns are kept, the user's own as they are written. Relative paths start from the CSV's folder and are
    rewritten relative to the manifest. The bounds of row settings are left to whoever reads the manifest; everything
    else is checked here.

    Parameters
    ----------
    csv : str
        The CSV, local or s3://; see `manifests.building.csv_table`.
    out : str
        The Parquet file to write, local or s3://; an old one is replaced.
    files : Files
        The file system.
    say : callable
        Is given a sentence on each thing that was left out, or is most likely not meant.

    Raises
    ------
    ManifestError
        Missing or damaged CSV, or what `manifests.reading.reader` refuses; messages name the line.
    """
    target = _target(out, files)
    source = source_uri(csv)
    table, lines, notes = read_csv(source, files)
    check_schema(table.schema, source)
    if table.num_rows == 0:
        raise ManifestError(f"{source}: no rows under the header. Put at least one pair into it")
    place = Place(source, parent(source), lines=lines)
    _check_values(table, place)
    for note in (*notes, *(f"{source}: {hint}" for hint in column_hints(table.column_names))):
        say(note)
    resolved = {
        "content": paths(texts(table.column("content").combine_chunks(), "content", place), "content", place),
        "style": resolved_styles(written_styles(_as_batch(table), place), place),
    }
    for name, column in resolved.items():
        encoded = column.dictionary_encode()
        rewritten = _written(encoded.dictionary.to_pylist(), target).take(encoded.indices)
        table = table.set_column(table.column_names.index(name), name, rewritten)
    if STYLE_WEIGHTS in table.column_names:  # the style's text has them now
        table = table.drop_columns([STYLE_WEIGHTS])
    return write_parquet(target, files, [table], table.schema)


def _target(out: str, files: Files) -> str:
    target = source_uri(out)
    if out.endswith("/") or files.is_folder(target):
        raise ManifestError(f"{out}: is a folder. Name the file to write, say {out.rstrip('/')}/pairs.parquet")
    if (hint := path_hint(out)) is not None:
        raise ManifestError(f"{out}: {hint}")
    stem, suffix = posixpath.splitext(out)
    if suffix.lower() != SUFFIX:
        raise ManifestError(f"{out}: a manifest is a Parquet file, and this name says another. Name it {stem}{SUFFIX}")
    return target


def _check_zip(contents: Sequence[str], styles: Sequence[str]) -> None:
    if len(contents) != len(styles):
        raise ManifestError(
            f"pairing 'zip' needs as many styles as contents: {len(contents)} contents, {len(styles)} styles. "
            "Give what is missing, or use 'cross' or 'sample:N'"
        )
    pairs = Counter(zip(contents, styles, strict=True))
    (content, style), count = pairs.most_common(1)[0]
    if count > 1:
        raise ManifestError(f"pairing 'zip' makes the pair {content} x {style} {count} times. Name each pair once")


def _pairs(pairing: str, contents: int, styles: int, seed: int) -> Sequence[int]:
    """Return the pairs of a pairing as positions in the cross product, which is never built."""
    total = contents * styles
    if pairing == "cross":
        return range(total)
    if pairing == "zip":
        return range(0, total, styles + 1)
    size = re.fullmatch(r"sample:(\d+)", pairing)
    if size is None:
        raise ManifestError(f"pairing '{pairing}' is unknown. Use 'cross', 'zip' or 'sample:N', say sample:100")
    count = int(size[1])
    if not 1 <= count <= total:
        raise ManifestError(
            f"pairing '{pairing}': {contents} contents and {styles} styles make {total} pairs. Use 1 <= N <= {total}"
        )
    return sorted(random.Random(seed).sample(range(total), count))


def _paired(pairs: Sequence[int], contents: pa.StringArray, styles: pa.StringArray) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a manifest from positions in the cross product of `contents` and `styles`."""
    for start in range(0, len(pairs), BATCH_ROWS):
        positions = np.asarray(pairs[start : start + BATCH_ROWS], dtype=np.int64)
        content, style = np.divmod(positions, len(styles))
        columns = [contents.take(pa.array(content)), styles.take(pa.array(style))]
        yield pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _written(styles: Sequence[str], manifest: str) -> pa.StringArray:
    """Write URIs, or texts of several, as they shall stand in a manifest; refuse what it could not name."""
    folder = parent(manifest)

    def written(uri: str) -> str:
        if is_s3(manifest) and not is_s3(uri):
            raise ManifestError(f"{uri}: a manifest on S3 cannot name local sounds. Copy them to S3, or write it here")
        return relative_to(uri, folder)

    return pa.array([mapped(style, written) for style in styles], pa.string())


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    names = [name for name in ("style", STYLE_WEIGHTS) if name in table.column_names]
    return pa.RecordBatch.from_arrays([table.column(name).combine_chunks() for name in names], names=names)


def _check_values(table: pa.Table, place: Place) -> None:
    ids = []
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        ids.append(normalise(batch, place, _accept).column("pair_id"))
        place = replace(place, row=place.row + batch.num_rows)

    def pair(row: int) -> str:
        content, style = (table.column(name)[row].as_py() for name in REQUIRED_COLUMNS)
        return f"content '{content}' x style '{style}'"

    refuse_duplicates(ids, place.file, lambda row: f"line {place.lines[row]}", pair)


def _accept(row_settings: dict[str, object]) -> None:
    """Leave the bounds to whoever reads the manifest."""
