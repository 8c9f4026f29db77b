"""File names of any kind pass Hydra's grammar as they are; a command ends at once, but in order."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.arguments import for_hydra
from rec_sys.foundation.errors import EXIT_INTERRUPTED
from tests.helpers.commands import Shell

NAMES = ["отзывы.jsonl", "评论.jsonl", "reviews (1).jsonl", "ann's.jsonl", "a=b.jsonl", "x,y.csv"]


def value_of(argument):
    return OverridesParser.create().parse_override(for_hydra([argument], [])[0]).value()


@pytest.mark.parametrize(
    "name", [*NAMES, "reviews #2.jsonl", "/with blank/a.json", r"C:\data\r.csv"]
)
def test_any_name_of_a_file_is_its_own_value(name):
    assert value_of(f"data.reviews_path={name}") == name


@given(st.text(st.sampled_from("aZ9é评 ,()'=#%!&;@~+-_./"), min_size=1).map(lambda t: f"f{t}f.csv"))
def test_names_of_odd_characters(name):
    assert value_of(f"data.reviews_path={name}") == name


def test_what_hydra_understands_stays_as_it_is():
    given = ["data=demo", "train.seed=3", "data.rating_scale=[1,10]", "+a.b={c: 1}", "~x"]
    assert for_hydra(given, []) == given


@pytest.mark.parametrize("daemon", [True, False])
def test_what_was_promised_for_the_end_is_kept(daemon):
    program = f"""
import atexit, threading
from rec_sys.foundation.cli import graceful_exit
@graceful_exit
def main():
    atexit.register(print, "registered", end="")
    late = threading.Timer(0.2, print, ["waited "], dict(end=""))
    late.daemon = {daemon}
    late.start()
    print("main ", end="")
main()
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said == f"main {'' if daemon else 'waited '}registered"


@pytest.mark.parametrize("module", ["inference.infer", "serving.app", "train.train"])
def test_ctrl_c_while_libraries_are_imported_is_one_line(module, tmp_path):
    process = Shell(tmp_path).start(module, "serving.port=-1")
    loaded = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "/_yaml." not in loaded.read_text():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == EXIT_INTERRUPTED
    assert told.startswith("interrupted") and told.count("\n") == 1
