"""Which Ray a run is to use, and what it must have for that: looked at before anything is computed."""

from __future__ import annotations

import ipaddress
import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from manifests.files import absolute, is_s3
from tasks.options import RunOptions

ADDRESS_VARIABLE = "RAY_ADDRESS"
PACKAGES = ("ray", "prefect_ray")


class RunnerError(Exception):
    """The asked-for runner cannot compute this run."""


def cluster_address(options: RunOptions) -> str | None:
    """Return where the cluster is that a run is to use; None: a Ray of its own, on this machine, ends with it."""
    address = options.ray_address or os.environ.get(ADDRESS_VARIABLE) or "local"
    return None if address == "local" else address


def refuse_runner(manifest: str, output: str, options: RunOptions) -> None:
    """Refuse a run that Ray could not compute; says nothing about threads.

    Parameters
    ----------
    manifest, output : str
        As the user gave them: the workers of a cluster must reach both.
    options : RunOptions
        Runner, its address, and the device.

    Raises
    ------
    RunnerError
        Saying what is missing.
    """
    if options.runner != "ray":
        return
    if not all(_is_installed(name) for name in PACKAGES):
        raise RunnerError("runner='ray': prefect-ray is not installed; pip install 'timbreflow[ray]'")
    if options.device not in ("auto", "cpu", "cuda"):
        raise RunnerError(f"device={options.device!r}: Ray deals out the GPUs itself; take auto, cpu or cuda")
    if (address := cluster_address(options)) is not None:
        _refuse_out_of_reach(manifest, output, address)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def _refuse_out_of_reach(manifest: str, output: str, address: str) -> None:
    """Refuse what only this machine can reach: the cluster's workers may be on any other."""
    for name, uri in (("output", output), ("manifest", manifest)):
        if not is_s3(absolute(uri)):
            raise RunnerError(
                f"{name}={uri!r}: the workers of the Ray cluster {address} cannot reach it; name an s3://"
            )
    url = _api_url()
    if url is None or is_loopback(url):
        raise RunnerError(
            f"PREFECT_API_URL is {url or 'not set'}: the workers of the Ray cluster {address} must reach Prefect's "
            "server; start one with `prefect server start --host 0.0.0.0`, and name this machine in PREFECT_API_URL"
        )


def _api_url() -> str | None:
    from prefect.settings import get_current_settings  # heavy, and only clusters ask for it

    return get_current_settings().api.url


def is_loopback(url: str) -> bool:
    """Say whether a URL names the machine that it is read on.

    >>> [is_loopback(f"http://{host}:4200/api") for host in ("localhost", "127.0.0.1", "[::1]", "0.0.0.0", "10.0.0.7")]
    [True, True, True, True, False]
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
