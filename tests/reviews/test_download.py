"""Against a small server on this machine: no test needs a network."""

import gzip
import os
from dataclasses import replace

import gdown
import pytest
import requests

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.download import Patience, fetch_file
from rec_sys.reviews.sources import DownloadedReviews
from tests.helpers.file_server import BODY, Server, serving
from tests.helpers.review_samples import PRODUCT_RECORDS, REVIEWS, as_lines

QUICK = Patience(retries=0, backoff_seconds=0.01, timeout_seconds=5)
OTHER = gzip.compress(os.urandom(300_000), compresslevel=0)
HALF = len(BODY) // 2


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "data.json.gz"


def failure(path, url, drive_id=None, patience=QUICK):
    with pytest.raises(InputError) as caught:
        fetch_file(path, url, drive_id, patience)
    message = str(caught.value)
    assert "\n" not in message and not path.exists()
    return message


def names(path):
    """What lies beside the file, locks aside."""
    return sorted(each.name for each in path.parent.iterdir() if each.suffix != ".lock")


def interrupt(server, path, after=HALF):
    server.drop_after = [after]
    message = failure(path, server.url())
    assert f"broke off after {after} bytes" in message
    assert path.with_name("data.json.gz.part").stat().st_size == after
    server.seen.clear()


def test_full(server, path):
    assert fetch_file(path, server.url(), patience=QUICK) == path
    assert path.read_bytes() == BODY and names(path) == ["data.json.gz"]
    assert server.seen[0]["Accept-Encoding"] == "identity" and "Range" not in server.seen[0]


