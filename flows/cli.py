"""The `timbreflow` command line. Heavy libraries are imported by the command that needs them: `--help` is instant."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.command_options import OPTIONS, SETTINGS, Changes, PresetName, chosen_settings
from flows.environment import reach_server, set_defaults
from flows.export_command import export_app
from flows.manifest_command import manifest_app
from flows.model_options import takes
from flows.ray_cluster import refuse_runner
from flows.report_command import EPILOG as REPORT_EPILOG
from flows.report_command import report
from flows.results_command import SHOWN_ROWS, compare, results, show_overview
from flows.terminal import EXIT_PROBLEMS, console, errors, say_note, show
from flows.terminal import refuse as _refuse
from flows.terminal import refusing as _refusing
from stylecore.settings import Settings
from tasks.options import RunOptions

if TYPE_CHECKING:
    from flows.cross_synthesis import NothingComputed
    from tasks.ledger.close import RunSummary

EXIT_FAILED_PAIRS = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="timbreflow",
    help="Neural cross-synthesis for whole corpora: the content's phrase in the style's timbre.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(manifest_app, name="manifest")
app.add_typer(export_app, name="export")
app.command(epilog="Example: `timbreflow results results/ --where \"status = 'failed'\" --csv`")(results)
app.command(epilog="Example: `timbreflow compare results/ results-strength-2/`")(compare)
app.command(epilog=REPORT_EPILOG)(report)


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
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON, on one line.")] = False,
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
            say_note(note)
        if dry_run:
            _dry_run(manifest, output, chosen, asked, as_json)
        else:
            _run(manifest, output, chosen, asked, as_json)


def _dry_run(manifest: str, output: str, settings: Settings, options: RunOptions, as_json: bool) -> None:
    from flows.terminal_tables import plan_table
    from tasks.planning.preview import preview_run

    preview = preview_run(manifest, output, settings, options)
    if as_json:
        print(json.dumps(asdict(preview)))
        return
    console.print(plan_table(preview))
    for note in preview.notes:
        say_note(note)


def _run(manifest: str, output: str, settings: Settings, options: RunOptions, as_json: bool) -> None:
    summary = _summary_of(manifest, output, settings, options)
    if isinstance(summary, Exception):
        if as_json:
            print(json.dumps({"state": "failed", "error": str(summary)}))
        else:
            _show_run(output)
            console.print(f"[bold red]Failed:[/] {escape(str(summary))}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED_PAIRS)
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        _show_run(output)
        _say_how_it_ended(summary)
    if summary.failed or summary.counts["failed_before"]:
        raise typer.Exit(EXIT_FAILED_PAIRS)


def _say_how_it_ended(summary: RunSummary) -> None:
    from flows.export_stage import ExportedRun
    from flows.report_stage import ReportedRun
    from flows.terminal_tables import run_report

    console.print(run_report(summary), soft_wrap=True)
    if isinstance(summary, ReportedRun) and summary.report:
        console.print(f"Listen and look: {summary.report}", soft_wrap=True, markup=False, highlight=False)
    if isinstance(summary, ExportedRun):
        console.print(f"Exported: {summary.exported}", soft_wrap=True, markup=False, highlight=False)


def _summary_of(manifest: str, output: str, settings: Settings, options: RunOptions) -> RunSummary | NothingComputed:
    """Run the flow, and return how it ended; what ends it early ends the command."""
    from httpx import TransportError
    from prefect.exceptions import TerminationSignal

    from flows.cross_synthesis import NothingComputed, cross_synthesis
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
    return summary


def _show_run(output: str) -> None:
    """Show the table of a run that has ended; runs on other shards may be at work still, and there is none."""
    from tasks.ledger.query import find_table, read_overview
    from tasks.storage.storage import Storage

    with suppress(FileNotFoundError):
        show_overview(read_overview(find_table(output, Storage()), Storage(), SHOWN_ROWS))


@app.command(epilog="Example: `timbreflow pair harp.wav fork.wav out.flac --strength 0.8`")
@takes(options={name: OPTIONS[name] for name in ("device", "weights")}, settings=SETTINGS)
def pair(
    content: Annotated[str, typer.Argument(help="The sound whose phrase is kept.")],
    style: Annotated[str, typer.Argument(help="Whose timbre is taken: a sound, a folder or pattern, JSON of several.")],
    out: Annotated[str, typer.Argument(help="File to write: .flac, .wav or .ogg.")],
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
