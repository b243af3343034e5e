"""The columns of manifests and results, and the names of what can go wrong.

`python -m manifests.results.documentation docs/results.md` makes tables of it, so a description here is what a user
reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from stylecore.figures import FIGURES
from stylecore.terms import TERMS
from stylecore.terms.term import Term

SCHEMA_VERSION = 2
VERSION_KEY = b"timbreflow.schema_version"

SUCCEEDED = "succeeded"
FAILED = "failed"


class ManifestError(Exception):
    """Root of this package's errors; the message names file, column and row, and what to do.

    A row is its number in the manifest, counted from 1 and on through the files of a folder.
    """


@dataclass(frozen=True)
class Column:
    """One column of the result table: its name, Arrow type, and one line on its meaning with the unit."""

    name: str
    type: pa.DataType
    description: str


REQUIRED_COLUMNS = ("content", "style")
EXCERPT_SETTINGS = ("content_start_s", "content_end_s", "style_start_s", "style_end_s")
FLOAT_SETTINGS = ("strength", *(term.weight.name for term in TERMS), *EXCERPT_SETTINGS)
INTEGER_SETTINGS = ("iterations", "seed")
ROW_SETTINGS = FLOAT_SETTINGS + INTEGER_SETTINGS
"""Settings that a manifest may give per row."""

STYLE_WEIGHTS = "style_weights"
"""The column with the weights of a style of several; what they come to stands in the style's text."""

MANIFEST_COLUMNS = ("pair_id", *REQUIRED_COLUMNS, STYLE_WEIGHTS, *ROW_SETTINGS)
"""Columns that mean something in a manifest; any other is the user's own."""

_STRING, _FLOAT, _INT32, _INT64 = pa.string(), pa.float64(), pa.int32(), pa.int64()
_TIME = pa.timestamp("us", tz="UTC")

_STAGES = {
    "read": "reading, decoding and encoding content and style",
    "optimise": "optimising the spectrogram; a batch is shared equally by its pairs",
    "phase": "reconstructing the phase",
    "measure": "measuring the figures",
    "write": "encoding the audio and decoding it again",
}
_DESCRIPTORS = {
    "centroid_hz": "spectral centroid of the {sound}, Hz, energy-weighted mean over frames",
    "bandwidth_hz": "spectral bandwidth of the {sound}, Hz, energy-weighted mean over frames",
    "rolloff_hz": "frequency under which 85 % of the energy of the {sound} lies, Hz, energy-weighted mean over frames",
    "flatness": "spectral flatness of the {sound}, 0 (a tone) to 1 (white noise), energy-weighted mean over frames",
}


def _pair_columns() -> list[Column]:
    return [
        Column("pair_id", _STRING, "name of the pair in the manifest, given or derived from paths and row settings"),
        Column("content", _STRING, "URI of the content sound"),
        Column(
            "style",
            _STRING,
            "URI of the style, a sound, folder or pattern; of several JSON, with the shares of a blend",
        ),
        Column("output", _STRING, "URI of the audio file; null where the pair failed"),
        Column("status", _STRING, f"`{SUCCEEDED}` or `{FAILED}`; a succeeded pair's audio exists, whole"),
        Column("error_type", _STRING, "why the pair failed, one of the error types below; null where it succeeded"),
        Column("error_message", _STRING, "what went wrong, with the path; null where the pair succeeded"),
        Column("fingerprint", _STRING, "40 hex digits over everything that decides the result; names the audio file"),
        Column("content_identity", _STRING, "sha256 of the content file's bytes; null where it could not be read"),
        Column(
            "style_identity",
            _STRING,
            "sha256 of the style file's bytes, or of those of its clips; null where one could not be read",
        ),
    ]


def _share(term: Term) -> str:
    laid_out = term.share_laid_out
    return "" if laid_out == 1 else f", of which {laid_out:g} counts where `notes` is `content`"


def _setting_columns() -> list[Column]:
    return [
        Column(
            "settings",
            _STRING,
            "resolved settings of the pair, a JSON object; "
            "`notes`, `strength`, `channels` and `file_format` where they differ from `content`, 1, `keep` and `flac`; "
            "an excerpt only where there is one",
        ),
        Column("strength", _FLOAT, "how far to go: 0 the content, 1 the style's voice"),
        *(Column(term.weight.name, _FLOAT, f"weight of the {term.meaning}{_share(term)}") for term in TERMS),
        Column("iterations", _INT64, "limit of the evaluations of the objective"),
        Column("seed", _INT64, "seed of the Gaussian noise that the optimisation starts from"),
        *(column for sound in REQUIRED_COLUMNS for column in _excerpt_columns(sound)),
    ]


def _excerpt_columns(sound: str) -> list[Column]:
    return [
        Column(f"{sound}_start_s", _FLOAT, f"where the excerpt of the {sound} that was used begins, s"),
        Column(f"{sound}_end_s", _FLOAT, f"where it ends, s; null: with the {sound} itself"),
    ]


