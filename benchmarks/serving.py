"""How fast the service answers, beside the naive way: the same model in a handler, straight on.

    uv run python benchmarks/serving.py [folder of a trained model] [seconds per measurement]

The folder holds what `train` leaves (checkpoints, cache); what is missing (vectorbase, bundle) is
made. Two services run one after the other on 127.0.0.1, each in a process of its own, and this
process puts the load on them, so both share the machine's cores.

- ours: ``rec_sys.serving.app`` with its defaults.
- naive: FastAPI as well, and the same `Recommender`, but with sentence-transformers and the
  PyTorch model in the handler, and reviews going through tables.

A new review is a text that the service has never seen, of up to 128 tokens as real reviews are
long; a known person's vectors are stored.
"""

import http.client
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rec_sys.foundation.console import show_table

HERE = Path(__file__).resolve()
CONCURRENCIES = (1, 8, 32)
MOST_TOKENS = 128
# Tokens of a new review: normally distributed around the mean of real ones.
MEAN_TOKENS, SPREAD_TOKENS = 88, 30
MOST_REQUESTS = 5000
STORE = "sqlite:///benchmark_users.db"
WARM_UP_REQUESTS = 20
PORT_LINE = re.compile(r"^ready: http://127\.0\.0\.1:(\d+)")


def texts(folder: Path) -> Iterator[str]:
    """Endless different reviews, made of the sentences of those in the bundle's people."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "bundle" / "text_encoder" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    people = json.loads((folder / "bundle" / "people.json").read_text())
    said = " ".join(review["TextReview"] for each in people for review in each["reviews"])
    sentences = re.split(r"(?<=[.!?])\s+", said)
    rng = np.random.default_rng()
    while True:
        wanted = np.clip(rng.normal(MEAN_TOKENS, SPREAD_TOKENS), 8, MOST_TOKENS - 2)
        text = f"Number {rng.integers(10**6)}."
        while len(tokenizer.encode(text).ids) < wanted:
            text = f"{text} {sentences[rng.integers(len(sentences))]}"
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: int(wanted)]
        yield tokenizer.decode(ids)


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: dict | None = None) -> bytes:
        """An answer, which must be a good one."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {read[:300]!r}")
        return read


