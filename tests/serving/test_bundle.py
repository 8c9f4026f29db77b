import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import MANIFEST, sealed, sha256_of, write_json
from rec_sys.inference.bundle import GRAPH_MODEL, TEXT_ENCODER, VECTORBASE, read_bundle
from rec_sys.modules.checkpoint import load_trained
from rec_sys.serving import create_bundle
from rec_sys.serving import service as service_module
from rec_sys.serving.server import build_components, serve
from rec_sys.serving.service import Service
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from rec_sys.vector_database.update_vectorbase import update_vectorbase
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import replaced, save_checkpoint
from tests.helpers.tiny_service import config_with


def test_what_was_sealed_is_read(bundle):
    opened = read_bundle(bundle)
    assert len(opened.vectorbase.products) == opened.manifest["num_products"] == 6
    assert opened.graph_model.is_file() and opened.people[0]["nickname"] == "Ann"
    told = json.loads((bundle / MANIFEST).read_text())
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert set(told["sha256"]) == files - {MANIFEST}


@pytest.mark.parametrize("name", [GRAPH_MODEL, "people.json", f"{VECTORBASE}/index.faiss"])
def test_a_file_that_is_damaged_or_missing(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-1] + b"?")
    with pytest.raises(InputError, match=f"{name}: damaged.*create_bundle"):
        read_bundle(bundle)
    (bundle / name).unlink()
    with pytest.raises(InputError, match=f"{name}: is missing"):
        read_bundle(bundle)


def test_no_bundle_and_one_of_another_version(bundle, tmp_path):
    with pytest.raises(InputError, match="holds no bundle.*create_bundle"):
        read_bundle(tmp_path / "nowhere")
    for content in ("[]", '{"format": 99}', '{"format": 3}'):
        (bundle / MANIFEST).write_text(content)
        with pytest.raises(InputError, match="another version"):
            read_bundle(bundle)


def test_products_of_another_model(bundle, two_bundles):
    shutil.rmtree(bundle / VECTORBASE)
    shutil.copytree(two_bundles[1] / VECTORBASE, bundle / VECTORBASE)
    told = json.loads((bundle / MANIFEST).read_text())
    other = json.loads((two_bundles[1] / MANIFEST).read_text())
    for name in told["sha256"]:
        if name.startswith(VECTORBASE):
            told["sha256"][name] = other["sha256"][name]
    write_json(bundle / MANIFEST, sealed(told))
    with pytest.raises(InputError, match="another model"):
        read_bundle(bundle)


def test_a_checkpoint_that_is_written_anew_meanwhile(two_bundles, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "checkpoint_dir")
    other = read_bundle(two_bundles[1]).vectorbase
    monkeypatch.setattr(create_bundle, "_vectorbase_of", lambda *_: other)
    config = config_of("bundle_config", tmp_path, f"paths.bundle_dir={tmp_path / 'bundle'}")
    with pytest.raises(InputError, match="another model"):
        create_bundle.create_bundle(config)
    assert not (tmp_path / "bundle").exists()


def test_only_what_is_told_comes_into_a_bundle(two_bundles, tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "checkpoint_dir")
    create_vectorbase(config_of("vectorbase_config", tmp_path))
    (tmp_path / "vectorbase_dir" / "notes.txt").symlink_to("/proc/self/environ")
    os.mkfifo(tmp_path / "vectorbase_dir" / "pipe")
    path.with_suffix(".md").symlink_to("/proc/self/environ")

    def take_them(trained, encoder, folder):
        for name in (GRAPH_MODEL, TEXT_ENCODER):
            of_one = Path(name).parts[0]
            shutil.copytree(two_bundles[0] / of_one, folder / of_one, dirs_exist_ok=True)

    monkeypatch.setattr(create_bundle, "_write_models", take_them)
    config = config_of("bundle_config", tmp_path, f"paths.bundle_dir={tmp_path / 'bundle'}")
    with pytest.raises(InputError, match=r"\.md: is no regular file"):
        create_bundle.create_bundle(config)
    path.with_suffix(".md").unlink()
    made = create_bundle.create_bundle(config)
    found = {each.name for each in (made.folder / VECTORBASE).iterdir()}
    assert found == {*made.vectorbase.manifest["sha256"], MANIFEST}


def test_an_updated_vectorbase_is_not_lost(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoint_dir")
    create_vectorbase(config_of("vectorbase_config", tmp_path))
    data = replaced("data", "LaterShop", "without=[p2]")
    updated = update_vectorbase(config_of("update_config", tmp_path, *data))
    found = create_bundle._vectorbase_of(load_trained(path), config_of("bundle_config", tmp_path))
    assert found.manifest == updated.manifest and found.num_products == 5


def seal(bundle):
    """Makes the checksums those of the files that are there now."""
    for folder, skipped in ((bundle / VECTORBASE, MANIFEST), (bundle, MANIFEST)):
        told = json.loads((folder / MANIFEST).read_text())
        files = [p for p in folder.rglob("*") if p.is_file() and p != folder / skipped]
        told["sha256"] = {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}
        write_json(folder / MANIFEST, sealed(told))


def test_a_service_whose_model_cannot_be_run_ends_as_for_other_bad_input(bundle, text):
    (bundle / GRAPH_MODEL).write_bytes(b"no model")
    seal(bundle)
    before = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(InputError, match=f"{GRAPH_MODEL}: not a readable ONNX model"):
            serve(config_with(bundle, "serving.port=0"))
    finally:
        signal.signal(signal.SIGHUP, before)


def change_arrays(name, change):
    def spoil(bundle):
        path = bundle / VECTORBASE / name
        arrays = load_file(path)
        change(arrays)
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)

    return spoil


