"""Build a manifest: from folders of sounds and a pairing, or from a CSV."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from manifests.columns import Place, paths, texts
from manifests.files import Files, absolute, is_s3, parent, relative_to
from manifests.reader import check_schema, normalise, refuse_duplicates
from manifests.schema import REQUIRED_COLUMNS, ManifestError
from manifests.tables import BATCH_ROWS, write_parquet

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")

_GLOB = frozenset("*?[")
_SCHEMA = pa.schema([(name, pa.string()) for name in REQUIRED_COLUMNS])


def build_manifest(
    content: Sequence[str], style: Sequence[str], pairing: str, out: str, files: Files, seed: int = 0
) -> int:
    """Write the manifest of a pairing; paths are relative to it where they can be.

    Parameters
    ----------
    content, style : sequence of str
        Folders, glob patterns, s3:// prefixes or single files. From folders and patterns come the files with a suffix
        of `AUDIO_SUFFIXES`, sorted; a file named by itself is taken as it is.
    pairing : str
        `cross`: every content with every style. `zip`: the first with the first, and so on. `sample:N`: N different
        pairs of the cross product, drawn at random.
    out : str
        The Parquet file to write, local or s3://; an old one is replaced.
    files : Files
        The file system.
    seed : int
        Decides the pairs of `sample:N`.

    Returns
    -------
    int
        Number of pairs.

    Raises
    ------
    ManifestError
        A source without sounds, an unknown or impossible pairing, a sound named twice, local sounds for a manifest
        on S3, `out` is a folder.
    """
    target = _target(out, files)
    contents, styles = _sounds(content, "content", files), _sounds(style, "style", files)
    if pairing == "zip":
        _check_zip(contents, styles)
    else:
        # Sources may overlap; a pair must not come twice.
        contents, styles = list(dict.fromkeys(contents)), list(dict.fromkeys(styles))
    pairs = _pairs(pairing, len(contents), len(styles), seed)
    return write_parquet(target, files, _paired(pairs, _written(contents, target), _written(styles, target)), _SCHEMA)


def build_from_csv(csv: str, out: str, files: Files) -> int:
    """Write the manifest that a CSV with a header line describes; return the number of pairs.

    All columns are kept. Relative paths start from the CSV's folder and are rewritten relative to the manifest. The
    bounds of row settings are left to whoever reads the manifest; everything else is checked here.

    Parameters
    ----------
    csv : str
        The CSV (UTF-8, comma-separated), local or s3://.
    out : str
        The Parquet file to write, local or s3://; an old one is replaced.
    files : Files
        The file system.

    Raises
    ------
    ManifestError
        Missing or damaged CSV, or what `manifests.reader` refuses; a row is counted from 0 under the header.
    """
    target = _target(out, files)
    source = _uri(csv)
    table = _read_csv(source, files)
    check_schema(table.schema, source)
    if table.num_rows == 0:
        raise ManifestError(f"{source}: no rows under the header. Put at least one pair into it")
    _check_values(table, source)
    for name in REQUIRED_COLUMNS:
        place = Place(source, parent(source))
        column = texts(table.column(name).combine_chunks(), name, place)
        resolved = paths(column, name, place).dictionary_encode()
        rewritten = _written(resolved.dictionary.to_pylist(), target).take(resolved.indices)
        table = table.set_column(table.column_names.index(name), name, rewritten)
    return write_parquet(target, files, [table], table.schema)


def _uri(written: str) -> str:
    try:
        return absolute(written)
    except ValueError as error:
        raise ManifestError(str(error)) from error


def _target(out: str, files: Files) -> str:
    target = _uri(out)
    if files.is_folder(target):
        raise ManifestError(f"{out}: is a folder. Name the file to write, say {out.rstrip('/')}/pairs.parquet")
    return target


def _sounds(sources: Sequence[str], side: str, files: Files) -> list[str]:
    sounds = [sound for source in sources for sound in _source_sounds(source, side, files)]
    if not sounds:
        raise ManifestError(f"no {side} given. Name a folder, a pattern, an s3:// prefix or a file")
    return sounds


def _source_sounds(source: str, side: str, files: Files) -> list[str]:
    uri = _uri(source)
    if files.is_folder(uri):
        found = files.find(uri)
    elif files.exists(uri):
        return [uri]
    elif _GLOB & set(source):
        found = files.glob(uri)
    else:
        raise ManifestError(f"{source}: no such file or folder. Correct the {side} path")
    sounds = [path for path in found if path.lower().endswith(AUDIO_SUFFIXES)]
    if not sounds:
        raise ManifestError(
            f"{source}: no sound among its {len(found)} files. Give a {side} with files in {' '.join(AUDIO_SUFFIXES)}"
        )
    return sounds


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


def _written(uris: Sequence[str], manifest: str) -> pa.StringArray:
    """Write URIs as they shall stand in a manifest; refuse what it could not name."""
    if is_s3(manifest):
        local = next((uri for uri in uris if not is_s3(uri)), None)
        if local is not None:
            raise ManifestError(
                f"{local}: a manifest on S3 cannot name local sounds. Copy them to S3, or write it here"
            )
    folder = parent(manifest)
    try:
        return pa.array([relative_to(uri, folder) for uri in uris], pa.string())
    except UnicodeEncodeError as error:
        raise ManifestError(f"{error.object!r}: the file name is not UTF-8. Rename the file") from error


def _read_csv(source: str, files: Files) -> pa.Table:
    convert = arrow_csv.ConvertOptions(column_types={name: pa.string() for name in ("pair_id", *REQUIRED_COLUMNS)})
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    try:
        with files.open(source) as handle:
            return arrow_csv.read_csv(handle, parse_options=parse, convert_options=convert)
    except FileNotFoundError as error:
        raise ManifestError(f"{source}: no such file. Correct the path of the CSV") from error
    except IsADirectoryError as error:
        raise ManifestError(f"{source}: is a folder. Name the CSV file itself") from error
    except pa.ArrowException as error:
        raise ManifestError(f"{source}: not a readable CSV ({error}). Save it as UTF-8, separated by commas") from error


def _check_values(table: pa.Table, source: str) -> None:
    place = Place(source, parent(source))
    ids = []
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        normalised = normalise(batch, place, _accept)
        ids.append(normalised.column("pair_id"))
        place = replace(place, row=place.row + batch.num_rows)
    refuse_duplicates(ids, source)


def _accept(row_settings: dict[str, object]) -> None:
    """Leave the bounds to whoever reads the manifest."""
