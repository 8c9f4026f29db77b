import json
from dataclasses import fields

import numpy as np
import pyarrow.parquet as pq
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.modules.product_graph import ProductGraphBuilder
from rec_sys.vector_database.create_vectorbase import create_vectorbase, known_edges
from rec_sys.vector_database.vectorbase import read_vectorbase
from tests.helpers.tiny_models import (
    GRAPH_CONFIG,
    HELD_OUT,
    PRODUCTS,
    REVIEWS,
    FakeEncoder,
    config_of,
    replaced,
    save_checkpoint,
    shop,
    tiny_model,
)


def test_the_folder_is_what_the_checkpoint_says(built, tmp_path):
    trained = load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt")
    manifest = json.loads((built.folder / "manifest.json").read_text())
    assert manifest == built.manifest
    assert manifest["model_fingerprint"] == trained.fingerprint
    assert manifest["checkpoint"] == "tiny.ckpt"
    assert manifest["encoder_model_fingerprint"] == FakeEncoder().model_fingerprint
    assert manifest["data_fingerprint"] == shop().fingerprint
    sizes = [manifest[key] for key in ("num_products", "vector_dim", "embedding_dim")]
    assert sizes == [6, 8, 8]
    assert set(manifest["sha256"]) | {"manifest.json"} == {p.name for p in built.folder.iterdir()}
    assert len({path.stat().st_mode for path in built.folder.iterdir()}) == 1
    read_vectorbase(built.folder, trained.fingerprint, FakeEncoder().model_fingerprint)


def test_only_training_users_describe_the_products(built):
    table = pq.read_table(built.folder / "products.parquet").to_pydict()
    assert table["product_id"] == [product[0] for product in PRODUCTS]
    assert table["num_reviews"] == [3, 1, 1, 0, 1, 0]  # cyd and dan are held out
    assert table["mean_rating"] == pytest.approx([13 / 3, 1, 3, None, 5, None])
    assert table["popularity_rank"] == [1, 4, 3, 5, 2, 6]
    known = [row[2] for row in REVIEWS if row[1] == "p1" and row[0] not in HELD_OUT]
    vectors = FakeEncoder().encode([text for text in known if text]).sum(axis=0)
    np.testing.assert_allclose(built.reviews.texts[0], vectors / len(known), atol=1e-3)
    assert not built.reviews.texts[[3, 5]].any()


def test_other_data_than_the_trainings_holds_nobody_out(built, tmp_path):
    overrides = replaced("data", "Shop", "without=bob")
    other = create_vectorbase(config_of("vectorbase_config", tmp_path, *overrides))
    assert other.products["num_reviews"].tolist() == [3, 2, 0, 2, 1, 0]


