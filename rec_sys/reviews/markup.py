"""Text that was made for web pages becomes text for people."""

import html
import re
import unicodedata

_CODE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)", re.IGNORECASE | re.DOTALL)
# A tag that is cut off is known by an attribute, or by being the last word: "a <b c" stays.
_TAG = re.compile(
    r"</?[a-z][^<>]*>|<[a-z][a-z\d]*\s[^<>]*=[^<>]*(?=<|$)"
    r"|</?(a|b|br|div|em|font|h\d|i|img|li|p|pre|span|strong|table|td|th|tr|u|ul)\s*/?$",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(#\d+|#x[\da-f]+|[a-z]+\d*);", re.IGNORECASE)
# Shops escape twice and more: "&amp;quot;", "&#38;amp;#34;".
_ESCAPED_AMPERSAND = re.compile(r"&((amp|#0*38|#x0*26);)+", re.IGNORECASE)
# Line breaks and tabs are space, the other control characters and invisible marks are nothing.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
# Some titles of 2018 are a page's scripts: "var aPageStart = (new Date()).getTime(); ...".
_SCRIPT = re.compile(r"<script|\bgetTime\b", re.IGNORECASE)
# What comes out of one round can be markup again. Real texts need two; the limit keeps a text
# that is made of nothing else from costing its length squared.
_MAX_ROUNDS = 10

#: What `plain_text` could change, for Arrow's regular expressions: a quick way to leave the rest.
SUSPICIOUS = (
    r"[<&\x00-\x1f\x7f-\x{9f}\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}"
    r"\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]|  |^ | $"
)


def has_markup(text: str) -> bool:
    """Whether there are tags or entities in it."""
    # Looking for one character is a hundred times as fast as the expressions.
    in_brackets = "<" in text and (_TAG.search(text) or _CODE.search(text))
    return bool(in_brackets or ("&" in text and _ENTITY.search(text)))


def has_script(text: str) -> bool:
    """Whether it is program text that slipped in."""
    return bool(_SCRIPT.search(text))


def plain_text(text: str) -> str:
    """Without tags, entities, control characters and superfluous space."""
    text = visible(text)
    for _ in range(_MAX_ROUNDS):
        before = text
        if "<" in text:
            text = _TAG.sub(" ", _CODE.sub(" ", text))
        if "&" in text:
            text = _ESCAPED_AMPERSAND.sub("&", text)
            # Whole entities only: html.unescape by itself takes "black&gtr" for "black>r".
            text = visible(_ENTITY.sub(lambda entity: html.unescape(entity[0]), text))
        if text == before:
            break
    return " ".join(text.split())


def name_key(name: str) -> str:
    """Equal for two spellings of a name that differ in case, space or markup alone."""
    return unicodedata.normalize("NFC", plain_text(name).casefold())


def visible(text: str) -> str:
    """Without what takes no place, of which nothing is printable, as most texts are."""
    return text if text.isprintable() else _INVISIBLE.sub("", text)
