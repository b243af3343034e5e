"""Where a corpus lies changes nothing: manifest, sounds and results on S3 give what local files give."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join
from tasks.audio.sound_files import decode_flac, samples_sha256
from tasks.storage.storage import Storage
from tests.deployment import ROOT, Server
from tests.faults.corpus import SAME, run_command
from tests.flows.sounds import DEMO
from tests.seaweed import SeaweedServer

MANIFEST = Path("manifests/examples/demo.parquet")
DEMO_SAME = ["why", *(name for name in SAME if name != "mood")]


@pytest.mark.slow
def test_the_demo_corpus_gives_the_same_on_s3(prefect: Server, seaweed: SeaweedServer, s3: str, tmp_path: Path) -> None:
    files = Storage()
    for path in (ROOT / MANIFEST, *DEMO.glob("*.flac")):
        files.create(join(s3, str(path.relative_to(ROOT))), path.read_bytes())
    env = {**prefect.env, **seaweed.environment}
    for manifest, output in ((str(ROOT / MANIFEST), str(tmp_path)), (join(s3, str(MANIFEST)), join(s3, "out"))):
        code, said = run_command(manifest, output, env)
        assert code == 0, said

    local, remote = pd.read_parquet(tmp_path / "results.parquet"), pd.read_parquet(join(s3, "out/results.parquet"))
    assert local["status"].tolist() == ["succeeded"] * 8
    pd.testing.assert_frame_equal(local[DEMO_SAME], remote[DEMO_SAME])
    for row in remote.to_dict("records"):
        assert row["output"].startswith(join(s3, "out/audio/"))
        data = files.read(row["output"])
        assert sha256(data).hexdigest() == row["file_sha256"]
        assert samples_sha256(decode_flac(data)) == row["samples_sha256"]
