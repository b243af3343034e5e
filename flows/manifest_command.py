"""`timbreflow manifest`: manifests built and checked."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import console, refuse, refusing, say_note
from stylecore.settings import Settings

manifest_app = typer.Typer(help="Build and check manifests of content x style pairs.", no_args_is_help=True)


@manifest_app.command(
    "build", epilog="Example: `timbreflow manifest build --content voices/ --style 'glass/*.wav' --out pairs.parquet`"
)
def manifest_build(
    out: Annotated[str, typer.Option(help="Manifest to write: a name that ends with .parquet.")],
    content: Annotated[list[str], typer.Option(help="Folder, glob pattern, file or s3:// prefix.")] = [],  # noqa: B006
    style: Annotated[list[str], typer.Option(help="Folder, glob pattern, file or s3:// prefix.")] = [],  # noqa: B006
    pairing: Annotated[str, typer.Option(help="cross, zip, or sample:N for N random pairs.")] = "cross",
    seed: Annotated[int, typer.Option(min=0, help="Seed of sample:N.")] = 0,
    from_: Annotated[
        str | None, typer.Option("--from", help="Convert a CSV file instead: UTF-8, with a header.")
    ] = None,
) -> None:
    """Build a manifest from folders, patterns, S3 prefixes or a CSV file."""
    if from_ is not None and (content or style):
        refuse("--from names pairs already: give it alone, or --content and --style without it")
    with refusing():
        from manifests.building.builder import build_from_csv, build_manifest
        from tasks.storage.storage import Storage

        if from_ is not None:
            count = build_from_csv(from_, out, Storage(), say_note)
        else:
            count = build_manifest(content, style, pairing, out, Storage(), seed, say_note)
        console.print(f"{count} pairs in {out}", markup=False, soft_wrap=True)


@manifest_app.command("check", epilog="Example: `timbreflow manifest check pairs.parquet`")
def manifest_check(manifest: Annotated[str, typer.Argument(help="Manifest to check.")]) -> None:
    """Check a manifest's columns, types, ids and settings; reads no sound."""
    with refusing():
        from manifests.files import absolute
        from manifests.reading.reader import check
        from tasks.storage.storage import Storage

        summary = check(absolute(manifest), Storage(), Settings().resolve)
        own = f", your columns: {', '.join(summary.user_columns)}" if summary.user_columns else ""
        console.print(
            f"{manifest}: {summary.pairs} pairs of {summary.contents} contents and {summary.styles} styles{own}",
            markup=False,
            soft_wrap=True,
        )
        for note in summary.notes:
            say_note(note)
