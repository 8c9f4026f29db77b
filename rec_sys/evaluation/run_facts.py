"""Where the numbers come from, so that they can be got again."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rec_sys.foundation.versions import versions_of

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torch-geometric", "torchmetrics")


@dataclass(frozen=True)
class RunFacts:
    """What an evaluation was run on, with and for how long.

    Attributes:
        data_name: Label of the data set.
        data_checksum: SHA-256 of the clean tables (`ReviewData.fingerprint`).
        seeds: Of all random choices.
        config: The resolved config, plain values.
        durations: Seconds of each step.
        versions: Of Python and the packages that compute.
        machine: Operating system and processor.
        cpu_count: Number of processors.
        date: Start or end of the run, UTC, ISO.
    """

    data_name: str
    data_checksum: str
    seeds: Sequence[int]
    config: Mapping[str, Any]
    durations: Mapping[str, float]
    versions: Mapping[str, str]
    machine: str
    cpu_count: int
    date: str

    @classmethod
    def collect(
        cls,
        data_name: str,
        data_checksum: str,
        seeds: Sequence[int],
        config: Mapping[str, Any],
        durations: Mapping[str, float],
        packages: Sequence[str] = _PACKAGES,
    ) -> "RunFacts":
        """Adds what this machine knows by itself; a package that is not installed is left out."""
        return cls(
            data_name=data_name,
            data_checksum=data_checksum,
            seeds=list(seeds),
            config=dict(config),
            durations=dict(durations),
            versions=versions_of(packages),
            machine=f"{platform.system()} {platform.machine()}",
            cpu_count=os.cpu_count() or 1,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
