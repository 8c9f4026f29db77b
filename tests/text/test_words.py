"""Words as hashed counts, against a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from rec_sys.text.words import NUM_WORDS, as_written, columns_of, count_words, words_by_row
from tests.helpers.scores_by_hand import words_in

TEXTS = st.text(st.sampled_from("abcéßÄx .,'-\n7") | st.characters(codec="utf-8"), max_size=30)
WRITTEN = st.lists(
    st.sampled_from(["Café", "cafe", "CAFÉ", "strings", "Nylon", "a", "B", "x2", "for"]), max_size=8
).map(" ".join)


@given(st.lists(WRITTEN, max_size=5))
def test_words_are_counted_whatever_their_case_and_accents(texts):
    found = count_words(texts)
    assert found.shape == (len(texts), NUM_WORDS) and found.dtype == np.float32
    for row, text in enumerate(texts):
        expected = words_in(text)
        columns = columns_of(text)
        assert len(set(columns.values())) == len(columns)  # none of these words share one
        assert set(columns) == set(expected)
        counts = {word: found[row, column] for word, column in columns.items()}
        assert counts == expected and found[[row]].sum() == expected.total()


def test_case_accents_and_marks_do_not_count():
    same = ["Crème brûlée, twice: twice!", "creme BRULEE twice (twice)"]
    one, two = (count_words([text]) for text in same)
    assert (one != two).nnz == 0 and sorted(one.data.tolist()) == [1, 1, 2]
    assert count_words(["a I , -- 5"]).nnz == 0  # single letters are no words
    assert columns_of("Twice crème twice").keys() == {"twice", "creme"}
    assert as_written("Für fu\u0308r Brûlée") == {"fur": "für", "brulee": "brûlée"}
    assert list(columns_of("warm nylon warm strings")) == ["warm", "nylon", "strings"]


@given(TEXTS)
def test_any_text_can_be_counted(text):
    found = count_words([text, text])
    assert (found[[0]] != found[[1]]).nnz == 0
    assert (found.data >= 1).all() and (found.data == np.round(found.data)).all()
    assert set(found[[0]].indices.tolist()) == set(columns_of(text).values())


@pytest.mark.parametrize("texts", [[], [""], ["", "!"]])
def test_where_nothing_is_said_there_are_no_words(texts):
    found = count_words(texts)
    assert found.shape == (len(texts), NUM_WORDS) and not found.nnz
    assert found.dtype == np.float32 and columns_of("") == {}


@given(st.lists(WRITTEN, max_size=6), st.integers(0, 999), st.integers(0, 4))
def test_a_store_has_the_words_of_the_texts_in_their_rows(texts, seed, more):
    """Rows of other texts, and of texts of other data sets, have none."""
    distinct = ["", *dict.fromkeys(text for text in texts if text)]
    num_rows = len(distinct) + more
    place = np.random.default_rng(seed).permutation(num_rows)
    place[np.flatnonzero(place == 0)[0]], place[0] = place[0], 0
    row_of = dict(zip(distinct, place.tolist(), strict=False))
    rows = np.array([row_of[text] for text in texts], dtype=np.int64)
    found = words_by_row(texts, rows, num_rows)
    assert found.shape == (num_rows, NUM_WORDS) and found.dtype == np.float32
    for row in range(num_rows):
        own = [text for text, at in row_of.items() if at == row and text in texts]
        expected = count_words(own or [""])
        assert (found[[row]] != expected).nnz == 0
    np.testing.assert_array_equal(found[rows].sum(axis=1), count_words(texts).sum(axis=1))


@given(TEXTS)
def test_words_are_those_of_scikit_learn(text):
    analyse = HashingVectorizer(strip_accents="unicode").build_analyzer()
    assert list(columns_of(text)) == list(dict.fromkeys(analyse(text)))
