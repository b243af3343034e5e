"""The `timbreflow` command line. Heavy libraries are imported by the command that needs them: `--help` is instant."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.environment import reach_server, set_defaults
from flows.model_options import fields_of, takes
from flows.ray_cluster import refuse_runner
from flows.report_command import EPILOG as REPORT_EPILOG
from flows.report_command import report
from flows.terminal import console, errors, show
from flows.terminal import refuse as _refuse
from flows.terminal import refusing as _refusing
from stylecore.settings import PRESETS, Settings, SettingsError, preset
from tasks.options import RunOptions

if TYPE_CHECKING:
    from tasks.ledger.query import Overview

EXIT_FAILED_PAIRS = 1
EXIT_PROBLEMS = 1
EXIT_INTERRUPTED = 130

SHOWN_ROWS = 50
"""Of a table of results; the means are of all."""

SHOWN_REASONS = 5
"""Messages of each error type that are shown; all of `--status failed` that there is room for."""

app = typer.Typer(
    name="timbreflow",
    help="Neural cross-synthesis for whole corpora: the content's phrase in the style's timbre.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
manifest_app = typer.Typer(help="Build and check manifests of content x style pairs.", no_args_is_help=True)
app.add_typer(manifest_app, name="manifest")
export_app = typer.Typer(help="Give results to other programs.", no_args_is_help=True)
app.add_typer(export_app, name="export")
app.command(epilog=REPORT_EPILOG)(report)
PresetName = Annotated[
    str, typer.Option("--preset", help=f"Settings to start from: {', '.join(PRESETS)}; shown below is default.")
]
Changes = Annotated[
    list[str], typer.Option("--set", help="Change a setting by its name in manifests: `--set style_layers=1,2`.")
]
SETTINGS, OPTIONS = fields_of(Settings, "Sound"), fields_of(RunOptions, "Where and how")


def _show_version(asked: bool) -> None:
    if asked:
        console.print(f"timbreflow {version('timbreflow')}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version_: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass


def chosen_settings(name: str, changes: list[str], given: Mapping[str, str] | None = None) -> Settings:
    """Return a preset with `key=value` changes, and those that have an option of their own, put over it.

    Raises
    ------
    SettingsError
        If the preset or a setting is unknown, a value is out of bounds, there is none, or there are two.
    """
    chosen, given = preset(name), given or {}
    values = dict(given)
    for change in changes:
        key, equals, value = (part.strip() for part in change.partition("="))
        if not equals or not key:
            example = f"{key}={getattr(chosen, key)}" if key in Settings.model_fields else "strength=0.8"
            raise SettingsError(f"--set '{change}': a setting and its value, for example `--set {example}`")
        if key in given:
            raise SettingsError(f"--set '{change}': --{key.replace('_', '-')} says {given[key]}; give one of the two")
        values[key] = value
    layers = {key: value.split(",") for key, value in values.items() if key.endswith("_layers")}
    return chosen.resolve({**values, **layers})


@app.command(epilog="Example: `timbreflow run pairs.parquet results/ --strength 0.8`")
@takes(options=OPTIONS, settings=SETTINGS)
def run(
    manifest: Annotated[str, typer.Argument(help="Parquet manifest: a file, a folder of them, or s3://.")],
    output: Annotated[str, typer.Argument(help="Output root: a folder or s3://.")],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    preset: PresetName = "default",
    set_: Changes = [],  # noqa: B006 (typer wants a list)
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be computed.")] = False,
) -> None:
    """Synthesise every pair of MANIFEST that is not up to date into OUTPUT.

    Exits 0 if no pair has failed, 1 if some have, now or in an earlier run that left them so, 2 if the run was refused,
    130 if it was interrupted.
    """
    set_defaults()
    with _refusing():
        chosen, asked = chosen_settings(preset, set_, settings), RunOptions(**options)
        refuse_runner(manifest, output, asked)
        if asked.export is not None:
            from tasks.exporting.folder import refuse_export

            refuse_export(manifest, output, asked.export, asked.name)
        from manifests.reading.reader import notes
        from tasks.storage.storage import Storage

        for note in notes(manifest, Storage()):
            _note(note)
        if dry_run:
            _dry_run(manifest, output, chosen, asked)
        else:
            _run(manifest, output, chosen, asked)


def _dry_run(manifest: str, output: str, settings: Settings, options: RunOptions) -> None:
    from flows.terminal_tables import plan_table
    from tasks.planning.preview import preview_run

    preview = preview_run(manifest, output, settings, options)
    console.print(plan_table(preview))
    for note in preview.notes:
        _note(note)


def _run(manifest: str, output: str, settings: Settings, options: RunOptions) -> None:
    from httpx import TransportError
    from prefect.exceptions import TerminationSignal

    from flows.cross_synthesis import NothingComputed, cross_synthesis
    from flows.export_stage import ExportedRun
    from flows.report_stage import ReportedRun
    from flows.terminal_tables import run_report
    from tasks.ledger.close import RunSummary

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Python's own would end us with the server left running
    try:
        if (problem := reach_server()) is not None:
            _refuse(problem)
        state = cross_synthesis(manifest, output, settings, options, return_state=True)
    except (KeyboardInterrupt, TerminationSignal):
        errors.print("[bold yellow]Interrupted.[/] What is committed stays; run the same command again to go on.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except TransportError as error:
        errors.print(
            f"[bold red]Prefect's server is gone[/] ({error}). What is committed stays; run it again to go on.",
            soft_wrap=True,
        )
        # At its end Prefect would try for a minute to tell the server more, and print what it could not tell.
        os._exit(EXIT_INTERRUPTED)
    summary = state.result(raise_on_failure=False)
    if not isinstance(summary, RunSummary | NothingComputed):
        _refuse(summary)
    _show_run(output)
    if isinstance(summary, NothingComputed):
        console.print(f"[bold red]Failed:[/] {escape(str(summary))}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED_PAIRS)
    console.print(run_report(summary), soft_wrap=True)
    if isinstance(summary, ReportedRun) and summary.report:
        console.print(f"Listen and look: {summary.report}", soft_wrap=True, markup=False, highlight=False)
    if isinstance(summary, ExportedRun):
        console.print(f"Exported: {summary.exported}", soft_wrap=True, markup=False, highlight=False)
    if summary.failed or summary.counts["failed_before"]:
        raise typer.Exit(EXIT_FAILED_PAIRS)


def _show_run(output: str) -> None:
    """Show the table of a run that has ended; runs on other shards may be at work still, and there is none."""
    from tasks.ledger.query import find_table, read_overview
    from tasks.storage.storage import Storage

    with suppress(FileNotFoundError):
        _show(read_overview(find_table(output, Storage()), Storage(), SHOWN_ROWS), None)


@app.command(epilog="Example: `timbreflow pair harp.wav fork.wav out.flac --strength 0.8`")
@takes(options={name: OPTIONS[name] for name in ("device", "weights")}, settings=SETTINGS)
def pair(
    content: Annotated[str, typer.Argument(help="The sound whose phrase is kept.")],
    style: Annotated[str, typer.Argument(help="The sound whose timbre is taken.")],
    out: Annotated[str, typer.Argument(help="FLAC file to write.")],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    preset: PresetName = "default",
    set_: Changes = [],  # noqa: B006 (typer wants a list)
) -> None:
    """Synthesise one pair; no manifest, no server."""
    with _refusing():
        chosen, asked = chosen_settings(preset, set_, settings), RunOptions(**options)
        from flows.terminal_tables import pair_table
        from tasks.pipeline.single import synthesise_single

        with console.status("optimising"):
            row = synthesise_single(content, style, out, chosen, asked.device, asked.weights)
    if row["status"] == "failed":
        errors.print(f"[bold red]Failed:[/] {row['error_type']}: {escape(str(row['error_message']))}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED_PAIRS)
    show(pair_table(row))
    console.print(f"Listen: {row['output']}", soft_wrap=True, markup=False, highlight=False)


@app.command(epilog="Example: `timbreflow results results/ --status failed`")
def results(
    output: Annotated[str, typer.Argument(help="Output root: a folder or s3://; or a table of one, .parquet.")],
    status: Annotated[str | None, typer.Option(help="Only rows with this status: succeeded or failed.")] = None,
) -> None:
    """Show the newest results of OUTPUT: what failed and why, the figures of what succeeded, and where to listen."""
    if status not in (None, "succeeded", "failed"):
        _refuse(f"--status {status}: expected succeeded or failed")
    with _refusing():
        from tasks.ledger.query import find_table, lost_audio, read_overview
        from tasks.storage.storage import Storage

        files = Storage()
        table = find_table(output, files)
        overview = read_overview(table, files, SHOWN_ROWS)
        overview.missing = lost_audio(table, files)
        _show(overview, status)


def _show(overview: Overview, status: str | None) -> None:
    from flows.results_view import TITLE, failures, listening, succeeded

    if status != "succeeded":
        most = SHOWN_REASONS if status is None else SHOWN_ROWS
        console.print(failures(overview, most), soft_wrap=True)
    if status != "failed" and overview.succeeded:
        console.print(TITLE, soft_wrap=True, highlight=False)
        show(succeeded(overview, console.width))
        console.print(listening(overview), soft_wrap=True)


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
    with _refusing():
        asked = RunOptions(**options, export=folder)
        from flows.export_display import shown_export
        from tasks.exporting.folder import export_folder

        with shown_export() as progress:
            exported = export_folder(root, folder, asked.name, asked.copies, progress, starred)
    console.print(exported.sentence(), markup=False, highlight=False, soft_wrap=True)
    if exported.missing or exported.taken:
        raise typer.Exit(EXIT_PROBLEMS)


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
        _refuse("--from names pairs already: give it alone, or --content and --style without it")
    with _refusing():
        from manifests.building.builder import build_from_csv, build_manifest
        from tasks.storage.storage import Storage

        if from_ is not None:
            count = build_from_csv(from_, out, Storage(), _note)
        else:
            count = build_manifest(content, style, pairing, out, Storage(), seed, _note)
        console.print(f"{count} pairs in {out}", markup=False, soft_wrap=True)


def _note(sentence: str) -> None:
    """Say what is no fault and yet should be known."""
    errors.print(f"[yellow]Note:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


@manifest_app.command("check", epilog="Example: `timbreflow manifest check pairs.parquet`")
def manifest_check(manifest: Annotated[str, typer.Argument(help="Manifest to check.")]) -> None:
    """Check a manifest's columns, types, ids and settings; reads no sound."""
    with _refusing():
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
            _note(note)


