"""`timbreflow export`: results for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.command_options import OPTIONS
from flows.model_options import takes
from flows.terminal import EXIT_PROBLEMS, console, refusing
from tasks.options import RunOptions

if TYPE_CHECKING:
    from tasks.exporting.sharded import ShardForm

Root = Annotated[str, typer.Argument(help="Output root: a folder or s3://; or a snapshot of one.")]
Destination = Annotated[str, typer.Argument(help="New folder, or s3://, or that of an earlier export of ROOT.")]

Starred = Annotated[
    str | None, typer.Option(help="Only the pairs with a star in this CSV, which a listening report has saved.")
]

export_app = typer.Typer(help="Give results to other programs.", no_args_is_help=True)


@export_app.command("folder", epilog="Example: `timbreflow export folder results/ listen/ --name '{style}_{content}'`")
@takes(options={name: OPTIONS[name] for name in ("name", "copies")})
def export_folder_(
    root: Root,
    folder: Annotated[str, typer.Argument(help="Folder for the audio, or s3://.")],
    options: Mapping[str, Any],
    starred: Starred = None,
) -> None:
    """Give FOLDER the audio of all succeeded pairs of ROOT under readable names, or bring it up to date.

    Files that no export has made stay as they are. Exits 1 if the audio of a pair is gone.
    """
    with refusing():
        asked = RunOptions(**options, export=folder)
        from flows.export_display import shown_export
        from tasks.exporting.folder import export_folder

        with shown_export() as progress:
            exported = export_folder(root, folder, asked.name, asked.copies, progress, starred)
    console.print(exported.sentence(), markup=False, highlight=False, soft_wrap=True)
    if exported.missing or exported.taken:
        raise typer.Exit(EXIT_PROBLEMS)


@export_app.command("hf", epilog="Example: `timbreflow export hf results/ dataset/`")
def export_hf_(root: Root, dest: Destination, starred: Starred = None) -> None:
    """Make DEST a data set for Hugging Face's `datasets`: Parquet with the audio, all columns, and a card.

    The same command brings it up to date. Exits 1 if the audio of a pair is gone.
    """
    with refusing():
        from tasks.exporting.hugging_face import HuggingFaceForm

        _export_shards(root, dest, HuggingFaceForm(), starred)


@export_app.command("webdataset", epilog="Example: `timbreflow export webdataset results/ shards/`")
def export_webdataset_(root: Root, dest: Destination, starred: Starred = None) -> None:
    """Give DEST tar files for WebDataset, with the audio of each pair and its row as JSON.

    The same command brings them up to date. Exits 1 if the audio of a pair is gone.
    """
    with refusing():
        from tasks.exporting.web_dataset import WebDatasetForm

        _export_shards(root, dest, WebDatasetForm(), starred)


@export_app.command("reaper", epilog="Example: `timbreflow export reaper results/ project/ --sort 'melody_kept desc'`")
@takes(options={"copies": OPTIONS["copies"]})
def export_reaper_(
    root: Root,
    dest: Destination,
    options: Mapping[str, Any],
    where: Annotated[str | None, typer.Option(help='Pairs: a condition of SQL, "melody_kept > 0.5".')] = None,
    sort: Annotated[str | None, typer.Option(help="Their order: `timbre_transfer desc`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most pairs.")] = 100,
    starred: Starred = None,
) -> None:
    """Make DEST a Reaper project: content, style and result on three tracks, pair after pair, and their audio.

    Exits 1 if a sound of a pair is gone, or has changed since.
    """
    with refusing():
        asked = RunOptions(**options)
        from flows.export_display import shown_export
        from tasks.exporting.reaper import export_reaper
        from tasks.ledger.selection import Selection

        with shown_export() as progress:
            wanted = Selection(where, sort, limit=limit)
            exported = export_reaper(root, dest, wanted, asked.copies, progress, starred)
    console.print(exported.sentence(), markup=False, highlight=False, soft_wrap=True)
    if exported.missing:
        raise typer.Exit(EXIT_PROBLEMS)


def _export_shards(root: str, dest: str, form: ShardForm, starred: str | None) -> None:
    from flows.export_display import shown_export
    from tasks.exporting.sharded import export_shards

    with shown_export() as progress:
        exported = export_shards(root, dest, form, progress, starred)
    console.print(exported.sentence(), markup=False, highlight=False, soft_wrap=True)
    if exported.missing or exported.too_large:
        raise typer.Exit(EXIT_PROBLEMS)
