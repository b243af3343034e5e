"""Whether this machine, and the Prefect server it names, are ready for runs that nobody watches."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from botocore.exceptions import BotoCoreError
from botocore.session import get_session
from packaging.requirements import Requirement
from prefect.settings import get_current_settings

from flows.checks import Check
from flows.environment import without_user
from flows.server_checks import server_checks
from manifests.files import UriError, absolute, is_s3, join, parent
from manifests.results.layout import latest_uri
from manifests.schema import ManifestError
from tasks.devices.choice import choose_device, shards_at_a_time
from tasks.ledger.query import find_table, lost_audio, read_overview
from tasks.options import RunOptions
from tasks.storage.preflight import existing_folder
from tasks.storage.storage import CredentialsExpired, Storage, StorageUnreachable

PROBE = b"timbreflow"

PACKAGES = ("torch", "prefect", "fastapi")
"""Those whose versions must suit each other; pyproject.toml says which do."""

SOURCES = {
    "env": "AWS_ACCESS_KEY_ID in the environment",
    "shared-credentials-file": "profile {profile} in the credentials file",
    "config-file": "profile {profile} in the configuration file",
    "assume-role": "profile {profile}, which assumes a role",
    "assume-role-with-web-identity": "a role by web identity",
    "iam-role": "the role of this machine",
    "container-role": "the role of this container",
}
"""botocore's names of where it found the credentials, in words."""

GIB = 1 << 30
SCARCE_BYTES, FULL_BYTES = 5 * GIB, GIB // 10


def examine(root: str | None) -> list[Check]:
    """Look at this machine, at Prefect's server, and at an output root if one is named."""
    return [_versions(), _device(), *_spaces(), *server_checks(), *(root_checks(root) if root is not None else ())]


def repair(checks: list[Check]) -> Iterator[tuple[str, str]]:
    """Do what can be done from here about what is not ok; say of each what came of it."""
    for check in checks:
        if check.repair is not None:
            try:
                check.repair()
            except OSError as error:
                yield check.name, f"not repaired: {error}"
            else:
                yield check.name, "repaired"


def _versions() -> Check:
    try:
        wanted = {found.name: found for found in map(Requirement, requires("timbreflow") or ()) if not found.marker}
        have = {name: version(name) for name in PACKAGES}
    except PackageNotFoundError as error:
        return Check("versions", "problem", f"not installed: {error}", "pip install --editable .")
    found = ", ".join([f"python {platform.python_version()}", *(f"{name} {have[name]}" for name in PACKAGES)])
    wrong = [str(wanted[name]) for name in PACKAGES if not wanted[name].specifier.contains(have[name])]
    if wrong:
        return Check("versions", "problem", f"{found}; needed: {', '.join(wrong)}", "pip install --editable .")
    return Check("versions", "ok", found)


def _device() -> Check:
    device, many = choose_device("auto"), shards_at_a_time(RunOptions())
    return Check("device", "ok", f"{device}, {many} shard{'s' if many > 1 else ''} at a time")


def _spaces() -> Iterator[Check]:
    """Look at where results wait on their way to S3, and where Prefect keeps its database."""
    yield _space("scratch disk", Path(tempfile.gettempdir()))
    yield _space("Prefect's disk", get_current_settings().home)


def _space(name: str, folder: Path) -> Check:
    folder = existing_folder(folder)
    free = shutil.disk_usage(folder).free
    found = f"{folder}: {free / GIB:.1f} GiB free"
    if not os.access(folder, os.W_OK):
        return Check(name, "problem", f"{folder} may not be written", f"chmod u+w '{folder}'")
    if free < SCARCE_BYTES:
        return Check(name, "problem" if free < FULL_BYTES else "attention", found, f"df -h '{folder}'")
    return Check(name, "ok", found)


def root_checks(root: str) -> Iterator[Check]:
    """Look at an output root: whether it can be reached, written and read."""
    try:
        uri = absolute(root)
    except UriError as error:
        yield Check("output root", "problem", str(error), "timbreflow doctor FOLDER, or s3://BUCKET/FOLDER")
        return
    if is_s3(uri):
        yield (access := _s3_access())
        if access.state == "problem":
            return
    else:
        yield _space("output disk", Path(uri))
    yield (access := _root(uri))
    if access.state == "ok":
        yield from _results(uri)


def _root(uri: str) -> Check:
    """Write, read and delete a small file: what a run does, and nothing else, shows that a run can."""
    files = Storage()
    folder = uri
    try:
        while not is_s3(folder) and not files.exists(folder):  # a run makes it; the doctor leaves nothing behind
            folder = parent(folder)
        probe = join(folder, f".timbreflow-probe-{secrets.token_hex(4)}")
        files.create(probe, PROBE)
        read = files.read(probe)
        files.delete(probe)
    except OSError as error:
        return Check("output root", "problem", str(error), _remedy(error, folder))
    if read != PROBE:
        return Check("output root", "problem", f"{uri} gave back other bytes than were written", "look at its server")
    return Check("output root", "ok", f"{uri}: a file was written, read and deleted")


def _results(uri: str) -> Iterator[Check]:
    """Look at the newest table, if there is one: whether it can be read, and whether the audio that it names is there.

    That is one listing of the audio, and no look at any file.
    """
    files = Storage()
    try:
        table = find_table(uri, files)
        overview, lost = read_overview(table, files, 0), lost_audio(table, files)
    except FileNotFoundError:
        return
    except (ManifestError, OSError) as error:
        remedy = f"{'aws s3 mv' if is_s3(uri) else 'mv'} '{latest_uri(uri)}' '{latest_uri(uri)}.damaged'"
        yield Check("results", "problem", str(error), remedy)
        return
    if lost:
        found = f"{len(lost)} of {overview.succeeded} succeeded pairs have no audio any more"
        yield Check("results", "problem", found, f"timbreflow run MANIFEST '{uri}', which computes them again")
    else:
        yield Check("results", "ok", f"{overview.succeeded} succeeded pairs, each with its audio")


def _remedy(error: OSError, folder: str) -> str:
    if not is_s3(folder):
        return f"ls -ld '{folder}'; df -h '{folder}'"
    if isinstance(error, CredentialsExpired):
        return "aws sso login, or what else renews the credentials"
    if isinstance(error, StorageUnreachable):
        return "export AWS_ENDPOINT_URL=..., or start that server"
    if isinstance(error, FileNotFoundError):
        return f"aws s3 mb s3://{folder.removeprefix('s3://').partition('/')[0]}"
    return "export AWS_PROFILE=... with credentials that may write there"


def _s3_access() -> Check:
    """Say where S3 is and which source names the credentials; never the credentials."""
    try:
        session = get_session()
        client = session.create_client("s3", region_name=session.get_config_variable("region") or "us-east-1")
        credentials = session.get_credentials()
    except (BotoCoreError, ValueError) as error:
        return Check("S3", "problem", str(error), "export AWS_PROFILE=..., or correct ~/.aws/config")
    endpoint = without_user(client.meta.endpoint_url)
    if credentials is None:
        remedy = "export AWS_PROFILE=..., or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return Check("S3", "problem", f"{endpoint}, and no credentials", remedy)
    source = SOURCES.get(credentials.method, credentials.method).format(profile=session.profile or "default")
    return Check("S3", "ok", f"{endpoint}, credentials from {source}")
