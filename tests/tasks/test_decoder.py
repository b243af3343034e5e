"""Decoding in children: what a sound does there harms that sound alone, and all of it ends in time and memory."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from manifests.schema import ERROR_TYPES, TRANSIENT_ERRORS
from tasks.audio import sound_files as audio
from tasks.audio.sandbox import MOST_CHILDREN, Decoders
from tasks.audio.sandbox_worker import MEMORY_BYTES
from tasks.audio.sound_files import SAMPLE_RATE, AudioError, read_sound
from tasks.storage.storage import Storage
from tasks.workers.client import ChildError

FAULTY = "tests.tasks.faulty_decoder"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")


def tone(duration_s: float = 0.3) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(np.arange(round(duration_s * SAMPLE_RATE)) / 5), SAMPLE_RATE, format="WAV")
    return file.getvalue()


@pytest.fixture
def decoders(request: pytest.FixtureRequest) -> Iterator[Decoders]:
    """Yield decoders with the faults; patience in s may be a parameter."""
    decoders = Decoders(FAULTY, getattr(request, "param", 60.0))
    try:
        yield decoders
    finally:
        decoders.close()


def refused(decoders: Decoders, data: bytes) -> AudioError:
    with pytest.raises(AudioError, match="'x'") as caught:
        decoders.decode(data, "x", SAMPLE_RATE)
    return caught.value


@pytest.mark.parametrize(
    ("decoders", "fault", "message"),
    [
        (2.0, "sleeps", "takes longer than 2 s to decode"),
        (60.0, "spins", "of CPU time to decode"),
        (60.0, "crashes", "crashes the decoder .killed by SIGSEGV"),
        pytest.param(60.0, "eats", "takes more than .* GiB to decode", marks=LINUX),
    ],
    indirect=["decoders"],
)
def test_a_sound_that_is_too_much_for_a_child_is_refused_and_the_next_one_decoded(
    decoders: Decoders, fault: str, message: str
) -> None:
    error = refused(decoders, fault.ljust(8).encode())
    assert error.error_type == "decode_limit"
    assert re.search(message, str(error))
    assert len(decoders.decode(tone(), "y", SAMPLE_RATE)) == 4_800


def test_a_child_that_was_killed_may_have_met_a_machine_without_memory(decoders: Decoders) -> None:
    assert refused(decoders, b"killed  ").error_type == "out_of_memory"
    assert "out_of_memory" in TRANSIENT_ERRORS
    assert "decode_limit" in ERROR_TYPES
    assert "decode_limit" not in TRANSIENT_ERRORS


@pytest.mark.parametrize("harm", [b"damages ", pytest.param(b"leaks   ", marks=LINUX)])
def test_a_sound_does_not_pay_for_what_an_earlier_one_did_to_the_child(decoders: Decoders, harm: bytes) -> None:
    harmed = decoders.decode(harm, "x", SAMPLE_RATE)
    assert decoders.pids() == [harmed]
    assert len(decoders.decode(tone(), "y", SAMPLE_RATE)) == 4_800
    assert decoders.pids() != [harmed]


@pytest.mark.parametrize("decoders", [3.0], indirect=True)
def test_companions_go_on(decoders: Decoders) -> None:
    work = [b"crashes ", tone(), b"sleeps  ", tone(), tone(), b"spins   ", tone(), b"killed  ", tone()]

    def outcome(data: bytes) -> str:
        try:
            return str(len(decoders.decode(data, "x", SAMPLE_RATE)))
        except AudioError as error:
            return error.error_type

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(outcome, work))
    limit = "decode_limit"
    assert outcomes == [limit, "4800", limit, "4800", "4800", limit, "4800", "out_of_memory", "4800"]


def test_there_are_no_more_children_than_cores_and_they_are_used_again(decoders: Decoders) -> None:
    with ThreadPoolExecutor(16) as pool:
        pids = list(pool.map(lambda _: decoders.decode(b"pid     ", "x", SAMPLE_RATE), range(32)))
    assert len(set(pids)) <= min(MOST_CHILDREN, os.cpu_count() or 1)
    assert set(decoders.pids()) == set(pids)


def test_no_credentials_are_handed_to_those_who_parse_strangers_files(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "secret of a key",
        "AWS_SESSION_TOKEN": "secret of a session",
        "AWS_PROFILE": "secret profile",
        "PREFECT_API_URL": "http://secret:password@server/api",
        "PREFECT_API_KEY": "secret of a server",
        "HF_TOKEN": "secret of something else",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    environment = dict(decoders.decode(b"environ ", "x", SAMPLE_RATE))
    assert environment["OMP_NUM_THREADS"] == "1"
    assert not secrets.keys() & environment.keys()
    assert not [value for value in environment.values() if "secret" in value]


def test_a_decoder_that_cannot_start_is_no_fault_of_the_sound() -> None:
    with pytest.raises(ChildError, match="No module named"):
        Decoders("tests.tasks.no_such_module").inspect(tone(), "x")


def test_a_child_imports_nothing_large() -> None:
    large = {"torch", "prefect", "pandas", "pyarrow", "s3fs", "scipy", "librosa"}
    program = f"import sys, tasks.audio.sandbox_worker; print(*({large!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_largest_sound_that_is_allowed_fits_into_the_limit() -> None:
    file = io.BytesIO()
    one = np.random.default_rng(0).integers(-2_000, 2_000, size=(1 << 20, 1), dtype=np.int16)
    soundfile.write(file, one.repeat(64, axis=1), 44_100, format="WAV", subtype="PCM_16")
    decoders = Decoders()
    samples = decoders.decode(file.getvalue(), "x", SAMPLE_RATE)
    assert len(samples) == pytest.approx((1 << 20) * SAMPLE_RATE / 44_100, abs=1)
    if sys.platform == "linux":
        status = Path(f"/proc/{decoders.pids()[0]}/status").read_text()
        peak_kb = int(status.split("VmHWM:")[1].split()[0])
        assert peak_kb * 1024 < MEMORY_BYTES
    decoders.close()


def test_reading_sounds_uses_the_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders) -> None:
    monkeypatch.setattr(audio, "DECODERS", decoders)
    (tmp_path / "x.wav").write_bytes(b"crashes ")
    with pytest.raises(AudioError, match=r"x\.wav' crashes the decoder"):
        read_sound(str(tmp_path / "x.wav"), Storage())


@pytest.mark.parametrize("decoders", [2.0], indirect=True)
def test_a_sound_uses_up_its_time_once_however_many_pairs_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders
) -> None:
    monkeypatch.setattr(audio, "DECODERS", decoders)
    path = tmp_path / "x.wav"
    path.write_bytes(b"sleeps  ")
    for _ in range(20):
        with pytest.raises(AudioError, match="longer than 2 s"):
            read_sound(str(path), Storage())
        assert decoders.started == 1
    path.write_bytes(tone())
    assert len(read_sound(str(path), Storage())) == 4_800
    assert decoders.started == 2
