import gzip
import json
import time

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import build_review_graph
from rec_sys.reviews.cleaning import clean_reviews
from rec_sys.reviews.sequences import LocalSequences, read_sequences

SEQUENCES = {"0": [2, 0, 1], "1": [], "2": ["1", "2"]}
USER_IDS = "ann\t0\nbob\t1\ncyd\t2\n"
PRODUCT_IDS = "P9\t0\nP5\t1\nP7\t2\n"


def write(folder, name, content):
    content = content if isinstance(content, str) else json.dumps(content)
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def read(folder, content, **ids):
    return read_sequences(write(folder, "s.json", content), **ids)[0]


def lists_of(reviews):
    grouped = reviews.groupby("user_id", sort=False).product_id
    return {user: products.tolist() for user, products in grouped}


@pytest.mark.parametrize("name", ["s.json", "s.inter.json", "s.inter.json.gz"])
def test_numbers_and_texts_are_ids_as_they_are(name, tmp_path):
    reviews, report = read_sequences(write(tmp_path, name, SEQUENCES))
    assert lists_of(reviews) == {"0": ["2", "0", "1"], "2": ["1", "2"]}
    assert (reviews.text == "").all() and reviews.review_id.is_unique
    assert reviews[["rating", "timestamp", "nickname", "product_name"]].isna().all(axis=None)
    assert (report.format, report.num_records, report.num_broken) == ("sequences", 5, 0)
    assert report.notes == ["1 users without products"]


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_ids_are_found_beside_the_file(packed, tmp_path):
    path = write(tmp_path, "Shop.inter.json" + packed, SEQUENCES)
    write(tmp_path, "Shop.user2id" + packed, USER_IDS)
    write(tmp_path, "Shop.item2id" + packed, PRODUCT_IDS)
    source = LocalSequences(path)
    data = source.load()
    assert source.name == "Shop"
    assert lists_of(data.reviews) == {"ann": ["P7", "P9", "P5"], "cyd": ["P5", "P7"]}
    note = data.report[0]["note"]
    assert f"ids from Shop.user2id{packed}" in note and f"ids from Shop.item2id{packed}" in note


def test_named_ids_and_metadata(tmp_path):
    path = write(tmp_path, "s.json", SEQUENCES)
    ids = write(tmp_path, "products.txt", PRODUCT_IDS.replace("\t", "   ") + "\n")
    metadata = write(tmp_path, "meta.json", {"asin": "P5", "title": "Drum"})
    source = LocalSequences(str(path), product_ids_path=str(ids), metadata_path=str(metadata))
    data = source.load()
    assert lists_of(data.reviews)["2"] == ["P5", "P7"]
    assert dict(zip(data.products.product_id, data.products.name, strict=True))["P5"] == "Drum"


def test_of_a_repeated_product_the_last_place_stays(tmp_path):
    data = LocalSequences(write(tmp_path, "s.json", {"u": [1, 2, 1, 3, 3]})).load()
    assert lists_of(data.reviews) == {"u": ["2", "1", "3"]}


