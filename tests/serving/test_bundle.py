import json
import shutil

import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint import load_trained
from rec_sys.serving import create_bundle
from rec_sys.serving.bundle import GRAPH_MODEL, MANIFEST, VECTORBASE, read_bundle
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from rec_sys.vector_database.update_vectorbase import update_vectorbase
from tests.helpers.tiny_models import config_of, replaced, save_checkpoint


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
    for content in ("[]", '{"format": 99}', '{"format": 1}'):
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
    (bundle / MANIFEST).write_text(json.dumps(told))
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


def test_an_updated_vectorbase_is_not_lost(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoint_dir")
    create_vectorbase(config_of("vectorbase_config", tmp_path))
    data = replaced("data", "LaterShop", "without=[p2]")
    updated = update_vectorbase(config_of("update_config", tmp_path, *data))
    found = create_bundle._vectorbase_of(load_trained(path), config_of("bundle_config", tmp_path))
    assert found.manifest == updated.manifest and found.num_products == 5
