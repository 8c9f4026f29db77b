"""The web service as a person starts it, over real HTTP, with real signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.helpers.commands import TIMEOUT, Running, Shell

HEAVY = ("torch", "torch_geometric", "pytorch_lightning", "sentence_transformers", "transformers")


@pytest.fixture(scope="module")
def service(served_shop):
    running = Running(served_shop)
    yield running
    running.stop()


def test_reviews_in_recommendations_out(service, served_shop):
    people = service.ask("/people")["people"]
    assert len(people) == 6 and all(3 <= len(each["reviews"]) <= 6 for each in people)
    answer = service.ask("/recommendations", {"people": people, "k": 5})
    for asked, person in zip(people, answer["people"], strict=True):
        reviewed = {each["asin"] for each in asked["reviews"]}
        items = person["recommendations"]
        assert len(items) == 5 and not reviewed & {each["asin"] for each in items}
        assert all(each["because"] and each["reason"] for each in items)
    assert (served_shop.folder / "users.db").is_file()


def test_a_known_person_gets_the_same_as_through_infer(service, served_shop):
    (person, *_) = service.ask("/people")["people"]
    service.ask("/users/me/reviews", {"reviews": person["reviews"]})
    served = service.ask("/users/me/recommendations?k=5")["people"][0]
    (served_shop.folder / "me.json").write_text(json.dumps(person["reviews"]))
    served_shop.ok("inference.infer", "infer.reviews=me.json", "infer.k=5", "paths.output_dir=mine")
    line = (served_shop.folder / "mine" / "recommendations.jsonl").read_text().splitlines()[0]
    inferred = json.loads(line)["recommendations"]
    assert [each["product_id"] for each in inferred] == [
        each["asin"] for each in served["recommendations"]
    ]
    for one, two in zip(inferred, served["recommendations"], strict=True):
        # The training's vectors may be of lower precision than those of the exported encoder.
        assert one["score"] == pytest.approx(two["score"], abs=1e-3)
        assert one["predicted_rating"] == pytest.approx(two["predicted_rating"], abs=1e-2)


def test_no_copy_of_the_settings_which_may_be_secret_is_left(service, served_shop):
    kept = [path.name for path in (served_shop.folder / "outputs" / "app").rglob("*")]
    assert "app.log" in kept and not [name for name in kept if name.endswith(".yaml")]


def test_kill_9_during_posts_loses_no_acknowledged_review(served_shop):
    service, acknowledged = Running(served_shop), []
    kept_going = threading.Event()

    def post(part: int) -> None:
        for number in range(10_000):
            name = f"k{part}-{number}"
            try:
                body = {"reviews": [{"reviewID": name, "TextReview": f"fine {number % 3}"}]}
                service.ask("/users/killed/reviews", body)
            except OSError:
                return
            acknowledged.append(name)
            if len(acknowledged) > 30:
                kept_going.set()

    threads = [threading.Thread(target=post, args=[part]) for part in range(3)]
    for thread in threads:
        thread.start()
    assert kept_going.wait(TIMEOUT)
    service.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    again = Running(served_shop, f"serving.limits.reviews={len(acknowledged) + 10}")
    try:
        reviews = again.ask("/users/killed/reviews")["reviews"]
    finally:
        again.stop()
    assert set(acknowledged) <= {each["reviewID"] for each in reviews}


def test_sighup_takes_up_the_bundle_that_is_there_now(service, served_shop):
    bundle = Path(served_shop.folder) / "bundle"
    graph_model = bundle / "graph_model" / "model.onnx"
    whole = graph_model.read_bytes()
    graph_model.write_bytes(whole[:-1])
    os.kill(service.process.pid, signal.SIGHUP)
    time.sleep(1)
    assert service.ask("/recommendations", {"reviews": []})["people"]
    assert not any(line.startswith("reloaded") for line in service.lines)
    graph_model.write_bytes(whole)
    os.kill(service.process.pid, signal.SIGHUP)
    for _ in range(TIMEOUT * 10):
        if any(line.startswith("reloaded: model ") for line in service.lines):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"not reloaded: {service.lines}")
    until = time.monotonic() + 2  # each comes while others are handled
    while time.monotonic() < until:
        os.kill(service.process.pid, signal.SIGHUP)
    assert service.ask("/recommendations", {"reviews": []})["people"]


def test_a_port_that_is_taken(service, served_shop):
    port = service.address.rpartition(":")[2]
    done = served_shop.run("serving.app", f"serving.port={port}")
    assert done.returncode == 2
    assert f"serving.port={port}: cannot be listened on" in done.stderr


def test_no_checkpoint_to_make_a_bundle_of(tmp_path):
    done = Shell(tmp_path).run("serving.app")
    assert done.returncode == 2 and "train" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_imports_nothing_heavy(served_shop):
    """What a container without PyTorch must be able to do: everything but making the bundle."""
    script = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from hydra import compose, initialize_config_dir
from fastapi.testclient import TestClient
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.serving.server import build_components
from rec_sys.serving.api import create_app
import triton_utils.backends
with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
    config = compose("serve_config", ["serving.store=sqlite:///heavy.db"])
components = build_components(config)
app = create_app(components, components.service.start)
with TestClient(app, base_url="http://localhost") as client:
    components.service.start()
    answer = client.post("/recommendations", json={{"reviews": [{{"TextReview": "warm"}}]}})
assert answer.status_code == 200, answer.text
assert answer.json()["people"][0]["recommendations"]
"""
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=served_shop.folder,
        check=True,
        timeout=TIMEOUT,
    )


def test_an_unknown_person_and_an_unknown_page(service):
    assert service.ask("/users/nobody/recommendations")["people"][0]["fallback"] == "popular"
    with pytest.raises(HTTPError, match="404"):
        service.ask("/nowhere")