def test_the_cache_knows_all_files(tmp_path, capsys):
    path = write(tmp_path, "s.json", SEQUENCES)
    source = LocalSequences(path, cache_dir=tmp_path / "cache")

    def is_cached():
        capsys.readouterr()
        data = source.load()
        return "read and cleaned before" in capsys.readouterr().out, data

    assert [is_cached()[0] for _ in range(2)] == [False, True]
    ids = write(tmp_path, "s.item2id", PRODUCT_IDS)
    first = is_cached()
    second = is_cached()
    assert (first[0], second[0]) == (False, True)
    assert lists_of(first[1].reviews) == lists_of(second[1].reviews)
    assert first[1].fingerprint == second[1].fingerprint
    write(tmp_path, ids.name, PRODUCT_IDS + "P1\t3\n")
    assert not is_cached()[0]


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3).filter(str.strip),
        st.lists(st.integers(0, 30), unique=True, max_size=12),
        max_size=6,
    )
)
def test_the_order_survives_up_to_the_graph(tmp_path_factory, sequences):
    expected = {}
    for user, products in sequences.items():
        if products:
            expected[user.strip()] = list(map(str, products))
    folder = tmp_path_factory.mktemp("sequences")
    try:
        data = clean_reviews(read(folder, sequences))
    except InputError as error:
        repeated = len({user.strip() for user in sequences}) < len(sequences)
        assert ("occurs twice" in str(error) and repeated) or not expected
        return
    assert lists_of(data.reviews) == {user: expected[user] for user in sorted(expected)}
    graph = build_review_graph(data, lambda texts: np.zeros(len(texts), dtype=np.int64))
    products = np.split(graph.product_ids[graph.edge_product], graph.user_ptr[1:-1])
    assert dict(zip(graph.user_ids, map(list, products), strict=True)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2]]", "s.json: must be one object, .*got \\[\\[1, 2\\]\\]"),
        ('{"a": [1],\n"b": [1,]}', "s.json, line 2: not JSON from here on"),
        ("", "s.json, line 1: not JSON from here on"),
        ("[" * 100_000, "s.json: nested too deeply"),
        ("{}", "s.json: holds no products; must be one object"),
        ('{"a": []}', "s.json: holds no products"),
        ('{"a": 7}', "user 'a': must have a list of products, got 7"),
        ('{"a": {"b": 1}}', "user 'a': must have a list of products"),
        ('{"a": [1], "a": [2]}', "user 'a': occurs twice; join"),
        ('{"a": [1, 2.5]}', "user 'a', product 2 of the list: must be a number or a text, got 2.5"),
        ('{"a": [true]}', "product 1 of the list: must be a number or a text, got True"),
        ('{"a": [" "]}', "product 1 of the list: must be a number or a text"),
        ('{"a": [null]}', "product 1 of the list: must be a number or a text, got None"),
        ('{"": [1]}', "user '': must be a number or a text"),
    ],
)
def test_bad_sequences(content, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("P9\t0\nP5\t1\n", "s.json, user '0', product 1 of the list: 2 has no id in .*ids; give"),
        ("0\tP9\n", "has no id in .*ids"),
        ("P9\t0\nP5\n", "ids, line 2: must be ID<tab>NUMBER, got 'P5'"),
        ("P9\t0\nP5\t0\n", "ids, line 2: number 0 occurs twice"),
        ("P9\t0\nP9\t1\n", "ids, line 2: id 'P9' occurs twice"),
    ],
)
def test_bad_ids(ids, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, SEQUENCES, product_ids_path=write(tmp_path, "ids", ids))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="user '0': '0' has no id in "):
        read(tmp_path, SEQUENCES, user_ids_path=write(tmp_path, "users", "ann\t7\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences_path": None}, "data.sequences_path is missing: name your file"),
        ({"sequences_path": 7}, "data.sequences_path: must be a path"),
        ({"sequences_path": "none.json"}, "none.json: no such file"),
        ({"sequences_path": "s.csv"}, "s.csv: sequences are read from JSON"),
        ({"user_ids_path": "none.gz"}, "data.user_ids_path: none.gz: no such file"),
        ({"product_ids_path": ["a"]}, "data.product_ids_path: must be a path"),
        ({"metadata_path": "none.json"}, "none.json: no such file"),
    ],
)
def test_bad_settings(change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "s.csv", "a,b\n")
    settings = {"sequences_path": write(tmp_path, "s.json", SEQUENCES)} | change
    with pytest.raises(InputError, match=message) as caught:
        LocalSequences(**settings, cache_dir=tmp_path / "cache").load()
    assert "\n" not in str(caught.value)


def composed(folder, path, *overrides):
    overrides = [f"data.sequences_path={path}", *overrides]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        overrides = ["+data=sequences", f"+paths.cache_dir={folder}", *overrides]
        return instantiate(compose(overrides=overrides).data)


def test_config(tmp_path):
    path = write(tmp_path, "s.json", SEQUENCES)
    source = composed(tmp_path / "cache", path, "data.cleaning.min_reviews_per_user=3")
    assert isinstance(source, LocalSequences) and source.name == "s"
    assert lists_of(source.load().reviews) == {"0": ["2", "0", "1"]}


def test_real_files(real_data, tmp_path):
    path = real_data / "instruments_2018_sequences" / "Instruments.inter.json.gz"
    data = composed(tmp_path, path).load()
    assert len(data.reviews) == 206_153
    assert data.reviews.user_id.nunique() == 24_772 and len(data.products) == 9922
    with gzip.open(path) as file:
        first = next(iter(json.load(file).values()))
    assert lists_of(data.reviews)["A3RGY6UBZIA12Z"][0] == "B000FFWZKI"
    assert len(lists_of(data.reviews)["A3RGY6UBZIA12Z"]) == len(first)

    start = time.perf_counter()
    core = [f"data.cleaning.min_reviews_per_{what}=5" for what in ("user", "product")]
    data = composed(tmp_path, path, "data.cleaning.collapse_twins=0.8", *core).load()
    assert len(data.reviews) == 187_574
    assert data.reviews.user_id.nunique() == 22_634 and len(data.products) == 9665
    assert time.perf_counter() - start < 60  # seconds, on any machine
    [step] = [step for step in data.report if step["step"] == "variant twins"]
    assert step["note"].startswith("67 products merged into 64 others")
