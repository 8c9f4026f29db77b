"""Fixtures that several rooms use, and the order of the rooms."""

# The import bounds the threads of BLAS, which NumPy reads when it is imported.
import rec_sys  # noqa: F401

# isort: split
import gc
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from rec_sys.graph.review_graph import build_review_graph
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, ReviewData, to_frame

DIMENSION = 8
#: The quick ones first; what is not named comes between, or last where there are several processes,
#: which end together if what is left for the end is short.
FIRST = ("foundation", "reviews", "text", "graph")
#: Each of these shares what it trains or starts: one process runs all of it,
LAST = ("train", "triton_utils", "cluster", "end_to_end")
#: but for these, which have something of their own.
APART = ("demo", "evaluate_command", "later_file", "several_processes", "wheel")
#: Begun at once where there are several processes: it takes longest.
LONGEST = "end_to_end"

IN_ONE_OF_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Of the libraries' objects hardly any is garbage.
gc.set_threshold(100_000)

# Where Python may keep no bytecode, each command would compile this package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if IN_ONE_OF_SEVERAL:
    # pytest-xdist's own, which would be the path of every command that a test starts, too.
    os.environ.pop("PYTHONPATH", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {room: number for number, room in enumerate(FIRST, -len(FIRST))}
    place |= {room: number for number, room in enumerate((APART, *LAST), 1)}
    others = max(place.values()) + 1 if IN_ONE_OF_SEVERAL else 0
    if IN_ONE_OF_SEVERAL:
        place[LONGEST] = min(place.values()) - 1

    def place_of(item: pytest.Item) -> int:
        return place.get(APART if _is_apart(item.nodeid) else _room_of(item.nodeid), others)

    items.sort(key=place_of)


class _RoomsAndFiles(LoadScopeScheduling):
    """Gives a process whole files, and of `LAST` whole rooms."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _RoomsAndFiles(config, log)


def _scope_of(nodeid: str) -> str:
    room, file = _room_of(nodeid), nodeid.partition("::")[0]
    return room if room in LAST and not _is_apart(nodeid) else file


def _is_apart(nodeid: str) -> bool:
    name = Path(nodeid.partition("::")[0]).stem.removeprefix("test_")
    return _room_of(nodeid) == LONGEST and name in APART


def _room_of(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets, see benchmarks/README.md."""
    folder = os.environ.get("REC_SYS_DATA_DIR")
    if not folder:
        pytest.skip("REC_SYS_DATA_DIR does not name a folder of real data sets")
    return Path(folder)


@pytest.fixture
def small_data() -> ReviewData:
    """Four users (0 to 3 of history), four products, one without name, missing rating and time."""
    columns = {
        "review_id": list("abcdefgh"),
        "user_id": ["ann", "ann", "bob", "ann", "cyd", "cyd", "cyd", "dan"],
        "product_id": ["p1", "p2", "p1", "p3", "p1", "p2", "p4", "p4"],
        "text": ["good", "bad", "", "fine", "warm", "cold", "loud", "fine"],
        "rating": [5, 1, 4, 3, 4, None, 2, 5],
        "timestamp": [300_000, 100_000, 200_000, None, 1, 2, 3, 4],
    }
    empty = dict.fromkeys(("nickname", "product_name", "product_info", "style"), [None] * 8)
    products = {
        "product_id": ["p1", "p2", "p3", "p4"],
        "name": ["Drum", "Flute", "", "Harp"],
        "info": ["A drum", "", "", "A harp"],
        "style": ["Percussion", "Wind", "", ""],
        "brand": ["Taps", "", "", "TAPS"],
    }
    return ReviewData(to_frame(columns | empty, REVIEW_SCHEMA), to_frame(products, PRODUCT_SCHEMA))


@pytest.fixture
def small_graph(small_data):
    """The graph of `small_data` with random vectors: (graph, vectors float16 [N, 8])."""
    rows = {"": 0}
    graph = build_review_graph(
        small_data, lambda texts: np.array([rows.setdefault(t, len(rows)) for t in texts])
    )
    vectors = np.random.default_rng(0).normal(size=(len(rows), DIMENSION)).astype(np.float16)
    vectors[0] = 0
    return graph, vectors


@pytest.fixture
def built(tmp_path):
    """A vectorbase of the tiny shop, built by the command from a checkpoint below `tmp_path`."""
    from rec_sys.vector_database.create_vectorbase import create_vectorbase
    from tests.helpers.configs import config_of
    from tests.helpers.tiny_models import save_checkpoint

    save_checkpoint(tmp_path / "checkpoint_dir")
    return create_vectorbase(config_of("vectorbase_config", tmp_path))


@pytest.fixture(scope="session")
def encoder():
    """all-MiniLM-L6-v2 from the installed package, in single precision."""
    from rec_sys.text.encoder import TextEncoder

    return TextEncoder("embedded", "fp32", 256, "cpu", "never written to")


@pytest.fixture(scope="session")
def exported_encoder(encoder, tmp_path_factory):
    """The folder that the encoder is exported to: a version in a Triton repository."""
    from rec_sys.text.encoder_export import export_encoder
    from triton_utils.repository import write_config

    folder = tmp_path_factory.mktemp("repository") / "text_encoder" / "1"
    export_encoder(encoder, folder)
    write_config(folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def triton_wheel():
    """The folder of Triton's wheel; what needs it is skipped only if it is nowhere to be had."""
    from tests.helpers.triton_server import WheelMissing, install_triton

    if shutil.which("uv") is None:
        pytest.skip("uv is not installed, which fetches Triton")
    try:
        return install_triton()
    except WheelMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def page_url():
    """Where the page is served: override it to put another service behind the same tests."""
    from tests.helpers.page_server import fake_service

    with fake_service() as address:
        yield address


# Not for the whole session: while Playwright runs, nobody else can run an event loop.
@pytest.fixture(scope="module")
def browser():
    from tests.helpers.page_server import headless_chromium

    with headless_chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, page_url):
    """Opens the page in a fresh profile; at the end nothing may have gone wrong in any of them."""
    from tests.helpers.page_server import watched_page

    with watched_page(browser, page_url) as open_page:
        yield open_page
