"""The listening report of an output root: a page beside the results, which opens from a disk, a server or a bucket.

The table is read twice, some thousand rows at a time: once for all that is counted and for the rows of the page, and
once for those pairs that are chosen by it. The page is written last, so that what it names is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from tasks.ledger.query import ResultTable, of_one_version, read_overview, table_in_root
from tasks.options import REPORT_PAIRS
from tasks.reporting.addresses import Addresses, refuse_signing
from tasks.reporting.blind_questions import blind_questions
from tasks.reporting.choosing import Candidates
from tasks.reporting.embedded_sounds import EmbeddedSounds, NotEmbedded
from tasks.reporting.judging import BALANCE, described, words
from tasks.reporting.report_errors import ReportError
from tasks.reporting.report_files import PAGE, ReportFiles, report_folder
from tasks.reporting.report_page import rendered_page
from tasks.reporting.report_rows import MOST_ROWS, report_rows, rows_at, rows_script
from tasks.reporting.report_summary import Summary, failures, run_facts
from tasks.storage.storage import Storage, StorageConflict

Progress = Callable[[int, int], None]
"""Is told how many pairs are embedded, and of how many."""


class Asked(NamedTuple):
    """What a report is to hold.

    Attributes
    ----------
    most : int
        The best, the worst and the random pairs that it holds with their sound, each; questions of the blind test.
    by : str
        Figure that says which pairs are the best.
    against : str or None
        Another output root, for a blind test of the two.
    presign_hours : float or None
        Sign the addresses of all files for so many hours, for a bucket that is private.
    """

    most: int = REPORT_PAIRS
    by: str = BALANCE
    against: str | None = None
    presign_hours: float | None = None


DEFAULT = Asked()


class Report(NamedTuple):
    """What became of a report: the address of its page, the pairs with and without sound in it, and its bytes."""

    address: str
    embedded: int
    pairs: int
    size: int

    def sentence(self) -> str:
        """Return it in one line."""
        return f"{self.address} ({self.pairs} pairs, {self.embedded} with their sound, {self.size / 1e6:.1f} MB)"


def write_report(root: str, asked: Asked = DEFAULT, progress: Progress = lambda done, total: None) -> Report:
    """Write the report of an output root into its folder `report/`, in the place of an older one.

    Parameters
    ----------
    root : str
        Output root, or a snapshot of one; local or s3://.
    asked : Asked
        What it is to hold.
    progress : callable, optional
        Is told how far it is.

    Raises
    ------
    ReportError
        If it cannot be made as it was asked for; nothing has been changed.
    FileNotFoundError, ManifestError, StorageError
        If there are no results, or their table is damaged, or the storage fails; an older page stays.
    """
    files = Storage()
    known = [figure["name"] for figure in described()]
    if asked.by not in known:
        raise ReportError(f"by='{asked.by}': no figure. Use one of {', '.join(known)}")
    table, own_root = table_in_root(root, files)
    other = None if asked.against is None else table_in_root(asked.against, files)[0]
    refuse_signing(own_root, asked.presign_hours)
    return of_one_version(lambda: _Writing(table, own_root, asked, files).written(other, progress))


class _Writing:
    """A report while it is written."""

    def __init__(self, table: ResultTable, root: str, asked: Asked, files: Storage) -> None:
        self._table, self._root, self._asked, self._files = table, root, asked, files
        self._report = ReportFiles(report_folder(root), files)
        self._addresses = Addresses(root, self._report.folder, files, asked.presign_hours)
        self._sounds = EmbeddedSounds(root, self._report, files)
        self._summary, self._candidates = Summary(), Candidates(asked.by)

    def written(self, other: ResultTable | None, progress: Progress) -> Report:
        """Write all of it, the page last; then remove what an older one has left.

        Raises
        ------
        StorageConflict
            If a run has replaced the table meanwhile.
        """
        version = self._files.stat(self._table.uri)
        scripts = self._write_rows()
        best, worst, sample = self._candidates.chosen(self._asked.most)
        pairs = self._embedded(dict.fromkeys([*best, *worst, *sample]), progress)
        blind = blind_questions(self._table, other, self._candidates, self._asked.most, self._sounds, self._files)
        data = {
            "root": self._root,
            "by": self._asked.by,
            "figures": described(),
            "words": words(),
            "total": self._summary.total,
            "rows": self._summary.shown,
            "scripts": scripts,
            **{"best": best, "worst": worst, "sample": sample, "pairs": pairs, "blind": blind},
            "addresses": self._addresses.of_files(self._report.names),
        }
        if self._files.stat(self._table.uri) != version:  # rows are known by their numbers
            raise StorageConflict(f"'{self._table.uri}' was replaced while it was read: a run is at work. Try again")
        self._report.write(PAGE, rendered_page(self._told(bool(blind["trials"])), data))
        self._report.remove_older()
        heard = sum("result" in pair["tracks"] for pair in pairs.values())
        return Report(self._addresses.of_page(PAGE), heard, self._summary.total, self._report.size)

    def _write_rows(self) -> list[str]:
        """Count and judge all rows, and write those that the page is given as scripts, whose names are returned."""
        names: list[str] = []
        for piece in report_rows(self._table.uri, self._files):
            self._summary.offer(piece)
            start = self._summary.shown
            if start + piece.num_rows <= MOST_ROWS:
                self._candidates.offer(piece, start)
                names.append(f"rows-{len(names):03d}.js")
                self._report.write(names[-1], rows_script(piece, start, self._addresses).encode())
                self._summary.shown += piece.num_rows
        return names

    def _embedded(self, wanted: Collection[int], progress: Progress) -> dict[int, dict[str, Any]]:
        """Write the sounds of some pairs, in their order, as many as there is room for."""
        rows, pairs = rows_at(self._table.uri, wanted, self._files), {}
        for count, row in enumerate(wanted, 1):
            try:
                pairs[row] = self._sounds.pair(rows[row])
            except NotEmbedded:
                break
            progress(count, len(wanted))
        return pairs

    def _told(self, has_blind_test: bool) -> dict[str, Any]:
        """Return what the template shows."""
        overview = read_overview(self._table, self._files, 0)
        return {
            "root": self._root,
            "facts": run_facts(self._root, sorted(self._summary.runs), self._files),
            "summary": self._summary,
            "overview": overview,
            "failures": failures(overview),
            "distributions": self._summary.distributions(),
            "has_blind_test": has_blind_test,
        }
