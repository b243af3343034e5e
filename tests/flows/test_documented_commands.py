"""Every command that a document sets off is run here, in the order of its page, or has a reason below why not."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.conftest import Typed
from tests.tasks.corpus import write_cut

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("timbreflow", "python", "prefect", "make", "pip", "apt-get", "ray", "export", "for")

NOT_HERE = {
    r"make (demo|test)\b": "whoever starts runs them; tests/test_demo.py holds what the first one makes",
    r"make (quality|truth)\b": "half an hour each; tests/benchmarks/test_quality.py and test_truth.py: tiny sounds",
    r"(apt-get|pip) install": "would change the machine",
    r"export ": "sets what the commands after it need",
    r"prefect server start": "tests/deployment.py starts it so for every test of a deployment",
    r"prefect work-pool create|prefect --no-prompt deploy|prefect worker start": "tests/deployment.py does it so",
    r"prefect deployment run 'cross-synthesis/ray'": "tests/flows/test_ray.py",
    r"prefect deployment run 'cross-synthesis/local'": "tests/flows/test_deployment.py, with fewer evaluations",
    r"for n in 0 1": "tests/flows/test_slices.py",
    r"prefect deployment schedule": "tests/flows/test_deployment.py looks at the schedule; its ID is the server's",
    r"timbreflow doctor": "tests/flows/test_doctor.py, on servers of its own",
    r"timbreflow run pairs.parquet results/ --runner ray": "tests/flows/test_ray.py",
    r"ray start": "tests/flows/test_ray_cluster.py",
}
"""Patterns of the beginnings of commands, and why they are not run here."""


def blocks(document: str) -> Iterator[list[str]]:
    """Give the lines of each block that is set off by four spaces; a line that goes on is one with the next."""
    for block in re.findall(r"(?:\A|(?<=\n\n))((?: {4}.*\n|\n(?= {4}))+)", document):
        text = re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
        yield [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]


def commands(document: str) -> Iterator[str]:
    """Give the commands of a document: a line each, or a whole block of Python."""
    for lines in blocks(document):
        if lines[0].startswith("import "):
            yield "\n".join(lines)
        else:
            yield from (line.strip() for line in lines if line.split()[0] in PROGRAMS)


def reason_against(command: str) -> str | None:
    """Return the pattern that keeps a command from being run here."""
    return next((pattern for pattern in NOT_HERE if re.match(pattern, command)), None)


def to_run(path: Path) -> list[str]:
    return [command for command in commands(path.read_text()) if reason_against(command) is None]


@pytest.fixture
def shell(typed_with_server: Typed, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what runs a command as a shell would, in this process."""

    def run(command: str) -> None:
        words = shlex.split(command, comments=True) if not command.startswith("import ") else ["python", "-c", command]
        if ">" in words:
            words = words[: words.index(">")]
        if words[0] == "python":
            assert words[1] == "-c", f"{command}: only small programs are run here"
            with redirect_stdout(StringIO()) as said:
                exec(words[2], {"__name__": "__main__"})
            if "print" in words[2]:
                assert said.getvalue().strip()
            return
        code, answer = typed_with_server(*words[1:])
        assert code == 0, f"{command}\n{answer}"
        assert answer.strip(), f"{command} says nothing"

    return run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sounds that the documents' commands name; what they make stays for those after them."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, demo in (
        ("voice.wav", "singing_phrase"),
        ("glass.wav", "glass_rub"),
        ("voices/alto.wav", "singing_phrase"),
        ("voices/flute.wav", "flute_phrase"),
        ("glass/rub.wav", "glass_rub"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        write_cut(folder / name, demo, 0.3)
    (folder / "pairs.csv").write_text("content,style\nvoices/alto.wav,glass/rub.wav\nvoices/flute.wav,glass/rub.wav\n")
    return folder


@pytest.fixture
def prepared(corpus: Path, shell: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in the corpus's folder, where its results are, also those of a greater strength."""
    monkeypatch.chdir(corpus)
    if not (corpus / "results").exists():
        shell("timbreflow manifest build --from pairs.csv --out pairs.parquet")
        shell("timbreflow run pairs.parquet results/")
        shell("timbreflow run pairs.parquet results-strength-2/ --strength 2")
        for root, other in (("results", "output"), ("results-strength-2", "other-output"), ("results", "output/demo")):
            shutil.copytree(root, other)
    return corpus


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("path", [path for path in DOCUMENTS if to_run(path)], ids=lambda path: path.name)
def test_the_commands_of_a_document_work_in_its_order(path: Path, shell: Callable[[str], None]) -> None:
    for command in to_run(path):
        shell(command)


def test_what_is_not_run_here_has_its_reason_and_each_reason_is_needed() -> None:
    all_commands = [command for path in DOCUMENTS for command in commands(path.read_text())]
    assert {reason_against(command) for command in all_commands} == {None, *NOT_HERE}
    for reason in NOT_HERE.values():
        for name in re.findall(r"(?:tests/[\w/]+|test_\w+)\.py", reason):
            assert (ROOT / name).exists() or list(ROOT.glob(f"tests/*/{name}")), reason
