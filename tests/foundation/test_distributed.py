"""Threads are bounded before the libraries that compute are imported."""

import os
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from rec_sys.foundation import distributed
from rec_sys.foundation.errors import InputError

_SHOW = """
import os, rec_sys
print(*(os.environ.get(name) for name in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")))
"""


def environment_in_a_new_process(**given: str) -> list[str]:
    bounds = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in bounds}
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW], env=kept | given, capture_output=True, text=True, check=True
    )
    return shown.stdout.split()


def test_waiting_threads_do_not_spin_for_long():
    assert int(environment_in_a_new_process()[0]) > 0


@pytest.mark.parametrize("given", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_the_environment_has_the_last_word(given):
    expected = given.get("GOMP_SPINCOUNT", "None")
    assert environment_in_a_new_process(**given)[0] == expected


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "150000 100000"}, "1"),
        ({"cpu.max": "250000 100000"}, "2"),
        ({"cpu.max": "max 100000"}, None),
        ({"quota": "300000", "period": "100000"}, "3"),
        ({"quota": "-1", "period": "100000"}, None),
        ({}, None),
    ],
)
def test_threads_follow_the_quota_of_the_container(files, threads, tmp_path, monkeypatch):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(distributed, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(distributed, "_QUOTA_AND_PERIOD", [tmp_path / "quota", tmp_path / "period"])
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    distributed.bound_threads()
    found = os.environ.get("OMP_NUM_THREADS")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # so that it is taken back
    assert found == threads


def blas_threads() -> set[int]:
    """Of NumPy's and SciPy's BLAS, which this process has loaded; that of FAISS is of OpenMP."""
    found = (each for each in threadpool_info() if each["internal_api"] == "openblas")
    return {each["num_threads"] for each in found if each["threading_layer"] == "pthreads"}


@pytest.mark.skipif(
    os.environ.get("OPENBLAS_NUM_THREADS") != "1", reason="the environment gives BLAS a number"
)
def test_blas_shares_among_threads_what_is_large_alone(monkeypatch):
    assert blas_threads() == {1}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for size, threads in ((10, 1), (100_000, 2)):
            with distributed.all_threads(size):
                assert blas_threads() == {threads}
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")  # somebody's own word
        with distributed.all_threads(100_000):
            assert blas_threads() == {1}
    finally:
        torch.set_num_threads(before)
    assert blas_threads() == {1}


def test_a_rank_that_is_no_number_is_told(monkeypatch):
    monkeypatch.setenv("RANK", "abc")
    with pytest.raises(InputError, match="RANK=abc: must be a whole number"):
        distributed.is_main_process()
