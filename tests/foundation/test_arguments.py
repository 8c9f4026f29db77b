"""What somebody types, typical mistakes among it, and what they are told."""

import json
import subprocess
import sys
import tomllib

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.__main__ import COMMANDS
from rec_sys.foundation.arguments import for_hydra, likely_name
from rec_sys.foundation.cli import CONFIG_DIR, EXIT_BAD_INPUT
from rec_sys.foundation.errors import InputError

NAMES = ["train.max_epochs", "train.lr", "serving.port", "infer.reviews", "data.reviews_path"]


def run(*arguments):
    command = [sys.executable, "-m", "rec_sys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "3"], "--epochs: settings are given as key=value; did you mean train.max_ep"),
        (["--max-epochs=3"], "did you mean train.max_epochs=3?"),
        (["my.json"], "my.json: .* did you mean infer.reviews=my.json?"),
        (["fast"], "fast: settings are given as key=value; a value of several words"),
        (["--nonsense-with-nothing-alike"], "--help lists them"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(arguments, message):
    with pytest.raises(InputError, match=message):
        for_hydra(arguments, NAMES)


def test_a_number_of_thousands_of_digits_is_told_by_the_setting():
    number = "1" + "0" * 5000  # more than Python makes a number of
    assert for_hydra([f"train.max_epochs={number}"], NAMES) == [f"train.max_epochs='{number}'"]


def test_a_setting_is_found_without_its_place():
    assert likely_name("port", NAMES) == "serving.port"
    assert likely_name("epochs", NAMES) == "train.max_epochs"
    assert likely_name("train.max_epoch", NAMES) == "train.max_epochs"
    parts = ["match.max_epochs", "train.max_epochs", "match.seed", "train.seed"]
    assert likely_name("epochs", parts) == "train.max_epochs"  # rather than that of a part
    assert likely_name("seed", parts) == "train.seed"
    assert likely_name("xyzzy", NAMES) is None
    files = ["trainer.devices", "data.reviews_path", "data.num_users", "data.columns.user_id"]
    assert likely_name("reviews", files) == "data.reviews_path"
    assert likely_name("data.columns.user", files) == "data.columns.user_id"


def test_the_extra_of_the_service_brings_all_that_it_imports():
    told = tomllib.loads((CONFIG_DIR.parent / "pyproject.toml").read_text())
    extras = told["project"]["optional-dependencies"]
    brought = {*told["project"]["dependencies"], *extras["serve"], *extras["triton"]}
    assert {*told["dependency-groups"]["serving"]} <= brought


def test_what_hydra_understands_stays_as_it_is():
    given = ["a.b=3", "a=[1,2]", "a={b: 1}", "+a=null", "~a", "a=true", "--cfg", "job", "a=b c"]
    assert for_hydra(given, NAMES) == given
    sweep = ["--multirun", "a=1,2"]
    assert for_hydra(sweep, NAMES) == sweep


PATHS = [
    "отзывы/мои отзывы.json", "a,b.json", "[draft].json", "it's.json", 'say "hi".json',
    "a=b=c.json", "f(1).json", "ends with \\", "both\\'s.json", "{x}.json", "#1.json",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_with_odd_characters_arrives_as_it_was_typed(path):
    assert arrives(path) == path


@given(st.text("abя ,[]{}()='\"\\=#.:/-_", min_size=1).map(str.strip))
def test_any_name_arrives_or_is_a_value_of_another_kind(path):
    value = arrives(path + ".json")
    assert value == path + ".json" or not isinstance(value, str)


def arrives(path):
    (argument,) = for_hydra([f"infer.reviews={path}"], NAMES)
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("name", ["train", "infer"])
def test_help_tells_what_can_be_set_and_gives_examples(name):
    told = run(name, "--help")
    assert told.returncode == 0 and not told.stderr
    lines = told.stdout.splitlines()
    assert f"usage: rec-sys {name} [KEY=VALUE ...]" in lines and max(map(len, lines)) <= 100
    assert told.stdout.count(f"\n  rec-sys {name} ") == 2  # examples
    assert "\nmore: docs/" in told.stdout


def test_help_is_made_of_the_comments():
    told = run("train", "--help").stdout
    assert "  train.max_epochs=30             the best one is kept\n" in told
    assert "  split=users                     one of leave_one_out, new_products," in told
    assert "train.warmup_epochs" not in told
    assert (
        "  train.warmup_epochs=1           in this epoch the"
        in run("train", "--help", "all").stdout
    )


def test_the_most_used_settings_exist():
    for file in CONFIG_DIR.glob("*_config.yaml"):
        for line in file.read_text().splitlines():
            for name in line.removeprefix("# often: ").split() if "# often: " in line else ():
                group, _, rest = name.partition(".")
                text = "".join(f.read_text() for f in [file, *(CONFIG_DIR / group).glob("*.yaml")])
                assert (CONFIG_DIR / name).is_dir() or f"{rest.rpartition('.')[2] or name}:" in text


def test_commands_are_the_modules():
    listed = run()
    assert listed.returncode == 0 and all(f"\n  {name} " in listed.stdout for name in COMMANDS)
    assert run("--version").stdout.startswith("rec-sys ")
    unknown = run("tarin")
    assert unknown.returncode == EXIT_BAD_INPUT and unknown.stderr.startswith(
        "error: tarin: no suc"
    )
    elsewhere = run("train", "data.reviews_path=mine.json")
    assert "data.reviews_path: a setting of data=local only; choose that, too" in elsewhere.stderr
    wrong = run("infer", "port=1")
    assert wrong.returncode == EXIT_BAD_INPUT and wrong.stderr.count("\n") == 1


def test_a_file_with_an_odd_name_is_read(tmp_path):
    path = tmp_path / "мои [отзывы], 'лучшие'=да.json"
    path.write_text(json.dumps("no reviews"))
    told = run("train", "data=local", f"data.reviews_path={path}")
    assert told.returncode == EXIT_BAD_INPUT
    assert path.name in told.stderr and told.stderr.startswith("error: ")
