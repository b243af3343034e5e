"""`timbreflow export`: results for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flows.command_options import OPTIONS
from flows.model_options import takes
from flows.terminal import EXIT_PROBLEMS, console, refusing
from tasks.options import RunOptions

export_app = typer.Typer(help="Give results to other programs.", no_args_is_help=True)


@export_app.command("folder", epilog="Example: `timbreflow export folder results/ listen/ --name '{style}_{content}'`")
@takes(options={name: OPTIONS[name] for name in ("name", "copies")})
def export_folder_(
    root: Annotated[str, typer.Argument(help="Output root: a folder or s3://; or a snapshot of one.")],
    folder: Annotated[str, typer.Argument(help="Folder for the audio, or s3://.")],
    options: Mapping[str, Any],
    starred: Annotated[
        str | None, typer.Option(help="Only the pairs with a star in this CSV, which a listening report has saved.")
    ] = None,
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
