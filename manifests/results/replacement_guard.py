"""The guard against another manifest on an output root: most of a snapshot does not vanish by mistake."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import Files
from manifests.parquet import open_parquet, parquet_errors
from manifests.results.layout import latest_uri
from manifests.schema import VERSION_KEY, ManifestError

_REMEDY = "Move it away: a run writes it anew from the history"


def refuse_another_manifest(files: Files, root: str, pair_ids: pa.ChunkedArray) -> None:
    """Refuse a manifest that lacks more than half of the pairs in the newest snapshot.

    Pairs that a manifest no longer names stay in the history and leave `results.parquet`. A few do so now and then;
    where most would, somebody has probably mistaken the output root.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    pair_ids : pyarrow.ChunkedArray of str
        All pairs of the new manifest, those that need no work included.

    Raises
    ------
    ManifestError
        More than half of the snapshot's pairs are missing; or `results.parquet` is damaged, or no table of ours.
    """
    uri = latest_uri(root)
    if not files.exists(uri):
        return
    present = _pair_ids(files, uri)
    gone = len(present) - (pc.sum(pc.is_in(present, value_set=pair_ids)).as_py() or 0)
    if 2 * gone > len(present):
        raise ManifestError(
            f"{uri}: {gone} of its {len(present)} pairs are not among the {len(pair_ids)} of this manifest, and would "
            f"leave it. Is another manifest meant, or another output root than {root}? If not, say --replace"
        )


def _pair_ids(files: Files, uri: str) -> pa.ChunkedArray:
    with open_parquet(uri, files, _REMEDY) as snapshot, parquet_errors(uri, _REMEDY):
        if VERSION_KEY not in (snapshot.schema_arrow.metadata or {}):
            raise ManifestError(f"{uri}: not a result of timbreflow (no schema version). {_REMEDY}")
        return snapshot.read(["pair_id"]).column("pair_id")
