"""Which number format encodes fastest here without changing what the vectors mean."""

import hashlib
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rec_sys.foundation.console import note
from rec_sys.foundation.files import read_json, write_json

if TYPE_CHECKING:
    from rec_sys.text.encoder import TextEncoder

AUTO = "auto"
REFERENCE = "fp32"
PRECISIONS = (REFERENCE, "bf16")
#: A format is faithful if no probe text's vector turns further away than this from fp32.
MIN_COSINE = 0.999

_PROBE_SENTENCES = (
    "Holds its tuning through a whole rehearsal and the neck feels comfortable.",
    "Cheap plastic, it broke after two weeks and the seller never answered.",
    "I bought this for my daughter's first lessons; she loves the colour.",
    "The tone is warm and round, exactly what I had hoped for at this price.",
    "Instructions are missing, but setting it up took five minutes anyway.",
    "Too loud for a small flat, and the hum gets worse when it is warm.",
)
_PROBE_TEXTS = 48
_TIMED_ROUNDS = 2


def fastest_faithful(encoder: "TextEncoder", cache_dir: Path) -> str:
    """Measures the formats on a few review-like texts; remembers the answer for this machine.

    The answer is kept because it is part of the identity of the stored vectors: timing noise
    must not make a second run encode everything again.

    Args:
        encoder: The encoder to measure.
        cache_dir: Folder for the remembered answer.

    Returns:
        One of `PRECISIONS`.
    """
    remembered = cache_dir / "encoder_precision" / f"{_machine_and_model(encoder)}.json"
    if remembered.is_file():
        return read_json(remembered)["precision"]

    note("finding out in which precision the text encoder is fastest on this machine (once)")
    texts = _probe_texts()
    reference, seconds = _measure(encoder, REFERENCE, texts)
    measured = {REFERENCE: {"seconds": seconds, "min_cosine": 1.0}}
    for precision in PRECISIONS[1:]:
        vectors, seconds = _measure(encoder, precision, texts)
        cosine = float((vectors * reference).sum(axis=1).min())
        measured[precision] = {"seconds": seconds, "min_cosine": cosine}
    faithful = [name for name in measured if measured[name]["min_cosine"] >= MIN_COSINE]
    chosen = min(faithful, key=lambda name: measured[name]["seconds"])
    write_json(remembered, {"precision": chosen, "measured": measured})
    ratio = measured[REFERENCE]["seconds"] / measured[chosen]["seconds"]
    note(f"text encoder runs in {chosen} on this machine ({ratio:.1f} times the speed of fp32)")
    return chosen


def _measure(encoder: "TextEncoder", precision: str, texts: list[str]) -> tuple[np.ndarray, float]:
    model = encoder.load(precision)
    encoder.encode_with(model, texts[:2])  # the first pass pays for set-up
    best = float("inf")
    for _ in range(_TIMED_ROUNDS):
        start = time.perf_counter()
        vectors = encoder.encode_with(model, texts)
        best = min(best, time.perf_counter() - start)
    return vectors, best


def _probe_texts() -> list[str]:
    """Texts of 1 to 6 sentences, each different."""
    count = len(_PROBE_SENTENCES)
    return [
        " ".join(_PROBE_SENTENCES[(i + j) % count] for j in range(1 + (i // count) % count))
        for i in range(_PROBE_TEXTS)
    ]


def _machine_and_model(encoder: "TextEncoder") -> str:
    import torch

    machine = (
        platform.machine(),
        platform.processor(),
        torch.backends.cpu.get_cpu_capability(),
        os.cpu_count(),
        torch.__version__,
        encoder.device,
    )
    return hashlib.sha256(f"{machine}:{encoder.model_fingerprint}".encode()).hexdigest()[:16]
