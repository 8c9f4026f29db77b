import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.reviews.values import SCRIPT, SUSPICIOUS, has_markup, plain_text

# Texts in which the odd pieces meet.
PIECES = st.sampled_from(
    ["&", "amp;", "&amp;", "&#34;", "&#x26;", "&#038;", "&lt;", "<", ">", "<b>", "</b>", "br"]
    + ["<script>", "<!--", "-->", "\u200b", "\x00", " ", "\n", "a", "3", ";", "\u3000", "quot;"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("a 5&#34; drum", 'a 5" drum'),
        ("&amp;quot;loud&amp;quot;", '"loud"'),
        ("one<br />two", "one two"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ("x <script>var a = '<b>';</script> y", "x y"),
        ("never <!-- closed", "never"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
        ("R&D by AT&T, black&gtr", "R&D by AT&T, black&gtr"),
        ("&#38;amp;#38;lt;3", "<3"),
        ("  two\n\nlines\t", "two lines"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("caf&eacute;", "café"),
        ("&unknown;", "&unknown;"),
        ('<span class="a-size-medium a-color-secondary"', ""),
        ("&lt;span class=&quot;a&quot; id='b'", ""),
        ('Drum <img src="x.png" <b>red</b>', "Drum red"),
        ("red <br", "red"),
        ("red </span", "red"),
        ("5 < 6", "5 < 6"),
        ("size <b and more", "size <b and more"),
        ("x <y", "x <y"),
    ],
)
def test_plain_text(raw, plain):
    assert plain_text(raw) == plain


def test_recognising():
    assert has_markup("5&#34;") and has_markup("<br>") and has_markup("<!-- x")
    assert not has_markup("a < b & c > d")
    assert SCRIPT.search("var aPageStart = (new Date()).getTime();")
    assert not SCRIPT.search("script")


@given(TEXTS)
def test_plain_text_is_plain(text):
    assert plain_text(plain_text(text)) == plain_text(text)


@given(TEXTS)
def test_only_suspicious_texts_change(text):
    suspicious = pc.match_substring_regex(pa.array([text], pa.string()), SUSPICIOUS)[0].as_py()
    assert suspicious or plain_text(text) == text


def test_hostile_text_takes_no_time():
    text = "&amp;" * 100_000 + "<a" * 100_000 + "&#38;&#8203;amp;" * 10_000
    assert len(plain_text(text)) < len(text)
