"""Why a product is recommended, in words for the person."""

from collections.abc import Collection

from rec_sys.inference.results import Reason, Recommendation

_QUOTED_CHARACTERS = 60
# A review is a reason for each of the products: an answer must not be many times what was asked.
SHOWN_CHARACTERS = 500
# Where no review of the person's is a reason: by the evidence that adds most to the score.
_WITHOUT_REVIEWS = {
    "popularity": "Popular: many people have reviewed it.",
    "trend": "Much reviewed of late.",
    "network": "It goes with what you told us.",
}
_OTHERWISE = "You may turn to it next."


def reason_in_words(
    recommended: Recommendation, is_known: bool = True, turned: Collection[str] = ()
) -> str:
    """Why a product is recommended, in one sentence for the person. What the network says tells
    people nothing about themselves if nothing `is_known` of them. That an evidence of `turned`, see
    `Combiner.reversed_evidences`, adds to the score does not mean that there is much of it."""
    match = recommended.match
    if match and match.weight > sum(reason.weight for reason in recommended.because):
        told = f": {', '.join(map(_quoted, match.words))}" if match.words else ""
        return f"Matches what you want{told}."
    if not recommended.because:
        evidence, most = max(recommended.contributions.items(), key=lambda item: item[1])
        if most <= 0 or evidence in turned or (evidence == "network" and not is_known):
            return _OTHERWISE
        return _WITHOUT_REVIEWS.get(evidence, _OTHERWISE)
    first, *others = recommended.because
    sentence = f"Because of {_subject(first)}"
    if not others:
        return f"{sentence}."
    share = f"{first.weight:.0%}".replace("%", " %")
    return f"{sentence} ({share}), then of {_subject(others[0])}."


def _subject(reason: Reason) -> str:
    if reason.product_name:
        return f"what you wrote about {_quoted(reason.product_name)}"
    return f"your words {_quoted(reason.text)}"


def _quoted(text: str) -> str:
    text = text.rstrip(" .")  # the sentence around it has its own end
    return f"“{shortened(text, _QUOTED_CHARACTERS)}”"


def shortened(text: str, characters: int) -> str:
    """The beginning of a text, with an ellipsis where something is left out."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
