import gzip
import hashlib
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.reviews import reading as load_module
from rec_sys.reviews.cleaning import CleaningOptions
from rec_sys.reviews.sources import DemoReviews, DownloadedReviews, LocalReviews
from tests.helpers.review_samples import PRODUCT_RECORDS, REVIEWS, as_lines, write


def write_both(folder):
    return (
        write(folder, "reviews.jsonl", as_lines(REVIEWS["amazon_2018"]())),
        write(folder, "products.jsonl", as_lines(PRODUCT_RECORDS["amazon_2018"])),
    )


def same(one, two):
    pd.testing.assert_frame_equal(one.reviews, two.reviews)
    pd.testing.assert_frame_equal(one.products, two.products)
    assert (one.report, one.fingerprint) == (two.report, two.fingerprint)


@pytest.fixture
def readings(monkeypatch):
    """Counts how often reviews are really parsed."""
    paths = []
    genuine = load_module.read_reviews
    monkeypatch.setattr(
        load_module,
        "read_reviews",
        lambda path, **more: paths.append(path) or genuine(path, **more),
    )
    return paths


def test_local_files(tmp_path):
    reviews, products = write_both(tmp_path)
    source = LocalReviews(str(reviews), str(products))
    data = source.load()
    assert (len(data.reviews), len(data.products)) == (3, 2) and source.name == "reviews"
    assert [step["step"] for step in data.report[:2]] == ["products read", "reviews read"]
    assert data.report[1]["rows"] == 3 and "amazon_2018" in data.report[1]["note"]
    alone = LocalReviews(reviews, name="mine")
    assert alone.name == "mine" and alone.load().products.name.tolist() == ["", ""]


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_both(tmp_path)
    source = LocalReviews("~/reviews.jsonl", "~/products.jsonl", cache_dir="~/cache")
    assert len(source.load().reviews) == 3 and (tmp_path / "cache").is_dir()


def test_the_second_run_does_not_parse(tmp_path, readings, capsys):
    reviews, products = write_both(tmp_path)
    source = LocalReviews(reviews, products, cache_dir=tmp_path / "cache")
    first = source.load()
    capsys.readouterr()
    second = source.load()
    assert len(readings) == 1 and "read and cleaned before" in capsys.readouterr().out
    same(first, second)


