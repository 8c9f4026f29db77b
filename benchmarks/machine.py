"""Where something was measured: absolute times mean nothing without it."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from rec_sys.foundation.files import versions_of

PACKAGES = (
    "torch",
    "torch-geometric",
    "pytorch-lightning",
    "sentence-transformers",
    "faiss-cpu",
    "onnxruntime",
    "numpy",
    "pandas",
    "pyarrow",
)
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "avx512_vnni", "avx512f", "avx2")
_REPOSITORY = Path(__file__).resolve().parents[1]
_GIB = 1 << 30


def cpu() -> str:
    """Its name and what it can do beyond the usual."""
    found = _cpu_info()
    flags = found.get("flags", "").split()
    name = found.get("model name", platform.processor() or platform.machine())
    return ", ".join([name, *(each for each in _INSTRUCTIONS if each in flags)])


def description() -> dict[str, str]:
    """What there is to know about this machine and this moment, by name."""
    versions = versions_of(PACKAGES)
    return {
        "CPU": cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_gib():.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")  # Linux only
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return {name.strip(): value.strip() for name, value in pairs}


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}, with changes that are not committed" if changed else commit
