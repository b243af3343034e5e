"""An output root with sounds that can be heard: contents, styles and results are tones, each of a pitch of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import soundfile

from manifests.files import join
from tasks.audio.sound_files import encode_flac
from tasks.storage.storage import Storage
from tests.tasks.output_root import exported_row

RATE = 16_000
CONTENT_HZ, STYLE_HZ, RESULT_HZ = 500.0, 1_250.0, 3_000.0
CONTENT_S, STYLE_S = 0.8, 0.5

FIGURES = {
    "timbre_transfer": 0.87,
    "texture_transfer": 0.5,
    "rhythm_kept": 0.7,
    "dynamics_kept": 0.9,
    "melody_kept": 0.95,
    "style_leak": 0.2,
}


def tone(hz: float, seconds: float, peak: float = 0.5) -> np.ndarray:
    """Return a tone `[N]`."""
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def spoken(name: str) -> np.ndarray:
    """Return the content of that name `[N]`: others differ in their level, and so in their bytes, as styles do."""
    return tone(CONTENT_HZ, CONTENT_S, _peak(name))


def _peak(name: str) -> float:
    return 0.4 + 0.1 * int.from_bytes(sha256(name.encode()).digest()[:2]) / 2**16


def wav(samples: np.ndarray) -> bytes:
    """Return a sound as a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def write_sound(uri: str, samples: np.ndarray) -> str:
    """Write a sound, and return the identity of its bytes."""
    data = wav(samples)
    with Storage().writing(uri) as sink:
        sink.write(data)
    return sha256(data).hexdigest()


def heard_row(folder: str, pair_id: str, content: str = "voice", style: str = "glass", **values: Any) -> dict[str, Any]:
    """Return the row of a succeeded pair whose three sounds can be heard, and write its content and style."""
    uris = [join(folder, "sounds", f"{name}.wav") for name in (content, style)]
    identities = [
        write_sound(uris[0], spoken(content)),
        write_sound(uris[1], tone(STYLE_HZ, STYLE_S, _peak(style) / 4)),
    ]
    result = tone(RESULT_HZ, CONTENT_S, _peak(pair_id))
    own: Mapping[str, Any] = {
        "content": uris[0],
        "style": uris[1],
        "content_identity": identities[0],
        "style_identity": identities[1],
        "settings": "{}",
        "strength": 1.0,
        "seed": 7,
        "content_start_s": 0.0,
        "style_start_s": 0.0,
        "sample_rate": RATE,
        "duration_s": CONTENT_S,
        "seconds_total": 2.0,
        "run_id": "20260101T000000-abcdef",
        **FIGURES,
        **values,
    }
    return exported_row(pair_id, encode_flac(result, RATE), **own)