def test_a_file_that_is_there_is_used(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == b"mine" and server.seen == []


def test_interrupted_and_resumed(server, path):
    interrupt(server, path)
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and names(path) == ["data.json.gz"]
    [request] = server.seen
    assert request["Range"] == f"bytes={HALF}-" and request["If-Range"].startswith('"')


def test_a_retry_resumes_too(server, path):
    server.drop_after = [1000, 2000]
    fetch_file(path, server.url(), patience=replace(QUICK, retries=2))
    assert path.read_bytes() == BODY
    assert [request.get("Range") for request in server.seen] == [None, "bytes=1000-", "bytes=3000-"]


def test_a_server_without_ranges_starts_over(server, path):
    server.ranges = False
    interrupt(server, path)
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and "Range" in server.seen[0]


@pytest.mark.parametrize("looks_at_if_range", [True, False])
def test_a_changed_file_is_not_glued_on(looks_at_if_range, server, path):
    interrupt(server, path)
    server.files["/data.json.gz"] = OTHER
    server.looks_at_if_range = looks_at_if_range
    fetch_file(path, server.url(), patience=replace(QUICK, retries=1))
    assert path.read_bytes() == OTHER


def test_without_etags_the_size_tells(server, path):
    server.etags = False
    interrupt(server, path)
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and "If-Range" not in server.seen[0]
    path.unlink()
    interrupt(server, path)
    server.files["/data.json.gz"] = OTHER + gzip.compress(b"more")
    fetch_file(path, server.url(), patience=replace(QUICK, retries=1))
    assert path.read_bytes() == server.files["/data.json.gz"]


def test_a_part_of_another_address_is_not_used(server, path):
    interrupt(server, path)
    server.files["/other.json.gz"] = OTHER
    fetch_file(path, server.url("other.json.gz"), patience=QUICK)
    assert path.read_bytes() == OTHER and "Range" not in server.seen[0]


def test_a_part_that_nothing_is_known_of_is_not_used(server, path):
    interrupt(server, path)
    path.with_name("data.json.gz.part.json").write_text("{")
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and "Range" not in server.seen[0]


def test_a_part_that_is_too_long(server, path):
    interrupt(server, path)
    with path.with_name("data.json.gz.part").open("ab") as part:
        part.write(bytes(len(BODY)))
    fetch_file(path, server.url(), patience=replace(QUICK, retries=1))
    assert path.read_bytes() == BODY


def test_a_whole_part_needs_no_server(server, path):
    interrupt(server, path)
    path.with_name("data.json.gz.part").write_bytes(BODY)
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and server.seen == []


def test_a_packed_file_is_not_unpacked_on_the_way(server, path):
    server.headers = {"Content-Encoding": "gzip"}
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY


def test_not_found(server, path):
    message = failure(path, server.url("none.json.gz"), patience=replace(QUICK, retries=3))
    assert "HTTP 404 Not Found" in message and f"save it as {path}" in message
    assert len(server.seen) == 1 and server.url("none.json.gz") in message


def test_a_busy_server_is_asked_again(server, path):
    server.statuses = [503, 429, 200]
    fetch_file(path, server.url(), patience=replace(QUICK, retries=2))
    assert path.read_bytes() == BODY
    path.unlink()
    server.statuses = [503, 503]
    assert "HTTP 503" in failure(path, server.url(), patience=replace(QUICK, retries=1))


def test_no_server(path):
    with Server() as server:
        url = server.url()
    message = failure(path, url)
    assert f"{url}: no connection" in message and f"save it as {path}" in message


def test_not_an_address(path):
    assert "not a usable address" in failure(path, "nonsense")


def test_a_silent_server(path):
    with Server() as server:  # connects, but nobody serves
        patience = Patience(retries=0, timeout_seconds=0.1)
        assert "no answer within 0.1 s" in failure(path, server.url(), patience=patience)


def test_what_is_no_gzip_file_is_removed(server, path):
    server.files["/data.json.gz"] = b"<html>Please log in</html>"
    assert "not a whole gzip file and was removed" in failure(path, server.url())
    assert names(path) == ["data.json.gz.part.json"]
    server.files["/data.json.gz"] = BODY
    fetch_file(path, server.url(), patience=QUICK)
    assert path.read_bytes() == BODY and names(path) == ["data.json.gz"]


def test_a_folder_that_may_not_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        fetch_file(tmp_path / "file" / "data.json.gz", server.url(), patience=QUICK)


def test_google_drive(path, monkeypatch):
    calls = []

    def download(**arguments):
        calls.append(arguments)
        with open(arguments["output"], "wb") as file:
            file.write(BODY)

    monkeypatch.setattr(gdown, "download", download)
    fetch_file(path, "http://127.0.0.1:9/data.json.gz", "the-id", QUICK)
    assert path.read_bytes() == BODY and names(path) == ["data.json.gz"]
    [call] = calls
    assert (call["id"], call["resume"]) == ("the-id", True)


@pytest.mark.parametrize(
    "error",
    [
        gdown.exceptions.FileURLRetrievalError("Cannot retrieve\n\tthe public link"),
        gdown.exceptions.DownloadError("ended early"),
        requests.ConnectionError("unreachable"),
    ],
)
def test_google_drive_fails(error, path, monkeypatch):
    def download(**_):
        raise error

    monkeypatch.setattr(gdown, "download", download)
    message = failure(path, "http://127.0.0.1:9/data.json.gz", "the-id")
    assert "Google Drive: " in message and str(error).split()[0] in message
    assert "uc?id=the-id" in message and f"save it as {path}" in message


def test_gdown_takes_these_arguments():
    import inspect

    known = inspect.signature(gdown.download).parameters
    assert {"id", "output", "resume", "retries", "timeout"} <= set(known)


def test_a_downloaded_data_set(server, tmp_path):
    packed = {
        "reviews.json.gz": gzip.compress(as_lines(REVIEWS["amazon_2018"]())),
        "meta.json.gz": gzip.compress(as_lines(PRODUCT_RECORDS["amazon_2018"])),
    }
    server.files = {f"/{name}": content for name, content in packed.items()}
    source = DownloadedReviews(
        tmp_path / "files",
        server.url("reviews.json.gz"),
        server.url("meta.json.gz"),
        expected_reviews=3,
        cache_dir=tmp_path / "cache",
    )
    first = source.load()
    assert (len(first.reviews), len(first.products)) == (3, 2) and len(server.seen) == 2
    assert source.load().fingerprint == first.fingerprint and len(server.seen) == 2
