"""A few child processes that decode sounds, shared by all threads of this process, started when one is needed."""

from __future__ import annotations

import pickle
import signal
import threading
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tasks.audio.decoding import DecodedContent, ResultForm
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.large_files import LargeFile, SoundData
from tasks.audio.lengths import LONGEST_S
from tasks.audio.sandbox_worker import MEMORY_BYTES, DecodingRequest
from tasks.audio.sound_errors import AudioError
from tasks.audio.streams import SoundInfo
from tasks.audio.style_pieces import LISTENED_S, HeardStyle
from tasks.audio.unpacking import UnpackedSound
from tasks.host import cores
from tasks.workers.client import Child, ChildDied, ChildSilent

MOST_CHILDREN = 8

TIMEOUT_S = 60.0
"""Wall time for one sound: more than its CPU time, for machines that are busy."""

START_TIMEOUT_S = 120.0

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Threads of libraries would take address space, and there is nothing for them to do."""

_INHERITED = frozenset(
    {"PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"}
    | {"PYTHONHOME", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
)
"""What a program needs to start and to find its libraries. Credentials are not for those who parse strangers' files."""


class Decoders:
    """Children that inspect and decode, at most one per core; any thread may use them.

    Parameters
    ----------
    module : str
        The program that they run.
    response_timeout_s : float
        How long one sound may take.

    Attributes
    ----------
    started : int
        Children that were started so far.
    """

    def __init__(self, module: str = "tasks.audio.sandbox_worker", response_timeout_s: float = TIMEOUT_S) -> None:
        self._module, self._timeout_s = module, response_timeout_s
        self._free = threading.BoundedSemaphore(min(MOST_CHILDREN, cores()))
        self._idle: list[Child] = []
        self.started = 0

    def inspect(self, data: SoundData, uri: str, longest_s: float = LONGEST_S) -> SoundInfo:
        """Do `tasks.audio.decoding.inspect` in a child.

        Raises
        ------
        AudioError
            As there; also `decode_limit` if the child hung, crashed or used up what it is allowed, and
            `out_of_memory` if it was killed, as a machine does that has no more memory.
        ChildError
            If no child can be started.
        """
        info: SoundInfo = self._fulfilled(DecodingRequest(uri, _unpickled(data), 0, longest_s=longest_s))
        return info

    def decode(self, data: SoundData, uri: str, sample_rate: int, excerpt: Excerpt = WHOLE) -> NDArray[np.float32]:
        """Do `tasks.audio.decoding.decode` in a child; raises as `inspect`."""
        samples: NDArray[np.float32] = self._fulfilled(DecodingRequest(uri, _unpickled(data), sample_rate, excerpt))
        return samples

    def decode_content(
        self, data: SoundData, uri: str, sample_rate: int, form: ResultForm, excerpt: Excerpt = WHOLE
    ) -> DecodedContent:
        """Do `tasks.audio.decoding.decode_content` in a child; raises as `inspect`."""
        order = DecodingRequest(uri, _unpickled(data), sample_rate, excerpt, form=form)
        content: DecodedContent = self._fulfilled(order)
        return content

    def unpack(self, data: SoundData, uri: str, excerpt: Excerpt, path: str) -> UnpackedSound:
        """Do `tasks.audio.unpacking.unpack` in a child; raises as `inspect`."""
        order = DecodingRequest(uri, _unpickled(data), 0, excerpt, unpacked=path)
        sound: UnpackedSound = self._fulfilled(order)
        return sound

    def decode_style(
        self, data: SoundData, uri: str, sample_rate: int, excerpt: Excerpt = WHOLE, listened_s: float = LISTENED_S
    ) -> HeardStyle:
        """Do `tasks.audio.decoding.decode_style` in a child; raises as `inspect`."""
        order = DecodingRequest(uri, _unpickled(data), sample_rate, excerpt, listened_s=listened_s)
        style: HeardStyle = self._fulfilled(order)
        return style

    def pids(self) -> list[int]:
        """Return the numbers of the processes that wait for work."""
        return [child.pid for child in self._idle]

    def close(self) -> None:
        """End the children that wait for work; new ones are started when they are needed."""
        while self._idle:
            self._idle.pop().close()

    def _fulfilled(self, order: DecodingRequest) -> Any:
        timeout_s = self._timeout_s + 3 * order.looking_s
        with self._free:
            try:
                return self._asked(self._idle.pop(), order, timeout_s)
            except (IndexError, ChildDied, MemoryError):
                # An earlier sound may have damaged that child, or used up its memory: only a new one can tell.
                child = self._started()
            try:
                return self._asked(child, order, timeout_s)
            except MemoryError as error:
                size = f"{MEMORY_BYTES / 2**30:g} GiB"
                raise AudioError("decode_limit", f"'{order.uri}' takes more than {size} to decode") from error
            except ChildDied as error:
                raise _verdict(error, order) from error

    def _asked(self, child: Child, order: DecodingRequest, timeout_s: float) -> Any:
        """Return a child's answer; it waits for more work then, unless it may have been harmed."""
        try:
            answer = child.request(order, timeout_s)
        except AudioError:
            self._idle.append(child)
            raise
        except ChildSilent as error:
            message = f"'{order.uri}' takes longer than {timeout_s:g} s to decode"
            raise AudioError("decode_limit", message) from error
        except BaseException:
            child.close()
            raise
        self._idle.append(child)
        return answer

    def _started(self) -> Child:
        child = Child(self._module, _ENVIRONMENT, _INHERITED)
        child.request(None, START_TIMEOUT_S)
        self.started += 1
        return child


def _unpickled(data: SoundData) -> memoryview | LargeFile:
    """Return bytes as what travels without a copy; a large file stays where it is."""
    return data if isinstance(data, LargeFile) else cast(memoryview, pickle.PickleBuffer(data))


def _verdict(death: ChildDied, order: DecodingRequest) -> AudioError:
    """Return what the death of a child that had decoded nothing else says about the sound."""
    if death.exit_code == -signal.SIGXCPU:
        message = f"'{order.uri}' takes more than {order.cpu_limit_s} s of CPU time to decode"
        return AudioError("decode_limit", message)
    if death.exit_code == -signal.SIGKILL:
        message = f"the process that decoded '{order.uri}' was killed, as a machine does that has no more memory"
        return AudioError("out_of_memory", message)
    return AudioError("decode_limit", f"'{order.uri}' crashes the decoder ({death.how})")


DECODERS = Decoders()
"""Those of this process; none is started before the first sound."""
