"""Our text encoder against `SentenceTransformer.encode` with its defaults, on the same texts.

Both take turns in one run, so that what else the machine does hits both; ratios are medians over
the rounds. A pass that shares cores pays for other programs twice, so `sentence-transformers` is
timed with all cores (its default) and with one.
``uv run python benchmarks/encoder.py [texts] [--json PATH]``
"""

import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from figures import Figure, json_path, write_figures
from machine import cpu

from rec_sys.foundation.console import note, show_table
from rec_sys.text.batching import TokenizedTexts, mixed_batches, tokenize
from rec_sys.text.encoder import AUTO, TextEncoder

TEXTS = 512
ROUNDS = 5
REVIEWS = "musical_instruments_2014/reviews_Musical_Instruments_5.json.gz"
DEFAULT_BATCH_SIZE = 32
SENTENCES = (
    "Holds its tuning through a whole rehearsal and the neck feels comfortable.",
    "Cheap plastic, it broke after two weeks and the seller never answered.",
    "I bought this for my daughter's first lessons; she loves the colour.",
    "The tone is warm and round, exactly what I had hoped for at this price.",
    "Too loud for a small flat.",
)
MEAN_SENTENCES = 6
# On a CPU with avx512_bf16, beside sentence-transformers with its defaults.
LEAST_RATIO, LEAST_MEAN_COSINE, LEAST_COSINE = 2.4, 0.9999, 0.999


def main() -> None:
    path = json_path()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TEXTS
    texts, source = read_texts(count)
    cores = torch.get_num_threads()
    reference = load("fp32")
    theirs = reference.load("fp32")
    ours = load(AUTO)
    ours.encode(texts[:2])
    note(f"{cpu()}, PyTorch {torch.__version__}; {cores} threads; {count} {source}")
    note(f"load {os.getloadavg()[0]:.1f}")

    def theirs_with(threads: int) -> np.ndarray:
        torch.set_num_threads(threads)
        try:
            return theirs.encode(texts)
        finally:
            torch.set_num_threads(cores)

    vectors, seconds = take_turns(
        {
            "sentence-transformers": lambda: theirs_with(cores),
            "sentence-transformers, 1 thread": lambda: theirs_with(1),
            f"rec_sys {ours.precision}": lambda: ours.encode(texts),
        }
    )
    tokenized = tokenize(theirs, texts)
    padding = [their_padding(texts, tokenized), None, our_padding(tokenized, ours, cores)]
    first, second, last = seconds
    rows = []
    for (name, spent), padded in zip(seconds.items(), padding, strict=True):
        cosines = (vectors[name] * vectors[first]).sum(axis=1)
        rates = count / np.median(spent, axis=0)
        ratios = np.median(seconds[first] / spent, axis=0)
        similar = f"{cosines.mean():.5f}", f"{cosines.min():.5f}"
        rows.append((name, *(float(each) for each in (*rates, *ratios)), *similar, padded))
    columns = ("encoder", "texts/CPU s", "texts/s", "CPU ratio", "ratio")
    show_table("text encoders", (*columns, "cosine mean", "cosine min", "padding"), rows)
    figures = [Figure("encoder, texts per CPU-second", rows[-1][1], "texts/CPU s", source)]
    for base, target in ((first, LEAST_RATIO), (second, None)):
        ratio = float(np.median(seconds[base][:, 0] / seconds[last][:, 0]))
        note(f"{last}: {ratio:.2f} times the texts per CPU-second of {base}")
        figures.append(Figure("encoder, ratio per CPU-second", ratio, "×", base, target))
    cosines = (vectors[last] * vectors[first]).sum(axis=1)
    write_figures(
        path,
        [
            *figures,
            Figure("encoder, texts per second", rows[-1][2], "texts/s", source),
            Figure("encoder, cosine, mean", float(cosines.mean()), "", first, LEAST_MEAN_COSINE),
            Figure("encoder, cosine, min", float(cosines.min()), "", first, LEAST_COSINE),
            Figure("encoder, padding share", padding[-1], "", f"{first}: {padding[0]:.3f}"),
        ],
    )


def load(precision: str) -> TextEncoder:
    return TextEncoder("embedded", precision, 256, "cpu", cache_dir="cache")


def read_texts(count: int) -> tuple[list[str], str]:
    draw = np.random.default_rng(0)
    if "REC_SYS_DATA_DIR" in os.environ:
        path = Path(os.environ["REC_SYS_DATA_DIR"]) / REVIEWS
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts = [text for line in lines if (text := json.loads(line)["reviewText"])]
        return [texts[i] for i in draw.choice(len(texts), count, replace=False)], "real reviews"
    return [
        " ".join(draw.choice(SENTENCES, 1 + draw.geometric(1 / MEAN_SENTENCES)))
        for _ in range(count)
    ], "review-like texts"


def take_turns(
    encoders: dict[str, Callable[[], np.ndarray]],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The vectors of each, and its CPU and wall seconds, [rounds, 2]."""
    vectors, seconds = {}, {name: [] for name in encoders}
    for _ in range(ROUNDS):
        for name, encode in encoders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            vectors[name] = encode()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return vectors, {name: np.array(spent) for name, spent in seconds.items()}


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Which part of all computed tokens is padding."""
    computed = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    return 1 - sum(int(lengths[rows].sum()) for rows in batches) / computed


def their_padding(texts: list[str], tokenized: TokenizedTexts) -> float:
    order = np.argsort([-len(text) for text in texts], kind="stable")
    firsts = range(0, len(texts), DEFAULT_BATCH_SIZE)
    batches = [order[first : first + DEFAULT_BATCH_SIZE] for first in firsts]
    return padding_share(tokenized.lengths, batches)


def our_padding(tokenized: TokenizedTexts, encoder: TextEncoder, workers: int) -> float:
    batches = mixed_batches(tokenized.lengths, encoder.batch_tokens, workers)
    return padding_share(tokenized.lengths, batches)


if __name__ == "__main__":
    main()
