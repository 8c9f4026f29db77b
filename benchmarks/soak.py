"""Keeps the service at half of what it can do for a while: no error, and no more memory at the end.

    uv run python benchmarks/soak.py [folder of a trained model] [minutes]

Four clients write new reviews, post reviews to keep, and ask for people who are known, at a steady
pace; the pace is half of what the same mix reaches at full speed in the first seconds.
"""

import itertools
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
from serving import STORE, Client, load, resident_mib, running, texts

from rec_sys.foundation.console import show_table

CLIENTS = 4
MEASURED_SECONDS = 10.0
# Memory settles (threads, caches) before it is compared.
SETTLED_SHARE = 0.2
PEOPLE = 50


def main(folder: Path, minutes: float) -> None:
    """Runs and prints."""
    counter, endless, lock = itertools.count(), texts(folder), threading.Lock()

    def mixed(client: Client, _: int) -> None:
        number = next(counter)
        with lock:
            text = next(endless)
        body = {"reviews": [{"reviewID": f"r{number % 7}", "TextReview": text}]}
        user = f"/users/soak{number % PEOPLE}"
        if number % 3 == 0:
            client.ask("POST", "/recommendations", body | {"k": 10})
        elif number % 3 == 1:
            client.ask("POST", f"{user}/reviews", body)
        else:
            client.ask("GET", f"{user}/recommendations?k=10")

    command = ["-m", "rec_sys.serving.app", "serving.port=0", f"serving.store={STORE}"]
    with running(command, folder) as (port, pid, _):
        *_, top = load(port, CLIENTS, MEASURED_SECONDS, mixed)
        pause = 2 * CLIENTS / top
        end, memory, times = time.time() + 60 * minutes, [], []
        errors: list[str] = []

        def work() -> None:
            client, due = Client(port), time.time()
            while (due := due + pause) < end:
                time.sleep(max(0.0, due - time.time()))
                start = time.perf_counter()
                try:
                    mixed(client, 0)
                except (OSError, RuntimeError) as error:
                    errors.append(str(error))
                    client = Client(port)
                times.append(time.perf_counter() - start)

        threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append(resident_mib(pid))
            time.sleep(1)
        settled = memory[int(SETTLED_SHARE * len(memory)) :]
        tenth = max(1, len(settled) // 10)
        first, last = np.median(settled[:tenth]), np.median(settled[-tenth:])
        rows = [
            ["answers/s at full speed", top],
            ["answers", len(times)],
            ["answers/s while soaking", len(times) / (60 * minutes)],
            ["errors", len(errors)],
            ["p50 ms", 1000 * float(np.median(times))],
            ["p99 ms", 1000 * float(np.quantile(times, 0.99))],
            ["MiB resident, settled", float(first)],
            ["MiB resident, at the end", float(last)],
        ]
        show_table(f"soak of {minutes:g} minutes", ["", "value"], rows)
        for error in errors[:5]:
            print(json.dumps(error))
    for path in folder.glob("benchmark_users.db*"):
        path.unlink()


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve(),
        float(sys.argv[2]) if len(sys.argv) > 2 else 10.0,
    )