def test_embeddings_do_not_depend_on_chunks(built):
    sources = (built.name_vectors, built.info_vectors, built.reviews)
    for chunk_size in (1, 4, 100):
        found = embed_products(tiny_model(), *sources, chunk_size)
        np.testing.assert_allclose(found.embeddings, built.embeddings, atol=1e-6)
        np.testing.assert_allclose(found.keys, built.keys, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(built.embeddings, axis=1), 1, atol=1e-5)
    rows, scores = built.index.search(built.keys, 6)
    assert built.index.key_dim == built.embeddings.shape[1] + 1
    expected = np.take_along_axis(built.keys @ built.keys.T, rows, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_products_are_found_by_id_and_by_a_name_that_is_theirs_alone(built):
    assert built.rows_of(np.array(["p4", "x", None], dtype=object)).tolist() == [3, -1, -1]
    names = np.array(["Harp", "harp", "Strings", "", None], dtype=object)
    assert built.rows_of_names(names).tolist() == [3, -1, -1, -1, -1]


def test_the_product_graph_is_the_one_of_the_training_edges(built, tmp_path, capsys):
    """Solved with the settings of the checkpoint, from what the training knew."""
    trained = load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt")
    prepared = prepare_reviews(shop(), FakeEncoder(), tmp_path / "cache_dir")
    config = config_of("vectorbase_config", tmp_path)
    edges = known_edges(trained, prepared, config)
    settings = {name: value for name, value in GRAPH_CONFIG.items() if name != "_target_"}
    expected = ProductGraphBuilder(**settings).build(prepared.graph, prepared.vectors, edges)
    assert len(expected.weights) > 0
    for field in fields(expected):
        one, two = getattr(expected, field.name), getattr(built.product_graph, field.name)
        np.testing.assert_array_equal(one, two)
        assert np.asarray(one).dtype == np.asarray(two).dtype, field.name
    capsys.readouterr()
    create_vectorbase(config)
    printed = capsys.readouterr().out
    assert f"product graph: {len(expected.weights)} edges, solved for in" in printed
    assert "edges between them" in printed


def test_a_folder_of_an_older_version_is_refused(built):
    path = built.folder / "manifest.json"
    path.write_text(json.dumps(built.manifest | {"format": 1}))
    with pytest.raises(InputError, match="of another version of rec_sys; rebuild it with"):
        read_vectorbase(built.folder)
    path.write_text(json.dumps(built.manifest | {"product_graph": {"history_decay": 1.0}}))
    with pytest.raises(InputError, match="damaged"):
        read_vectorbase(built.folder)


def test_a_missing_vectorbase_says_how_to_build_one(tmp_path):
    with pytest.raises(InputError, match="uv run -m rec_sys.vector_database.create_vectorbase"):
        read_vectorbase(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    [
        *("index.faiss", "index_rows.safetensors", "products.parquet"),
        *("product_vectors.safetensors", "product_graph.safetensors"),
    ],
)
def test_a_damaged_or_missing_file_is_refused(built, name):
    path = built.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: damaged"):
        read_vectorbase(built.folder)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: the file is missing"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 1}', '{"format": 99}', "{"])
def test_a_manifest_of_something_else_is_refused(built, content):
    (built.folder / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        read_vectorbase(built.folder)


def test_another_model_or_encoder_is_refused(built):
    with pytest.raises(InputError, match="built from another model") as error:
        read_vectorbase(built.folder, expected_model_fingerprint="f" * 64)
    for part in ("tiny.ckpt", built.manifest["model_fingerprint"][:12], "f" * 12, "rebuild"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="another text encoder"):
        read_vectorbase(built.folder, expected_encoder="f" * 64)


def test_an_encoder_that_the_model_does_not_know_is_refused(tmp_path):
    save_checkpoint(tmp_path / "checkpoint_dir")
    overrides = replaced("encoder", "FakeEncoder", "salt=x")
    with pytest.raises(InputError, match="another text encoder"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, *overrides))


def test_what_an_encoder_says_to_the_person_is_not_buried(tmp_path):
    save_checkpoint(tmp_path / "checkpoint_dir")
    with pytest.raises(InputError, match="encoder.precision=fp7"):
        create_vectorbase(
            config_of("vectorbase_config", tmp_path, "encoder=minilm", "encoder.precision=fp7")
        )


def test_settings_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        create_vectorbase(config_of("vectorbase_config", tmp_path))
    with pytest.raises(InputError, match="no such checkpoint"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, "checkpoint=nowhere.ckpt"))
    with pytest.raises(InputError, match="chunk_size"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, "vector_db.chunk_size=0"))
    save_checkpoint(tmp_path / "checkpoint_dir")
    with pytest.raises(InputError, match="vector_db.factory=Flatt"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, "vector_db.factory=Flatt"))
    assert not (tmp_path / "vectorbase_dir").exists()


def test_a_second_build_encodes_nothing(built, tmp_path):
    encoder = FakeEncoder()
    assert prepare_reviews(shop(), encoder, tmp_path / "cache_dir").newly_encoded == 0


def test_another_index_is_one_word(built, tmp_path):
    other = create_vectorbase(config_of("vectorbase_config", tmp_path, "vector_db=hnsw"))
    assert other.manifest["factory"] == "HNSW32"
    exact, _ = built.index.search(built.keys, 3)
    assert other.index.search(built.keys, 3)[0].tolist() == exact.tolist()


def test_a_folder_of_something_else_is_not_replaced(built, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="precious: holds something else"):
        create_vectorbase(
            config_of("vectorbase_config", tmp_path, f"paths.vectorbase_dir={folder}")
        )
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
