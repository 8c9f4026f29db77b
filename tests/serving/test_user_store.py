import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from rec_sys.inference.written_reviews import WrittenReview
from rec_sys.serving.user_store import UserStore

VECTOR = np.array([0.5, -0.25, 1], dtype=np.float16)


@pytest.fixture
def store(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path / 'users.db'}", "e" * 64)
    yield store
    store.close()


def review(number, time=None, text="fine"):
    return WrittenReview(f"r{number}", "p1", "Drum", "Percussion", "", text, 4.5, time)


def test_what_goes_in_comes_out_oldest_first(store, tmp_path):
    full = WrittenReview("r0", "p1", "Drum", style="Big", text="n\x00ul & é🎸", rating=4.5, time=20)
    bare = WrittenReview("r1", text="only words")
    assert store.add("ann", [full, bare], {bare.text: VECTOR}, "Ann") == 2
    store.close()
    again = UserStore(f"sqlite:///{tmp_path / 'users.db'}", "e" * 64)
    user = again.find("ann", 10)
    assert (user.user_id, user.nickname, user.reviews) == ("ann", "Ann", [bare, full])
    np.testing.assert_array_equal(user.vectors["only words"], VECTOR)
    assert set(user.vectors) == {"only words"}
    assert again.find("bob", 10) is None
    other = UserStore(f"sqlite:///{tmp_path / 'users.db'}", "f" * 64)
    assert other.find("ann", 10).vectors == {}  # of another encoder


def test_a_review_that_is_written_again_replaces_itself(store):
    store.add("ann", [review(0, 1, "old"), review(1, 2)], {})
    assert store.add("ann", [review(0, 3, "new"), review(0, 4, "newer")], {}) == 2
    assert [each.text for each in store.find("ann", 10).reviews] == ["fine", "newer"]
    assert store.add("bob", [review(0)], {}) == 1  # ids are the person's own


def test_a_nickname_stays_until_there_is_another(store):
    for given, kept in ((None, None), ("Ann", "Ann"), (None, "Ann"), ("Anne", "Anne")):
        store.add("ann", [review(0)], {}, given)
        assert store.find("ann", 1).nickname == kept


def test_only_the_newest(store):
    store.add("ann", [review(number, number) for number in range(9)], {})
    store.add("ann", [review(9)], {})  # without a time: the oldest
    assert [each.review_id for each in store.find("ann", 3).reviews] == ["r6", "r7", "r8"]


def test_who_is_forgotten_is_gone(store):
    store.add("ann", [review(0)], {})
    assert store.forget("ann") and not store.forget("ann")
    assert store.find("ann", 1) is None
    assert store.add("ann", [review(1)], {}) == 1


def test_many_writers_of_one_person(store):
    threads = [
        threading.Thread(
            target=lambda part=part: [
                store.add("ann", [review(f"{part}-{n}")], {}) for n in range(5)
            ]
        )
        for part in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.find("ann", 100).reviews) == 30


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path):
    url = f"sqlite:///{tmp_path / 'users.db'}"
    script = (
        "from rec_sys.serving.user_store import *\n"
        f"store = UserStore({url!r}, 'e' * 64)\n"
        "for number in range(10**6):\n"
        "    store.add('ann', [WrittenReview(f'r{number}', text='x')], {})\n"
        "    print(number, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate(timeout=30)
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    kept = {each.review_id for each in UserStore(url, "e" * 64).find("ann", 10**6).reviews}
    assert {f"r{number}" for number in acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 1
