"""File names of any kind pass Hydra's grammar as they are; a command ends at once, but in order."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from rec_sys.foundation import cli
from rec_sys.foundation.arguments import for_hydra
from rec_sys.foundation.cli import (
    EXIT_BAD_INPUT,
    compose_config,
    graceful_exit,
)
from rec_sys.foundation.console import TYPED, printable
from rec_sys.foundation.errors import EXIT_INTERRUPTED, InputError
from rec_sys.foundation.files import replacing
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


_TURNED = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
"""
_SWALLOWED = """
    class Passing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(1000))
    Passing()
    time.sleep(60)
"""


@pytest.mark.parametrize("body", [_TURNED, _SWALLOWED])
def test_ctrl_c_of_which_a_library_makes_something_else_is_one_line(body):
    program = f"""
import os, signal, time
from rec_sys.foundation.cli import graceful_exit
@graceful_exit
def main(): {body}
main()
"""
    start = "import sys; sys.argv = ['-m']; import signal\n"
    start += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", start + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == EXIT_INTERRUPTED
    assert done.stderr.startswith("interrupted") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda draft: draft.write_bytes(b"x" * 100_000),
        lambda draft: np.save(draft, np.zeros(100_000)),
        lambda draft: torch.save(torch.zeros(100_000), draft),
        lambda draft: save_file({"x": np.zeros(100_000)}, draft),
        lambda draft: faiss.write_index(full_index(), str(draft)),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path, capfd, write):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @graceful_exit
    def command():
        with replacing(tmp_path / "x.npy") as draft:
            write(draft)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # as a full disk
        with pytest.raises(SystemExit) as end:
            command()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = capfd.readouterr().err
    assert end.value.code == EXIT_BAD_INPUT and not list(tmp_path.iterdir())
    assert "error: " in told and f"{tmp_path / 'x.npy'}: cannot be written to (" in told


def test_a_setting_that_was_taken_out_is_needed(tmp_path, monkeypatch, capfd):
    @cli.command("infer_config")
    def program(config):
        return config.paths.vectorbase_dir

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["infer", "~paths.vectorbase_dir"])
    with pytest.raises(SystemExit) as end:
        program()
    assert end.value.code == EXIT_BAD_INPUT
    told = capfd.readouterr().err
    assert "error: paths.vectorbase_dir: Key 'vectorbase_dir' is not in struct" in told


def full_index():
    index = faiss.IndexFlatIP(8)
    index.add(np.zeros((10_000, 8), dtype=np.float32))
    return index


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "error: not enough memory"),
        (PermissionError(13, "Permission denied", "a.json"), "error: a.json: cannot be used (Perm"),
        (NotADirectoryError(20, "Not a directory", "a/b"), "error: a/b: cannot be used (Not a "),
        (OSError(28, "No space", "a.onnx", None, "b.onnx"), "error: b.onnx: cannot be written"),
        (InputError("a\x1b[2J\nb\ud800: no such file"), "error: a\ufffd[2J b\ufffd: no such file"),
    ],
)
def test_what_ends_a_command_is_one_line_that_commands_no_terminal(error, told, capsys):
    @graceful_exit
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(told)


def test_a_name_without_end_is_told_in_short(capsys):
    @graceful_exit
    def main():
        raise InputError(f"{'x' * 10**6}.json: no such file; name another one")

    with pytest.raises(SystemExit):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: xxx") and line.endswith("x.json: no such file; name another one")
    assert len(line) < 3000


def test_commands_are_told_as_they_are_typed(monkeypatch):
    assert printable("run `uv run -m rec_sys.train.train`") == "run `uv run -m rec_sys.train.train`"
    monkeypatch.setitem(TYPED, "uv run -m rec_sys.train.train", "rec-sys train")
    assert printable("run `uv run -m rec_sys.train.train`") == "run `rec-sys train`"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("infer.wish=${nope}", "infer.wish: Interpolation key 'nope' not found"),
        ("infer.wish=${oc.env:NO_SUCH_NAME}", "infer.wish: KeyError raised while"),
        ("paths.output_dir=2026", "paths.output_dir=2026: must be text; write"),
        ("checkpoint=5", "checkpoint=5: must be text"),
        ("paths.cache_dir={}", "paths.cache_dir={}: must be text; name a path"),
        ("paths.cache_dir=null", "paths.cache_dir=None: must be text; name a path"),
        ("paths.output_dir=???", "paths.output_dir: Missing mandatory value"),
        ("~paths", "~paths: is needed"),
        ("paths=[]", "paths=[]: is needed"),
        ("+data=-0.5", "+data=-0.5: is needed"),
        ("data=true", "data=true: is needed"),
        ("paths=null", "paths=null: is needed"),
        ("hydra=null", "hydra=null: is Hydra's own"),
    ],
)
def test_values_that_nothing_can_be_made_of_are_one_line(override, told):
    with pytest.raises(InputError) as refused:
        compose_config("infer_config", [override])
    assert str(refused.value).startswith(told)
    compose_config("infer_config", ["paths.output_dir='2026'"])
    for folder in ("null", "[a]", "{a: 1}"):
        with pytest.raises(InputError, match="^folder=.*: must be text; name a path$"):
            compose_config("recommend_all_config", [f"folder={folder}"])
    assert compose_config("infer_config", ["infer={wish: warm}"]).infer.wish == "warm"