def _loss_columns() -> list[Column]:
    ends = {"first": "at the first evaluation", "last": "of the audio as written, analysed again"}
    terms = [
        Column(f"loss_{end}_{term.name}", _FLOAT, f"{term.meaning} {when}, before its weight")
        for end, when in ends.items()
        for term in TERMS
    ]
    totals = [Column(f"loss_{end}_total", _FLOAT, f"weighted sum of the losses {ends[end]}") for end in ends]
    return [
        *terms,
        *totals,
        Column(
            "loss_curve",
            pa.list_(_FLOAT),
            "what was minimised, after each evaluation: at half the resolution, of the log-spectrogram, of the sound",
        ),
        Column("evaluations", _INT32, "how often the objective was evaluated"),
        Column(
            "stop_reason",
            _STRING,
            "why the optimisation ended: `iterations`, `tolerance`, `no further descent` or `diverged`",
        ),
    ]


def _seconds_columns() -> list[Column]:
    stages = [Column(f"seconds_{stage}", _FLOAT, f"time for {meaning}, s") for stage, meaning in _STAGES.items()]
    return [*stages, Column("seconds_total", _FLOAT, "sum of the pair's stages, s")]


def _provenance_columns() -> list[Column]:
    return [
        Column("device", _STRING, "device that computed the pair, as torch names it"),
        Column("version", _STRING, "release of timbreflow"),
        Column("core_version", _INT32, "version of the computation, raised when its results change"),
        Column("torch_version", _STRING, "release of PyTorch"),
        Column("weights_digest", _STRING, "sha256 of the network's weights"),
        Column("file_sha256", _STRING, "sha256 of the audio file's bytes"),
        Column("samples_sha256", _STRING, "sha256 of the decoded samples (little-endian 32-bit PCM)"),
        Column("duration_s", _FLOAT, "length of the output, s"),
        Column("n_samples", _INT64, "length of the output, samples"),
        Column("sample_rate", _INT32, "sampling rate of the output, Hz"),
        Column("n_channels", _INT32, "channels of the output"),
        Column("gain_db", _FLOAT, "the one constant gain applied after the phase reconstruction, dB"),
    ]


def _descriptor_columns() -> list[Column]:
    return [
        Column(f"{sound}_{name}", _FLOAT, meaning.format(sound=sound))
        for sound in ("content", "style", "output")
        for name, meaning in _DESCRIPTORS.items()
    ]


def _figure_columns() -> list[Column]:
    return [Column(figure.name, _FLOAT, figure.description) for figure in FIGURES]


def _run_columns() -> list[Column]:
    return [
        Column("run_id", _STRING, "run that computed this row"),
        Column("shard", _INT32, "shard of that run, counted from 0"),
        Column("started_at", _TIME, "when work on the pair's batch began, UTC"),
        Column("finished_at", _TIME, "when the row was complete, UTC"),
    ]


RESULT_COLUMNS: tuple[Column, ...] = (
    *_pair_columns(),
    *_setting_columns(),
    *_loss_columns(),
    *_seconds_columns(),
    *_provenance_columns(),
    *_descriptor_columns(),
    *_figure_columns(),
    *_run_columns(),
)
"""The result table, in order. Any column may be null where its value is not known; figures are null, never NaN."""

RESULT_SCHEMA = pa.schema(
    [(column.name, column.type) for column in RESULT_COLUMNS],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)

REDEFINED = {"texture_transfer": 2}
"""Columns whose meaning has changed, and the schema version since which it is that of today."""

RESERVED = frozenset(RESULT_SCHEMA.names) - frozenset(MANIFEST_COLUMNS)
"""Names of result columns that a manifest must not use for columns of its own."""

ERROR_TYPES: dict[str, str] = {
    "missing": "the sound does not exist",
    "is_folder": "the path is a folder, not a sound",
    "empty": "the file has no bytes, or the sound no samples",
    "truncated": "the file is damaged, or ends before the length that its header promises",
    "not_audio": "the file is in no format that can be decoded; the message names it where it is known",
    "too_short": "the sound, or its excerpt, is shorter than 0.2 s by more than 0.02 s",
    "too_long": "the content, or its excerpt, is longer than an hour, or the style than a day, by more than 0.5 s",
    "beyond_end": "the excerpt begins after the end of the sound, or ends after it by more than 0.1 s",
    "silent": "the sound is silence",
    "not_finite": "the sound has samples that are NaN, infinite or larger than in any scale (2^32)",
    "decode_limit": "decoding the sound takes more memory or time than is allowed, or crashes the decoder",
    "style_clips": "the style's folder or pattern holds no sound or too many, or it is an excerpt of several clips",
    "too_many_channels": "the content has more than 8 channels, and the result is to keep them",
    "diverged": "the optimisation left the finite numbers",
    "storage": "reading or writing failed on the way (network, permission, full disk)",
    "out_of_memory": "the device or the machine had too little memory",
    "device_process": "the process that computed it died, or stood still, twice; the message says how",
    "internal": "a defect of timbreflow; the message has what is needed to report it",
}
"""Why a pair can fail, and what each name means."""

TRANSIENT_ERRORS = frozenset({"storage", "out_of_memory", "device_process"})
"""Error types that may pass: the next run tries these pairs again. All others wait for `retry_failed`."""
