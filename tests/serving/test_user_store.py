import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from rec_sys.inference.histories import WrittenReview
from rec_sys.serving.user_store import UserStore

E = "e" * 64
VECTOR = np.array([0.5, -0.25, 1], dtype=np.float16)


@pytest.fixture
def store(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
    yield store
    store.close()


def review(number, time=None, text="fine"):
    return WrittenReview(f"r{number}", "p1", "Drum", "Percussion", "", text, 4.5, time)


def test_what_goes_in_comes_out_oldest_first(store, tmp_path):
    full = WrittenReview("r0", "p1", "Drum", style="Big", text="n\x00ul & é🎸", rating=4.5, time=20)
    bare = WrittenReview("r1", text="only words")
    assert store.add("ann", [full, bare], {bare.text: VECTOR}, E, "Ann") == 2
    store.close()
    again = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
    user = again.find("ann", 10, E)
    assert (user.user_id, user.nickname, user.reviews) == ("ann", "Ann", [bare, full])
    np.testing.assert_array_equal(user.vectors["only words"], VECTOR)
    assert set(user.vectors) == {"only words"}
    assert again.find("bob", 10, E) is None
    other = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
    assert other.find("ann", 10, "f" * 64).vectors == {}  # of another encoder


def test_a_review_that_is_written_again_replaces_itself(store):
    store.add("ann", [review(0, 1, "old"), review(1, 2)], {}, E)
    assert store.add("ann", [review(0, 3, "new"), review(0, 4, "newer")], {}, E) == 2
    assert [each.text for each in store.find("ann", 10, E).reviews] == ["fine", "newer"]
    assert store.add("bob", [review(0)], {}, E) == 1  # ids are the person's own


def test_a_nickname_stays_until_there_is_another(store):
    for given, kept in ((None, None), ("Ann", "Ann"), (None, "Ann"), ("Anne", "Anne")):
        store.add("ann", [review(0)], {}, E, given)
        assert store.find("ann", 1, E).nickname == kept


def test_only_the_newest(store):
    store.add("ann", [review(number, number) for number in range(9)], {}, E)
    store.add("ann", [review(9)], {}, E)  # without a time: the oldest
    assert [each.review_id for each in store.find("ann", 3, E).reviews] == ["r6", "r7", "r8"]


def test_who_is_forgotten_is_gone(store):
    store.add("ann", [review(0)], {}, E)
    assert store.forget("ann") and not store.forget("ann")
    assert store.find("ann", 1, E) is None
    assert store.add("ann", [review(1)], {}, E) == 1


def test_many_writers_of_one_person(store):
    threads = [
        threading.Thread(
            target=lambda part=part: [
                store.add("ann", [review(f"{part}-{n}")], {}, E) for n in range(5)
            ]
        )
        for part in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.find("ann", 100, E).reviews) == 30


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path):
    url = f"sqlite:///{tmp_path / 'users.db'}"
    script = (
        "from rec_sys.serving.user_store import *\n"
        f"store = UserStore({url!r})\n"
        "for number in range(10**6):\n"
        "    store.add('ann', [WrittenReview(f'r{number}', text='x')], {}, 'e')\n"
        "    print(number, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate(timeout=30)
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    kept = {each.review_id for each in UserStore(url).find("ann", 10**6, E).reviews}
    assert {f"r{number}" for number in acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 1