def load(
    port: int, concurrency: int, seconds: float, ask: Callable[[Client, int], None]
) -> tuple[float, float, float]:
    """Keeps a number of clients busy: p50 and p99 in ms, answers per second."""
    times: list[float] = []
    wrong: list[Exception] = []
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        client = Client(port)
        try:
            while time.perf_counter() < end:
                start = time.perf_counter()
                ask(client, number)
                times.append(time.perf_counter() - start)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            wrong.append(error)

    start = time.perf_counter()
    threads = [threading.Thread(target=work, args=[number]) for number in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    p50, p99 = np.quantile(times, (0.5, 0.99)) * 1000
    return float(p50), float(p99), len(times) / (time.perf_counter() - start)


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[tuple[int, int, float]]:
    """A service: its port, its process id, the seconds until it was ready."""
    start = time.perf_counter()
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.setdefault("PYTHONPYCACHEPREFIX", str(folder / "cache" / "bytecode"))
    environment["PYTHONPATH"] = str(HERE.parents[1])
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        for line in process.stdout:
            if found := PORT_LINE.match(line):
                yield int(found[1]), process.pid, time.perf_counter() - start
                return
        raise RuntimeError(f"{command}: ended before it was ready")
    finally:
        process.terminate()
        process.wait(30)


def resident_mib(pid: int) -> float:
    """Resident memory of a process; Linux only."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def stage_ms(port: int) -> dict[str, tuple[float, float]]:
    """For each stage, and for whole requests in the server, the seconds and the times so far."""
    read = Client(port).ask("GET", "/metrics").decode()
    found = re.findall(r'rec_sys_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)', read)
    route = r'rec_sys_request_seconds_(sum|count)\{.*route="(/recommendations)".*\} (\S+)'
    values = {(stage, kind): float(value) for kind, stage, value in found}
    values |= {(stage, kind): float(value) for kind, stage, value in re.findall(route, read)}
    return {s: (values[s, "sum"], values[s, "count"]) for s, kind in values if kind == "sum"}


def naive_app(folder: Path) -> None:
    """Serves the naive way; run in a process of its own."""
    import pandas as pd
    import uvicorn
    from fastapi import FastAPI
    from sentence_transformers import SentenceTransformer

    from rec_sys.inference.recommender import Recommender
    from rec_sys.modules.checkpoint import find_checkpoint, load_trained
    from rec_sys.modules.inference_backends import TorchBackend
    from rec_sys.reviews.schema import REVIEW_SCHEMA, to_frame
    from rec_sys.text.encoder import EMBEDDED, locate_model
    from rec_sys.vector_database.vectorbase import read_vectorbase

    trained = load_trained(find_checkpoint(None, folder / "checkpoints"))
    encoder = SentenceTransformer(str(locate_model(EMBEDDED)))
    recommender = Recommender(
        TorchBackend(trained), read_vectorbase(folder / "vectorbase"), encoder.encode
    )
    app, lock = FastAPI(), threading.Lock()

    @app.post("/recommendations")
    def recommend(body: dict) -> list:
        columns = {name: [None] * len(body["reviews"]) for name in REVIEW_SCHEMA.names}
        columns["review_id"] = [str(number) for number in range(len(body["reviews"]))]
        columns["user_id"] = ["user"] * len(body["reviews"])
        columns["text"] = [review["TextReview"] for review in body["reviews"]]
        table: pd.DataFrame = to_frame(columns, REVIEW_SCHEMA)
        with lock:  # PyTorch Geometric keeps the attention on the layer between two calls
            (person,) = recommender.recommend(table, k=body.get("k", 10))
        return [(each.product_id, each.score) for each in person.recommendations]

    import socket

    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    print(f"ready: http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def main(folder: Path, seconds: float) -> None:
    """Measures and prints."""
    if not (folder / "bundle").is_dir():
        subprocess.run(
            [sys.executable, "-m", "rec_sys.serving.create_bundle"], cwd=folder, check=True
        )
    # Beforehand, so that making them takes no time from the services; never one twice.
    prepared = [text for _, text in zip(range(MOST_REQUESTS), texts(folder), strict=False)]

    def new_review(client: Client, _: int) -> None:
        text = prepared.pop()
        client.ask("POST", "/recommendations", {"reviews": [{"TextReview": text}], "k": 10})

    def known_person(client: Client, number: int) -> None:
        client.ask("GET", f"/users/bench{number}/recommendations?k=10")

    rows, shares, processes = [], [], []
    services = {
        "ours": ["-m", "rec_sys.serving.app", "serving.port=0", f"serving.store={STORE}"],
        "naive": [str(HERE), "--naive", str(folder)],
    }
    found = {}
    for name, command in services.items():
        with running(command, folder) as (port, pid, ready):
            client = Client(port)
            for _ in range(WARM_UP_REQUESTS):
                new_review(client, 0)
            for concurrency in CONCURRENCIES:
                before = stage_ms(port) if name == "ours" else {}
                measured = load(port, concurrency, seconds, new_review)
                found[name, concurrency] = measured
                rows.append([f"{name}: a new review", concurrency, *measured])
                means = {
                    stage: (spent - before[stage][0]) / (times - before[stage][1]) * 1000
                    for stage, (spent, times) in (stage_ms(port) if before else {}).items()
                }
                shares += [[stage, concurrency, mean] for stage, mean in means.items()]
                if means:
                    rest = means["/recommendations"] - means["encode"] - means["graph"]
                    shares.append(["all but encode and graph", concurrency, rest])
            if name == "ours":
                client = Client(port)  # the other connection was idle for too long
                people = json.loads((folder / "bundle" / "people.json").read_text())
                for number in range(max(CONCURRENCIES)):
                    reviews = people[number % len(people)]["reviews"]
                    client.ask("POST", f"/users/bench{number}/reviews", {"reviews": reviews})
                for concurrency in CONCURRENCIES:
                    measured = load(port, concurrency, seconds, known_person)
                    rows.append([f"{name}: a known person", concurrency, *measured])
            processes.append([name, ready, resident_mib(pid)])
    for path in folder.glob("benchmark_users.db*"):
        path.unlink()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    show_table(f"service ({machine})", ["what", "at once", "p50 ms", "p99 ms", "answers/s"], rows)
    show_table("mean ms in the server, a new review", ["stage", "at once", "ms"], shares)
    show_table("process", ["service", "s until ready", "MiB resident"], processes)
    ratios = [
        [
            concurrency,
            found["naive", concurrency][0] / found["ours", concurrency][0],
            found["ours", concurrency][2] / found["naive", concurrency][2],
        ]
        for concurrency in CONCURRENCIES
    ]
    show_table("ours against naive", ["at once", "p50, times faster", "answers/s, times"], ratios)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--naive"]:
        naive_app(Path(sys.argv[2]))
    else:
        main(
            Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve(),
            float(sys.argv[2]) if len(sys.argv) > 2 else 10.0,
        )
