"""How time and memory of every stage grow with the data, from an eighth of the full size to 5×.

    uv run python benchmarks/growth.py [--sizes 0.125 0.25 0.5 1 5] [--json PATH]
        [--encoded-shares 0.0078 0.0156 0.0312 0.0625]

Each stage of each size runs in a process of its own, on the full-size set (`full_size_set.py`).
The vectors of the texts are stand-ins, except in the rows on encoding: at a hundred texts per
second those take a part of the full size only. Finished measurements are kept (`stages.py`).
"""

import argparse
from collections.abc import Sequence

from exponent import fitted_exponent
from figures import Figure, json_path, write_figures
from stages import Workplace

from rec_sys.foundation.console import note, show_table

SIZES = (0.125, 0.25, 0.5, 1, 5)
ENCODED_SHARES = (1 / 128, 1 / 64, 1 / 32, 1 / 16)
MEASURED = {
    "read_and_clean": "read and clean",
    "stand_in_vectors": None,  # must be there for the others
    "graph": "graph",
    "product_graph": "product graph",
    "training": "one epoch of training",
    "evidences": "evidences and their weights",
    "vectorbase": "product embeddings and index",
    "recommendations": "recommendations for all users",
}
ENCODING = "encoding"
MOST_TIME_EXPONENT, MOST_MEMORY_EXPONENT = 1.1, 1.0
_COLUMNS = (
    *("stage", "share", "reviews", "s", "reviews/s"),
    *("peak MiB", "own MiB", "MiB at start", "CPU s"),
)


def main() -> None:
    path = json_path()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES)
    parser.add_argument("--encoded-shares", type=float, nargs="*", default=ENCODED_SHARES)
    given = parser.parse_args()
    rows = []
    for share in given.sizes:
        place = Workplace.of(share)
        for stage, label in MEASURED.items():
            measured = place.measure(stage)
            if label:
                rows.append(row(label, share, place.files.numbers["reviews"], measured))
    rows += encoding_rows(given.encoded_shares)
    rows.sort(key=lambda each: [*MEASURED.values(), ENCODING].index(each[0]))
    show_table("stages by size", _COLUMNS, rows)
    note("all but encoding: with vectors that stand in for those of the text encoder")
    note(
        "peak: resident, pages of memory-mapped vectors included, which the system can take back;"
        " own: without them; the exponent of memory is that of the peak, imports included"
    )
    found = figures(rows)
    columns = ("exponent", "fitted", "target", "sizes")
    lines = [(each.name, each.value, each.target, each.compared_with) for each in found]
    show_table("growth", columns, lines)
    write_figures(path, found)


def row(label: str, share: float, reviews: int, measured: dict) -> tuple:
    """One line of the table."""
    seconds = measured["seconds"]
    memory = (measured["peak_mib"], measured["own_mib"], measured["start_mib"])
    cpu = measured["cpu_seconds"]
    return (label, f"{share:.4g}", reviews, seconds, reviews / seconds, *memory, cpu)


def encoding_rows(shares: Sequence[float]) -> list[tuple]:
    """The lines on the real text encoder."""
    if not shares:
        return []
    # The smallest set that has so many texts: what is read before counts as memory.
    place = Workplace.of(max(shares))
    place.measure("read_and_clean")
    total = place.files.numbers["distinct_texts"] / max(shares)
    rows = []
    for share in shares:
        measured = place.measure(ENCODING, texts=round(share * total))
        rows.append(row(ENCODING, share, measured["texts"], measured))
    return rows


def figures(rows: Sequence[tuple]) -> list[Figure]:
    """The exponents of time and memory of every stage that was measured at two sizes or more."""
    found = []
    for label in dict.fromkeys(each[0] for each in rows):
        own = [each for each in rows if each[0] == label]
        sizes = [each[2] for each in own]
        if len(set(sizes)) < 2:
            continue
        at = f"{min(sizes):,} to {max(sizes):,} {'texts' if label == ENCODING else 'reviews'}"
        time = fitted_exponent(sizes, [each[3] for each in own])
        memory = fitted_exponent(sizes, [each[5] for each in own])
        found += [
            Figure(f"{label}: time exponent", time, "", at, at_most=MOST_TIME_EXPONENT),
            Figure(f"{label}: memory exponent", memory, "", at, at_most=MOST_MEMORY_EXPONENT),
            Figure(f"{label}: peak memory", own[-1][5], "MiB", f"at {sizes[-1]:,}"),
            Figure(f"{label}: time", own[-1][3], "s", f"at {sizes[-1]:,}"),
        ]
    return found


if __name__ == "__main__":
    main()
