"""Where and how a run computes, and with which network. Importing this module does not import torch."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from manifests.sharding import ShardSlice
from tasks.host import cores


class DeviceError(Exception):
    """The asked-for device is not on this machine."""


DEFAULT_NAME = "{content}__{style}"
"""Names of exported files, unless others are asked for."""

REPORT_PAIRS, MOST_REPORT_PAIRS = 8, 100
"""Best, worst and random pairs that a listening report holds with their sound, of each: unless asked, and at most."""

_DEVICES = r"^(auto|cpu|mps|cuda(:\d+)?)$"


class RunOptions(BaseModel):
    """Options of a run; shown in Prefect's form beside the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(
        "auto",
        json_schema_extra={"pattern": _DEVICES},
        description="what computes: cpu, cuda, cuda:N or mps; auto takes cuda, then mps, then cpu",
    )
    retry_failed: bool = Field(False, description="try all failed pairs again, whatever their reasons")
    limit: int | None = Field(None, ge=1, description="compute at most this many pairs in this run")
    runner: Literal["threads", "ray"] = Field("threads", description="who computes: this machine, or Ray's workers")
    ray_address: str | None = Field(
        None, min_length=1, description="Ray's cluster, ray://host:10001; else RAY_ADDRESS, else a Ray of the run's own"
    )
    weights: str | None = Field(
        None, min_length=1, description="weights of the network, a file or s3://; by default the shipped ones"
    )
    shards: str = Field("0/1", description="slice of the shards to work on: 0/2 and 1/2 on two machines at a time")
    replace: bool = Field(False, description="accept a manifest that lacks most pairs of the results so far")
    export: str | None = Field(
        None, min_length=1, description="folder, or s3://, that gets the audio of all pairs under readable names"
    )
    name: str = Field(
        DEFAULT_NAME, min_length=1, description="names of exported files, with columns of the results in braces"
    )
    copies: bool = Field(False, description="export copies also where hard links, which take no space, would do")
    report: int = Field(
        REPORT_PAIRS,
        ge=0,
        le=MOST_REPORT_PAIRS,
        description="pairs that the listening report holds, of the best, the worst and at random; 0: no report",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="pairs in one tensor; by default 4, on a GPU what it has room for",
    )
    threads: int = Field(1, ge=1, le=256, description="processor threads per shard")
    workers: int | None = Field(
        None, ge=1, le=256, description="shards computed at a time; by default one per `threads` cores, or per GPU"
    )
    shard_audio_s: float | None = Field(
        None, ge=1, le=3600, description="seconds of audio per shard; by default a sixteenth of the manifest, 8 to 60"
    )
    snapshot_every_s: float = Field(180, ge=1, description="how often results.parquet is renewed during a run")
    stall_s: float = Field(300, ge=1, description="seconds without a step after which a device's process is killed")
    target_cache_mib: int = Field(512, ge=0, description="limit of the cache of analysed sounds")

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, name: str) -> str:
        if not re.fullmatch(_DEVICES, name):
            raise ValueError("use auto, cpu, mps, cuda, or cuda:N for one of several GPUs, counted from 0")
        return name

    @field_validator("name")
    @classmethod
    def _has_something_to_name(cls, name: str, others: ValidationInfo) -> str:
        if name != DEFAULT_NAME and others.data.get("export") is None:
            raise ValueError("names exported files; say with export=FOLDER where they go")
        return name

    @field_validator("shards")
    @classmethod
    def _is_a_slice(cls, text: str) -> str:
        return str(ShardSlice.parse(text))

    @property
    def slice(self) -> ShardSlice:
        """The slice of the shards that this run works on."""
        return ShardSlice.parse(self.shards)

    @property
    def cpu_workers(self) -> int:
        """Shards computed at a time on the processor."""
        return self.workers or max(1, cores() // self.threads)
