"""What somebody types: help made of the comments in ``config/``, and arguments for Hydra."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from rec_sys.foundation.errors import InputError

_WIDTH = 100
_KEY_WIDTH = 34
# What Hydra takes beside settings; after some of them a word follows that is no setting.
_WITH_WORD = {
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
}
_SWEEPS = {"--multirun", "-m"}
_HYDRA_FLAGS = {*_WITH_WORD, *_SWEEPS, "--resolve", "--hydra-help", "--run", "-r"}
# A file that is named alone is probably one of these.
_FILE_SETTINGS = ("infer.reviews", "data.reviews_path", "checkpoint")
_LINE = re.compile(r"(?P<indent> *)(?P<name>[\w.]+):(?P<rest>.*)")
_COMMENT = re.compile(r"\s#\s+(?P<text>.*)$")


def help_text(
    program: str, entry: Path, settings: Mapping[str, Any], choices: Mapping[str, Any], full: bool
) -> str:
    """Tells what a command does and what can be set, by its file `entry` in ``config/``. Its first
    lines are comments: what it does, then ``often:`` with the names of the most used settings,
    ``e.g.`` with arguments, and ``more:``, where to read on. `settings` are all of the command by
    dotted names, told of if `full`; `choices` the file that is chosen in each folder."""
    about, often, examples, more = [], [], [], ""
    lines = entry.read_text(encoding="utf-8").splitlines()
    for line in takewhile(lambda line: line.startswith("#"), lines):
        kind, _, rest = line[1:].strip().partition(" ")
        if kind == "often:":
            often += rest.split()
        elif kind == "e.g.":
            examples.append(f"  {program} {rest}")
        elif kind == "more:":
            more = rest
        else:
            about.append(f"{kind} {rest}")
    names = [name for name in settings if "_target_" not in name] if full else often
    lines = [*textwrap.wrap(" ".join(about), _WIDTH), "", f"usage: {program} [KEY=VALUE ...]", ""]
    lines.append("settings, with their defaults:" if full else "most used settings:")
    lines += [_explained(name, entry, settings, choices) for name in names]
    lines += ["", "for example:", *examples, "", f"more: {more}"]
    if not full:
        lines.append(f"all settings: {program} --help all")
    return "\n".join(lines)


def _explained(name: str, entry: Path, values: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    group, _, rest = name.partition(".")
    folder = entry.parent / group
    if not rest and folder.is_dir():
        there = sorted(each.stem for each in folder.glob("[!_]*.yaml"))
        value, comment = chosen.get(group), f"one of {', '.join(there)}"
    else:
        value = values.get(name)
        files = [entry]
        if rest:  # another choice may have what this one has not
            files = [*_files(folder / f"{chosen.get(group)}.yaml"), *sorted(folder.glob("*.yaml"))]
        comment = next(filter(None, (_comments(file).get(rest or name) for file in files)), "")
    shown = f"  {name}={'null' if value is None else value}".replace("True", "true")
    shown = shown.replace("False", "false")
    text = textwrap.indent(textwrap.fill(comment, _WIDTH - _KEY_WIDTH), " " * _KEY_WIDTH)
    return shown + text[len(shown) :] if len(shown) < _KEY_WIDTH else f"{shown}\n{text}".rstrip()


def _files(file: Path) -> Iterator[Path]:
    """A file of a group and the shared ones that it is made of."""
    if file.is_file():
        yield file
        for name in re.findall(r"^  - (_?\w+)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            if name != "_self_":
                yield from _files(file.with_name(f"{name}.yaml"))


def _comments(file: Path) -> dict[str, str]:
    """The comment beside each key of a YAML file, by its dotted name."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if match := _LINE.fullmatch(line):
            indent = len(match["indent"])
            parents = [each for each in parents if each[0] < indent]
            parents.append((indent, match["name"]))
            if comment := _COMMENT.search(match["rest"]):
                found[".".join(name for _, name in parents)] = comment["text"]
    return found


def for_hydra(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Arguments as Hydra reads them: values that it would take apart are quoted. An argument that
    is none of the settings' `names` raises an InputError that tells what was meant."""
    found, words = [], iter(arguments)
    for argument in words:
        if argument.partition("=")[0] in _HYDRA_FLAGS:
            found.append(argument)
            if argument in _WITH_WORD and (word := next(words, None)) is not None:
                found.append(word)
        elif argument.startswith("-"):
            name, _, value = argument.lstrip("-").partition("=")
            likely = likely_name(name, names)
            value = value or next(words, "VALUE")
            hint = f"did you mean {likely}={value}?" if likely else "--help lists them"
            raise InputError(f"{argument}: settings are given as key=value; {hint}")
        elif "=" not in argument and not argument.startswith("~"):
            likely = next((each for each in _FILE_SETTINGS if each in names), None)
            is_file = likely and (Path(argument).exists() or Path(argument).suffix)
            hint = "a value of several words stands in quotes; --help lists them"
            hint = f"did you mean {likely}={argument}?" if is_file else hint
            raise InputError(f"{argument}: settings are given as key=value; {hint}")
        else:
            found.append(argument if _SWEEPS & {*arguments} else _quoted(argument))
    return found


def likely_name(name: str, names: Sequence[str]) -> str | None:
    """The setting that somebody means, wherever it stands; rather the training's own."""
    short = name.replace("-", "_").rpartition(".")[2]
    names = sorted(names, key=lambda each: (not each.startswith("train."), len(each)))
    by_last = {each.rpartition(".")[2]: each for each in reversed(names)}
    if short in by_last:
        return by_last[short]
    begun = [each for each in names if each.rpartition(".")[2].startswith(f"{short}_")]
    alike = begun or get_close_matches(name, names, n=1)
    alike = alike or [by_last[each] for each in get_close_matches(short, by_last, n=1)]
    return alike[0] if alike else None


def _quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    with suppress(HydraException, ValueError):  # of a number of thousands of digits
        read = OverridesParser.create().parse_override(argument)
        if not read.is_sweep_override():
            told = read.value()
            # In a text Hydra lets backslashes escape; what somebody has quoted is meant so.
            if not isinstance(told, str) or told == value or value.startswith(("'", '"')):
                return argument
    # Backslashes before a quotation mark have to be doubled, others are themselves.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    escaped += "\\" * (len(value) - len(value.rstrip("\\")))
    return f"{key}='{escaped}'"