def change_vectors(key, change):
    def spoiled(arrays):
        arrays[key] = change(arrays[key])

    return change_arrays("product_vectors.safetensors", spoiled)


def change_products(change):
    def spoil(bundle):
        path = bundle / VECTORBASE / "products.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return spoil


def change_manifest(change, folder=VECTORBASE):
    def spoil(bundle):
        path = bundle / folder / MANIFEST
        told = json.loads(path.read_text())
        change(told)
        write_json(path, sealed(told))

    return spoil


def with_nan(array):
    array = array.copy()
    array[2, 1] = np.nan
    return array


def twice_the_first_id(table):
    ids = table["product_id"].to_pylist()
    return table.set_column(0, "product_id", [[ids[0], *ids[:-1]]])


def edges_to_nowhere(arrays):
    for name in arrays:
        if name.endswith("neighbours"):
            arrays[name] = arrays[name] + 1000


def values_of_nothing(arrays):
    for name in arrays:
        if name.startswith("values."):
            arrays[name] = np.full_like(arrays[name], np.inf)


def words_of_less_than_nothing(arrays):
    arrays["words.length"] = -arrays["words.length"]


SPOILED = {
    "NaN in the keys": change_vectors("keys", with_nan),
    "NaN in the embeddings": change_vectors("embeddings", with_nan),
    "infinite text vectors": change_vectors("name", lambda a: np.full_like(a, np.inf)),
    "another type": change_vectors("keys", lambda a: a.astype(np.float64)),
    "another length": change_vectors("info", lambda a: a[:, :-1]),
    "other products": change_vectors("review_texts", lambda a: a[:-1]),
    "one axis less": change_vectors("review_ratings", lambda a: a[:, 0]),
    "an array is missing": change_arrays("product_vectors.safetensors", lambda a: a.pop("info")),
    "an id twice": change_products(twice_the_first_id),
    "fewer rows": change_products(lambda table: table.slice(1)),
    "a column is missing": change_products(lambda table: table.drop_columns("style")),
    "edges to nowhere": change_arrays("evidences.safetensors", edges_to_nowhere),
    "infinite evidence": change_arrays("evidences.safetensors", values_of_nothing),
    "negative lengths": change_arrays("evidences.safetensors", words_of_less_than_nothing),
    "more removed rows": change_arrays(
        "index_rows.safetensors", lambda a: a.update(removed=np.zeros(99, bool))
    ),
    "no index": lambda bundle: (bundle / VECTORBASE / "index.faiss").write_bytes(b"no index"),
    "no arrays": lambda bundle: (bundle / VECTORBASE / "evidences.safetensors").write_bytes(b"{}"),
    "no table": lambda bundle: (bundle / VECTORBASE / "products.parquet").write_bytes(b"PAR1"),
    "no graph model": lambda bundle: (bundle / GRAPH_MODEL).write_bytes(b"no model"),
    "no text encoder": lambda bundle: shutil.rmtree(bundle / TEXT_ENCODER),
    "people who are none": lambda bundle: (bundle / "people.json").write_text('{"a": 1}'),
    "people with parts": lambda bundle: (bundle / "people.json").write_text(
        json.dumps([{"reviews": [{"TextReview": [[]]}]}])
    ),
    "half a character": lambda bundle: (bundle / "people.json").write_text('[{"a": "\\ud800"}]'),
    "features of another kind": change_manifest(lambda told: told.update(features=[1])),
    "a combiner of nothing": change_manifest(lambda told: told.update(combiner={})),
    "checksums as a list": change_manifest(lambda told: told.update(created=1), "."),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_sealed_bundle_that_is_wrong_is_refused_and_the_old_one_stays(service, bundle, spoil):
    client, components = service("serving.admin_key=secret")
    served = components.service.served
    spoil(bundle)
    seal(bundle)
    refused = client.post("/admin/reload", headers={"X-API-Key": "secret"})
    assert refused.status_code == 409, refused.text
    assert "old bundle stays" in refused.json()["detail"][0]["message"]
    assert components.service.served is served
    assert client.get("/health/ready").status_code == 200
    with pytest.raises(InputError, match=str(bundle)):
        Service(bundle, components.settings).start()


def test_a_bundle_that_does_not_fit_ends_the_start(bundle, text, monkeypatch):
    components = build_components(config_with(bundle))
    monkeypatch.setattr(service_module, "in_process", lambda *_: 1 / 0)
    with pytest.raises(InputError, match="cannot be used .ZeroDivisionError"):
        components.service.start()
    components.store.close()