def test_a_change_of_anything_parses_again(tmp_path, readings):
    reviews, products = write_both(tmp_path)
    cache = {"cache_dir": tmp_path / "cache"}
    LocalReviews(reviews, products, **cache).load()
    LocalReviews(reviews, **cache).load()
    stricter = CleaningOptions(min_reviews_per_user=2)
    LocalReviews(reviews, products, cleaning=stricter, **cache).load()
    LocalReviews(reviews, products, max_info_characters=5, **cache).load()
    assert len(readings) == 4
    stat = reviews.stat()
    os.utime(reviews, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    LocalReviews(reviews, products, **cache).load()
    assert len(readings) == 5
    os.utime(products, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    LocalReviews(reviews, products, **cache).load()
    assert len(readings) == 6


@pytest.mark.parametrize("name", ["reviews.parquet", "products.parquet", "report.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "other"])
def test_a_damaged_cache_is_not_trusted(name, how, tmp_path, readings):
    paths = write_both(tmp_path)
    source = LocalReviews(*paths, cache_dir=tmp_path / "cache")
    first = source.load()
    [folder] = (tmp_path / "cache" / "review_tables").iterdir()
    if how == "gone":
        (folder / name).unlink()
    elif how == "cut":
        (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    elif name == "report.json":
        kept = (folder / name).read_text()
        (folder / name).write_text(re.sub(r'"report": (?s:.*?)\]', '"report": [5]', kept))
    else:  # a readable table with other content
        table = pd.read_parquet(folder / name, dtype_backend="pyarrow")
        table[::-1].reset_index(drop=True).to_parquet(folder / name)
    second = source.load()
    assert len(readings) == 2
    same(first, second)
    same(first, source.load())
    assert len(readings) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reviews_path": None}, "data.reviews_path is missing: name your file"),
        ({"reviews_path": ["a", "b"]}, "data.reviews_path: must be a path"),
        ({"reviews_path": "none.json"}, "none.json: no such file"),
        ({"metadata_path": "none.json"}, "none.json: no such file"),
        ({"reviews_format": "x"}, "no format 'x'"),
        ({"metadata_format": "x"}, "no format 'x'"),
        ({"max_broken_share": 2}, "data.max_broken_share=2: must be at most 1"),
        ({"max_broken_share": "x"}, "data.max_broken_share=x: must be a number"),
        ({"max_info_characters": -1}, "data.max_info_characters=-1: must be at least 0"),
        ({"cleaning": {"k": 1}}, "data.cleaning=.*CleaningOptions"),
    ],
)
def test_bad_settings(change, message, tmp_path):
    reviews, products = write_both(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        LocalReviews(**({"reviews_path": reviews, "metadata_path": products} | change)).load()
    assert "\n" not in str(caught.value)


def test_the_demo_is_written_once(tmp_path, readings):
    def demo(**change):
        sizes = {"num_users": 12, "num_products": 9, "reviews_per_user": 4} | change
        return DemoReviews(tmp_path / "demo", **sizes, cache_dir=tmp_path / "cache")

    def written():
        return (tmp_path / "demo" / "reviews.jsonl").stat().st_mtime_ns

    first = demo().load()
    assert first.reviews.user_id.nunique() == 12 and len(first.products) <= 9
    time = written()
    same(first, demo().load())
    assert written() == time and len(readings) == 1

    assert demo(seed=1).load().fingerprint != first.fingerprint
    assert demo().load().fingerprint == first.fingerprint  # and not what lay there
    with (tmp_path / "demo" / "reviews.jsonl").open("a") as file:
        file.write("{}\n")
    assert demo().load().fingerprint == first.fingerprint


def test_demo_sizes_are_checked(tmp_path):
    with pytest.raises(InputError, match="data.num_users=0: must be at least 1"):
        DemoReviews(tmp_path, num_users=0).load()


def test_files_put_there_by_hand_need_no_network(tmp_path):
    (tmp_path / "reviews.json.gz").write_bytes(gzip.compress(as_lines(REVIEWS["amazon_2018"]())))
    nowhere = "http://127.0.0.1:9/reviews.json.gz"
    data = DownloadedReviews(tmp_path, nowhere, expected_reviews=3).load()
    assert len(data.reviews) == 3
    wrong = DownloadedReviews(tmp_path, nowhere, expected_reviews=4, cache_dir=tmp_path / "cache")
    message = "holds 3 reviews, expected 4; delete the file .*data.expected_reviews=null"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            wrong.load()
    DownloadedReviews(tmp_path, nowhere, cache_dir=tmp_path / "cache").load()
    with pytest.raises(InputError, match=message):  # from the cache too
        wrong.load()


def test_a_file_with_another_checksum_is_not_taken(tmp_path):
    content = gzip.compress(as_lines(REVIEWS["amazon_2018"]()))
    (tmp_path / "reviews.json.gz").write_bytes(content)
    nowhere, right = "http://127.0.0.1:9/reviews.json.gz", hashlib.sha256(content).hexdigest()
    assert len(DownloadedReviews(tmp_path, nowhere, reviews_sha256=right).load().reviews) == 3
    with pytest.raises(InputError, match=f"checksum is {right}, not 00.*reviews_sha256=null"):
        DownloadedReviews(tmp_path, nowhere, reviews_sha256="00").load()


def test_addresses_must_name_files(tmp_path):
    with pytest.raises(InputError, match="data.reviews_url is missing"):
        DownloadedReviews(tmp_path, None).load()
    with pytest.raises(InputError, match="names no file"):
        DownloadedReviews(tmp_path, "http://127.0.0.1/").load()
    with pytest.raises(InputError, match="data.retries=x: must be a whole number"):
        DownloadedReviews(tmp_path, "http://127.0.0.1/a.json", retries="x").load()


def composed(tmp_path, name, *overrides):
    paths = [f"+paths.{key}={tmp_path / key}" for key in ("cache_dir", "data_dir")]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(overrides=[f"+data={name}", *paths, *overrides]).data


def test_config_demo(tmp_path):
    config = composed(tmp_path, "demo", "data.num_users=12", "data.num_products=9")
    source = instantiate(config)
    assert isinstance(source, DemoReviews) and source.name == config.name == "demo"
    assert source.cleaning == CleaningOptions()
    assert source.load().reviews.user_id.nunique() == 12
    assert Path(config.folder, "reviews.jsonl").is_file()


def test_config_local(tmp_path):
    reviews, products = write_both(tmp_path)
    source = instantiate(
        composed(
            tmp_path,
            "local",
            f"data.reviews_path={reviews}",
            f"data.metadata_path={products}",
            "data.cleaning.min_reviews_per_user=2",
        )
    )
    assert isinstance(source, LocalReviews) and source.name == "reviews"
    assert len(source.load().reviews) == 2
    with pytest.raises(InputError, match="data.reviews_path is missing"):
        instantiate(composed(tmp_path, "local")).load()


def test_config_musical_instruments(tmp_path):
    source = instantiate(composed(tmp_path, "musical_instruments"))
    assert isinstance(source, DownloadedReviews) and source.expected_reviews == 231_392
    assert source.name == "musical_instruments" and source.reviews_drive_id is None
    names = [Path(url).name for url in (source.reviews_url, source.metadata_url)]
    assert names == ["Musical_Instruments_5.json.gz", "meta_Musical_Instruments.json.gz"]
    older = instantiate(composed(tmp_path, "musical_instruments_2014"))
    assert older.expected_reviews == 10_261 and older.folder != source.folder
    assert {len(each.reviews_sha256) for each in (source, older)} == {64}


def test_real_files(real_data, tmp_path):
    expected = {"musical_instruments_2014": 10_261, "gift_cards_2018": 2965}
    for name, rows in expected.items():
        [metadata] = (real_data / name).glob("meta_*")
        [reviews] = (path for path in (real_data / name).iterdir() if path != metadata)
        source = LocalReviews(reviews, metadata, cache_dir=tmp_path)
        first = source.load()
        assert len(first.reviews) == rows and json.dumps(first.report)
        same(first, source.load())


@pytest.mark.parametrize(
    "names",
    [
        ["reviews.jsonl", "products.jsonl", "settings.json"],
        ["reviews.jsonl"],
        ["products.jsonl", "settings.json"],
        ["settings.json"],
    ],
)
def test_the_demo_is_not_written_over_files_of_somebody(tmp_path, names):
    mine = dict.fromkeys(names, '{"a": 1}')
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="holds something else"):
        DemoReviews(tmp_path).load()
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
