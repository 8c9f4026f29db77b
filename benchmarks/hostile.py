"""What one hostile client does to the others: their p99 with and without it, in one run.

    uv run python benchmarks/hostile.py [folder of a trained model] [seconds per phase]

A service with its defaults runs on 127.0.0.1 over the bundle of the folder; 16 others ask all the
time for recommendations by one review that it has never seen. In the second of three phases
somebody sends the largest bodies that are allowed, asks for the longest answers, and keeps 100 slow
bodies open. All share the machine's cores: only the ratio travels, and the load beside it is told.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from rec_sys.foundation.console import show_table

OTHERS, SLOW_BODIES, PROBE_SECONDS = 16, 100, 0.25
WORDS = ("warm", "quiet", "small", "light", "strings", "stage", "guitar", "amplifier", "cable")
JSON = {"Content-Type": "application/json"}
SLOW = b"POST /recommendations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{"
_number = count()


def text(rng, words):
    return f"{next(_number)} " + " ".join(rng.choice(WORDS, words))


def ordinary(rng):
    return {"reviews": [{"TextReview": text(rng, 40), "rating": 5}], "k": 10}


def most_texts(rng):
    reviews = [[{"TextReview": text(rng, 100), "rating": 4}] * 2 for _ in range(600)]
    return {"people": [{"reviews": sum(reviews[i::100], [])} for i in range(100)], "k": 20}


def most_products(rng):
    return {"people": [{"wish": text(rng, 20)} for _ in range(20)], "k": 100}


class Client(threading.Thread):
    """Asks again and again, over one connection, until told to stop."""

    def __init__(self, port, make, pause=0.0):
        super().__init__(daemon=True)
        self.port, self.make, self.pause = port, make, pause
        self.seconds, self.statuses, self.is_over = [], {}, threading.Event()

    def run(self):
        """Asks."""
        rng = np.random.default_rng()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.is_over.wait(self.pause):
            body = self.make(rng) if self.make else None
            started = time.perf_counter()
            if body is None:
                connection.request("GET", "/health/ready")
            else:
                connection.request("POST", "/recommendations", json.dumps(body), JSON)
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - started)
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1


def slowest_probe(port, seconds):
    """How long ``/health/ready`` took at most, asked by a process of its own: the threads of the
    others would keep it waiting here, too."""
    probe = Client(port, None, PROBE_SECONDS)
    probe.start()
    time.sleep(seconds)
    probe.is_over.set()
    probe.join()
    assert set(probe.statuses) == {200}, probe.statuses
    return max(probe.seconds)


def slow_bodies(port, is_over):
    while not is_over.is_set():
        kept = [socket.create_connection(("127.0.0.1", port)) for _ in range(SLOW_BODIES)]
        for connection in kept:
            connection.sendall(SLOW)
        is_over.wait(10)
        for connection in kept:
            connection.close()


def phase(port, pid, seconds, is_hostile):
    others = [Client(port, ordinary) for _ in range(OTHERS)]
    bad, is_over = [], threading.Event()
    if is_hostile:
        bad = [Client(port, most_texts), Client(port, most_products)]
        threading.Thread(target=slow_bodies, args=(port, is_over), daemon=True).start()
    for each in (*others, *bad):
        each.start()
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        slowest = process.submit(slowest_probe, port, seconds).result()
    is_over.set()
    for each in (*others, *bad):
        each.is_over.set()
    for each in (*others, *bad):
        each.join()
    took = np.sort(np.concatenate([each.seconds for each in others]))
    refused = sum(n for each in others for status, n in each.statuses.items() if status != 200)
    rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024
    p50, p99 = np.quantile(took, (0.5, 0.99))
    name = "hostile" if is_hostile else "peaceful"
    row = [name, len(took), refused, f"{1000 * p50:.0f}", f"{1000 * p99:.0f}"]
    row += [f"{1000 * took[-1]:.0f}", f"{1000 * slowest:.0f}", rss]
    told = ", ".join(str(each.statuses) for each in bad)
    return p99, [*map(str, row), f"{os.getloadavg()[0]:.1f}", told]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 120.0
    command = [sys.executable, "-m", "rec_sys.serving.app", "serving.port=0"]
    command += ["serving.store=sqlite:///benchmark_users.db"]
    service = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        ready = next(line for line in service.stdout if line.startswith("ready: "))
        port = int(ready.rsplit(":", 1)[1])
        found = [phase(port, service.pid, seconds, hostile) for hostile in (False, True, False)]
    finally:
        service.terminate()
        service.wait()
    columns = ["phase", "requests", "refused", "p50 ms", "p99 ms", "max ms", "ready max ms"]
    show_table(
        "others", [*columns, "RSS MiB", "load", "hostile answers"], [row for _, row in found]
    )
    print(f"p99 with / without: {found[1][0] / max(found[0][0], found[2][0]):.1f}")


if __name__ == "__main__":
    main()
