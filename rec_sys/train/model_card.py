"""What a model is, in words that travel with it: a model card (Mitchell et al., FAT* 2019)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rec_sys.foundation.settings import flat
from rec_sys.text.encoder import EMBEDDED

_SHOWN = 3  # of a list
_CARD = """\
# {run_name}

A recommender that works from what people write: review texts on a bipartite user-product graph.

## Data
{name}: {reviews} reviews by {users} people of {products} products (fingerprint `{fingerprint}`).

{cleaning}

## Split
{split}

## Measured on the validation
Ratings in stars. The weights of the evidences and the numbers behind the stars are fitted to this
validation, for each person here without that person; epochs and settings were chosen by it, which
flatters a little. Intervals and a test part: `python -m rec_sys.evaluation.evaluate`.

{ratings}

{rankings}

## Use
Made for recommending these products to people by what they wrote, also to people and about products
that it has never seen. Not made for decisions about people, and not for telling who wrote a text.

## Limits
It knows the language and the tastes of its reviews alone. What few people review, few are offered.
A predicted rating is a mean over people who chose to write. Reviews can be invented: whoever writes
many decides more.

## Text encoder
{encoder} ({dimension} dimensions, `{encoder_fingerprint}`). {licence}

## Versions
{versions}
"""


def model_card(
    record: Mapping[str, Any],
    cleaning_report: Sequence[Mapping[str, Any]],
    ratings: Mapping[str, Mapping[str, float]],
    *rankings: Mapping[str, Mapping[str, float]],
) -> str:
    """A model's card in Markdown, from `TrainedModel.record` and what was measured."""
    data, encoder = record["data"], record["encoder"]
    named = record["config"]["encoder"].get("model")
    steps = (f"{each['rows']} {each['step']}: {each['note']}" for each in cleaning_report)
    return _CARD.format(
        run_name=record["run_name"],
        **{name: data[name] for name in ("name", "users", "products", "reviews", "fingerprint")},
        cleaning=markdown_list(steps),
        split=markdown_list(f"{key}: {_short(value)}" for key, value in flat(record["split"])),
        ratings=_table(ratings),
        rankings="\n\n".join(_table(rows) for rows in rankings if rows),
        encoder="all-MiniLM-L6-v2" if named == EMBEDDED else named,
        dimension=encoder["dimension"],
        encoder_fingerprint=encoder["model_fingerprint"],
        licence="Apache-2.0." if named == EMBEDDED else "Its licence is its publisher's.",
        versions=markdown_list(f"{name} {value}" for name, value in record["versions"].items()),
    )


def markdown_list(lines: Iterable[str]) -> str:
    """Lines with a dash each."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right_aligned: int = 0
) -> str:
    """A table whose last `right_aligned` columns are of numbers."""
    rule = ["---"] * (len(headings) - right_aligned) + ["---:"] * right_aligned
    # A line break or a bar in a name would end the cell.
    cells = ([" ".join(c.split()).replace("|", "\\|") for c in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *cells))


def _short(value: Any) -> Any:
    """The number of a list of people, which is in the checkpoint, will do."""
    return f"{len(value)} of them" if isinstance(value, list) and len(value) > _SHOWN else value


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = (
        [label, *(f"{row[name]:.4g}" if name in row else "" for name in names)]
        for label, row in rows.items()
    )
    return markdown_table(["", *names], cells)
