"""Text that was made for web pages becomes text for people."""

import html
import re

_CODE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_ENTITY = re.compile(r"&(#\d+|#x[\da-f]+|[a-z]+\d*);", re.IGNORECASE)
# Line breaks and tabs are space, the other control characters and invisible marks are nothing.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
_SPACE = re.compile(r"\s+")
# Some titles of 2018 are a page's scripts: "var aPageStart = (new Date()).getTime(); ...".
_SCRIPT = re.compile(r"<script|\bgetTime\b", re.IGNORECASE)
# Shops escape twice: "&amp;quot;".
_ROUNDS = 2


def has_markup(text: str) -> bool:
    """Whether there are tags or entities in it."""
    return bool(_TAG.search(text) or _ENTITY.search(text) or _CODE.search(text))


def has_script(text: str) -> bool:
    """Whether it is program text that slipped in."""
    return bool(_SCRIPT.search(text))


def plain_text(text: str) -> str:
    """Without tags, entities, control characters and superfluous space."""
    for _ in range(_ROUNDS):
        if "<" in text:
            text = _TAG.sub(" ", _CODE.sub(" ", text))
        if "&" not in text:
            break
        text = html.unescape(text)
    return _SPACE.sub(" ", _INVISIBLE.sub("", text)).strip()
