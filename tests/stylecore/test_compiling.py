"""What librosa compiles and keeps on disk is compiled by one process of a host at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from stylecore import compiling, features
from stylecore.compiling import alone_on_host

NOISE = np.random.default_rng(0).standard_normal(8_000)
MEASURE = "import numpy, stylecore.features as m; m.features(numpy.random.default_rng(0).standard_normal(8000))"


@pytest.fixture(autouse=True)
def _own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "lock_path", lambda: tmp_path / "lock")


def is_held() -> bool:
    lock = FileLock(compiling.lock_path(), timeout=0, is_singleton=False)
    try:
        with lock:
            return False
    except Timeout:
        return True


def test_the_first_measurement_of_a_process_is_alone_on_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    held, real = [], features._features

    def watched(sound: features.Array) -> features.SoundFeatures:
        held.append(is_held())
        return real(sound)

    monkeypatch.setattr(features, "_features", watched)
    features._let_librosa_compile.cache_clear()
    for _ in range(2):
        features.features(NOISE)
    assert held == [True, False, False]


def test_who_cannot_wait_for_longer_or_cannot_lock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "TIMEOUT_S", 0.0)
    with FileLock(compiling.lock_path(), is_singleton=False), alone_on_host():
        assert is_held()
    monkeypatch.setattr(compiling, "lock_path", lambda: Path("/proc/none.lock"))
    with alone_on_host():
        pass


@pytest.mark.soak
def test_many_processes_that_compile_at_once_leave_what_others_can_load(tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    started = [subprocess.Popen([sys.executable, "-c", MEASURE], env=env) for _ in range(6)]
    assert [process.wait() for process in started] == [0] * 6
    assert list(tmp_path.rglob("*.nbc"))
    assert subprocess.run([sys.executable, "-c", MEASURE], env=env, check=False).returncode == 0
