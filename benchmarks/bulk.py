"""The ten best products for everybody from stored vectors, beside one person after the other.

    uv run python benchmarks/bulk.py [--share 1] [--one-by-one 500] [--json PATH]

On the full-size set with a model trained for one epoch and vectors that stand in for those of the
text encoder (`stages.py`, which also keeps both). Both ways use the same `Recommender`: `infer`
gives it many people at once, a loop one person at a time; the lists must be the same.
"""

import argparse
from pathlib import Path

import numpy as np
from figures import Figure, json_path, write_figures
from full_size_set import FullSizeSet
from own_process import Measurement, answer_option, in_own_process
from stages import K, Workplace, first_users, recommend_all, recommending

from rec_sys.foundation.console import note, show_table

ONE_BY_ONE = 500
STAGES_BEFORE = ("read_and_clean", "stand_in_vectors", "training", "vectorbase")
BULK, LOOP = "all at once", "one by one"
# Rounding depends on the size of a batch, so two products of almost equal scores may change places.
LEAST_EQUAL = 0.999


def all_at_once(files: FullSizeSet, measurement: Measurement, users: int) -> list[list[str]]:
    """As `infer` does it."""
    recommender, reviews = recommending(files)
    lists = []
    with measurement.timed():
        for each in recommend_all(recommender, reviews):
            lists += [[best.product_id for best in one.recommendations] for one in each]
    measurement.values["users"] = len(lists)
    return lists[:users]


def one_by_one(files: FullSizeSet, measurement: Measurement, users: int) -> list[list[str]]:
    """A loop over the first users."""
    recommender, reviews = recommending(files)
    lists = []
    with measurement.timed():
        for _, own in first_users(reviews, users).groupby("user_id", sort=False):
            (one,) = recommender.recommend(own.reset_index(drop=True), k=K)
            lists.append([best.product_id for best in one.recommendations])
    measurement.values["users"] = len(lists)
    return lists


WAYS = {BULK: all_at_once, LOOP: one_by_one}


def main() -> None:
    path = json_path()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--one-by-one", type=int, default=ONE_BY_ONE, help="people of the loop")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    answer_option(parser)
    given = parser.parse_args()
    if given.way:
        measurement = Measurement()
        lists = WAYS[given.way](FullSizeSet(given.files), measurement, given.one_by_one)
        measurement.values["lists"] = lists
        measurement.write(given.answer)
        return
    place = Workplace.of(given.share)
    for stage in STAGES_BEFORE:
        place.measure(stage)
    common = ["--files", str(place.files.folder), "--one-by-one", str(given.one_by_one)]
    # The short one on both sides of the long one: what else the machine does hits both.
    order = (LOOP, BULK, LOOP)
    found: dict[str, list[dict]] = {LOOP: [], BULK: []}
    for way in order:
        found[way].append(in_own_process(__file__, ["--way", way, *common], place.folder))
    report(found, path)


def report(found: dict[str, list[dict]], path: Path | None) -> None:
    """Prints and writes the figures."""
    first, second = found[BULK][0]["lists"], found[LOOP][0]["lists"]
    pairs = [
        each
        for one, other in zip(first, second, strict=True)
        for each in zip(one, other, strict=True)
    ]
    equal = np.mean([one == other for one, other in pairs])
    if equal < LEAST_EQUAL:
        raise RuntimeError(f"only {equal:.2%} of the recommendations are the same both ways")
    rates = {
        way: float(np.mean([each["users"] / each["seconds"] for each in measured]))
        for way, measured in found.items()
    }
    rows = [
        (way, measured[0]["users"], rates[way], max(each["peak_mib"] for each in measured))
        for way, measured in found.items()
    ]
    show_table(f"top {K} from stored vectors", ("way", "people", "people/s", "peak MiB"), rows)
    ratio = rates[BULK] / rates[LOOP]
    note(f"all at once: {ratio:.1f} times the people per second; {equal:.2%} of the places agree")
    users, peak = rows[1][1], rows[1][3]
    write_figures(
        path,
        [
            Figure(f"top {K} for {users:,} people", rates[BULK], "people/s", "stored vectors"),
            Figure("the same, ratio", ratio, "×", "the same recommender, one person at a time"),
            Figure("the same, peak memory", peak, "MiB"),
        ],
    )


if __name__ == "__main__":
    main()