@app.command(epilog="Example: `timbreflow doctor s3://bucket/results --fix`")
def doctor(
    root: Annotated[str | None, typer.Argument(help="Output root to try: a folder or s3://.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Do first what can be done from here.")] = False,
) -> None:
    """Check this machine, the Prefect server it names, and an output root, for runs that nobody watches.

    Exits 0 if nothing is a problem, 1 otherwise. --fix makes the work pool and the automation that marks dead runs.
    """
    set_defaults()
    os.environ.setdefault("TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S", "5")  # somebody waits for the answer
    from flows.checks import checks_remedies, checks_table
    from flows.doctor import examine, repair

    checks = examine(root)
    if fix:
        for name, outcome in repair(checks):
            console.print(f"{name}: {outcome}", markup=False, soft_wrap=True)
        checks = examine(root)
    show(checks_table(checks))
    console.print(checks_remedies(checks), soft_wrap=True, end="")
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(EXIT_PROBLEMS)


@app.command(epilog="Example: `timbreflow gc results/ --keep-days 30 --dry-run`")
def gc(
    root: Annotated[str, typer.Argument(help="Output root: a folder or s3://.")],
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Keep what the snapshots and rows of so many days name.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove the audio of ROOT that no snapshot names, and make one file of its history.

    Refuses while a run is at work there. What was removed is computed again if a manifest asks for it.
    """
    with _refusing():
        from flows.terminal_tables import garbage_table
        from tasks.ledger.gc import collect

        console.print(garbage_table(collect(root, keep_days, dry_run), dry_run))


SOUNDFONTS = [
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/MuseScore_General_Full.sf2",
    "/usr/share/minuet/soundfonts/GeneralUser-v1.47.sf2",
    "/usr/share/sounds/sf2/OPL-3_FM_128M.sf2",
]


@app.command(epilog="Example: `timbreflow pretrain --steps 7000 --out weights/`")
def pretrain(
    out: Annotated[str, typer.Option(help="Folder for the weights, the model card and the checkpoint.")] = "training",
    soundfont: Annotated[list[str], typer.Option(help="Soundfont to train on; may be repeated.")] = SOUNDFONTS,
    unseen_soundfont: Annotated[
        str, typer.Option(help="Soundfont for the final test, never trained on.")
    ] = "/usr/share/sounds/sf2/TimGM6mb.sf2",
    selection: Annotated[
        str | None, typer.Option(help="Patches (.cfg of timidity) or soundfont to measure on while training.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Weights to start from; random ones without it.")] = None,
    notes: Annotated[int, typer.Option(min=10, help="Notes per instrument and soundfont.")] = 150,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 32 crops.")] = 7000,
    seed: Annotated[int, typer.Option(min=0, help="Of notes, weights and draws.")] = 0,
) -> None:
    """Render notes of 80 instruments, train the network on them, and measure it on pitches and a soundfont unheard.

    Needs fluidsynth and soundfonts: `apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont-lossless
    minuet-data opl3-soundfont timgm6mb-soundfont`. A killed run goes on from its checkpoint.
    """
    with _refusing():
        from stylecore.pretraining.model_card import Pretraining
        from stylecore.pretraining.pretrain import pretrain_network
        from tasks.devices.freed_memory import keep_freed_memory

        asked = Pretraining(tuple(soundfont), unseen_soundfont, selection, start, out, notes, steps, seed)
        keep_freed_memory()
        card = pretrain_network(asked, console.print)
        console.print(card, soft_wrap=True, markup=False)


if __name__ == "__main__":
    app()
