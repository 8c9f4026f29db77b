import json
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import sha256_of
from rec_sys.inference.backends import TorchBackend
from rec_sys.inference.recommender import Recommender
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.reviews.schema import PRODUCT_SCHEMA, to_frame
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from rec_sys.vector_database.update import add_products, remove_products
from rec_sys.vector_database.vectorbase import VECTORBASE_SCHEMA, read_vectorbase
from tests.helpers.tiny_models import FakeEncoder, config_of, review_table, tiny_model

NEW = [("n1", "Kazoo", "A kazoo", "Wind", "Larkmoor"), ("n2", "", "", "", "")]


def add(built, rows=NEW):
    columns = dict(zip(PRODUCT_SCHEMA.names, zip(*rows, strict=True), strict=True))
    encoder, model = FakeEncoder(), built.manifest["model_fingerprint"]
    return add_products(
        built.folder,
        to_frame(columns, PRODUCT_SCHEMA),
        encoder.encode,
        partial(embed_products, tiny_model()),
        model,
        encoder.model_fingerprint,
        chunk_size=1,
    )


def recommended(vectorbase, tmp_path, rows, k=20):
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    results = Recommender(backend, vectorbase, FakeEncoder().encode).recommend(
        review_table(rows), k
    )
    return [[each.product_id for each in person.recommendations] for person in results]


def ids(*names):
    return np.array(names, dtype=object)


def test_a_removed_product_is_gone(built, tmp_path):
    now = remove_products(built.folder, ["p1", "p5", "p1"])
    assert now.rows_of(ids("p1", "p2", "p5")).tolist() == [-1, 1, -1]
    # Of two products with one name one is left: it is found by it.
    assert now.rows_of_names(ids("Drum", "Strings")).tolist() == [-1, 5]
    assert now.by_popularity.tolist() == [2, 1, 3, 5] and now.num_products == 4
    assert (now.manifest["num_products"], now.manifest["num_removed"]) == (4, 2)
    assert now.manifest["updated"] and len(now.products) == 6
    writes, tells_nothing = ("zoe", "p2", "good tone", 5, 1), ("tim", "x", "", 4, 1)
    for person in recommended(now, tmp_path, [writes, tells_nothing]):
        assert len(person) >= 3 and not set(person) & {"p1", "p5"}


def test_a_new_product_is_as_if_it_had_been_there(built, tmp_path):
    now = add(built)
    assert now.product_ids[-2:].tolist() == ["n1", "n2"] and now.num_products == 8
    assert now.products["num_reviews"].tolist()[-2:] == [0, 0]
    assert now.by_popularity.tolist()[-2:] == [6, 7]
    texts = FakeEncoder().encode(["Kazoo", "Wind. A kazoo"]).astype(np.float16)
    np.testing.assert_array_equal([now.name_vectors[6], now.info_vectors[6]], texts)
    assert not now.name_vectors[7].any()
    found = embed_products(tiny_model(), now.name_vectors, now.info_vectors, now.reviews)
    np.testing.assert_allclose(now.keys, found.keys, atol=1e-5)
    np.testing.assert_array_equal(now.keys[:6], built.keys)
    assert now.product_graph.num_products == 8
    (person,) = recommended(now, tmp_path, [("zoe", "p2", "good tone", 5, 1)])
    assert {"n1", "n2"} <= set(person)


def test_an_id_may_be_given_again(built):
    remove_products(built.folder, ["p1"])
    now = add(built, [("p1", "Another drum", "", "", "")])
    assert now.rows_of(ids("p1")).tolist() == [6]
    assert now.rows_of_names(ids("Drum", "Another drum")).tolist() == [-1, 6]


def test_what_cannot_be_done_changes_nothing(built):
    for no_way, reason in [
        (lambda: add(built, [NEW[0], NEW[0]]), "n1 occurs more than once"),
        (lambda: add(built, [("p3", "", "", "", "")]), "has p3 already"),
        (lambda: remove_products(built.folder, ["p1", "x"]), "has no product x"),
        (lambda: remove_products(built.folder, built.product_ids), "without any product"),
    ]:
        with pytest.raises(InputError, match=reason):
            no_way()
    assert read_vectorbase(built.folder).manifest == built.manifest


def test_an_index_that_is_not_exact_is_measured_again(built, tmp_path):
    config = config_of("vectorbase_config", tmp_path, "vector_db=hnsw", "vector_db.min_recall=1")
    large = create_vectorbase(config)
    assert large.manifest["search"] == {"efSearch": 256}
    assert large.manifest["recall_at_10"] == large.manifest["min_recall"] == 1
    assert len(large.queries) == 5 and large.queries.shape[1] == large.keys.shape[1]
    add(large)
    now = remove_products(large.folder, ["p2"])
    assert now.index.search_parameters == {"efSearch": 256}
    assert now.manifest["recall_at_10"] == 1 and now.num_products == 7
    np.testing.assert_array_equal(now.queries, large.queries)


def test_a_folder_of_the_format_before_is_still_read(built):
    manifest = json.loads((built.folder / "manifest.json").read_text())
    del manifest["sha256"]["index_rows.safetensors"], manifest["search"]
    (built.folder / "index_rows.safetensors").unlink()
    table = pq.read_table(built.folder / "products.parquet").drop_columns("brand")
    pq.write_table(table, built.folder / "products.parquet")
    manifest["sha256"]["products.parquet"] = sha256_of(built.folder / "products.parquet")
    (built.folder / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    read = read_vectorbase(built.folder)
    assert read.num_products == 6 and read.products["brand"].tolist() == [""] * 6
    assert list(read.products.columns) == VECTORBASE_SCHEMA.names
    assert remove_products(built.folder, ["p1"]).manifest["format"] == 4
