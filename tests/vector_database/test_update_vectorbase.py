"""The command that brings a vectorbase up to date, beside one that is built anew."""

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.inference.recommender import Recommender
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.features import ProductFeature, WalkFeature
from rec_sys.modules.inference_backends import TorchBackend
from rec_sys.text.words import columns_of
from rec_sys.vector_database import update_vectorbase as module
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from rec_sys.vector_database.update_vectorbase import update_vectorbase
from tests.helpers import tiny_models
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import FakeEncoder, replaced, review_table, save_checkpoint

SOFT = "it is soft and it is small"  # long enough to be quoted
NEW_PRODUCT = (
    "products=[[n1,Kazoo,A kazoo,Wind,Larkmoor]]",
    f"reviews=[[eli,n1,buzzes nicely,5,40],[fay,n1,a toy,2,41],[fay,p2,{SOFT},4,42]]",
)
GONE = ("without=[p2]",)
RENAMED = ("renamed={p4:Concert harp}",)
REVIEWED = ("reviews=[[bob,p5,breaks at once,1,50]]",)
EVERYTHING = (
    "products=[[n1,Kazoo,A kazoo,Wind,Larkmoor],[n2,'','','','']]",
    "reviews=[[eli,n1,buzzes nicely,5,40],[bob,p5,breaks at once,1,50]]",
    *(*GONE, *RENAMED),
)


def later(tmp_path, which, *overrides, name="update_config"):
    data = replaced("data", "LaterShop", *which)
    return config_of(name, tmp_path, *data, *overrides)


def content(path):
    return {each.name: each.read_bytes() for each in path.iterdir()}


def ids(*names):
    return np.array(names, dtype=object)


def by_id(vectorbase):
    """All that is said about each product that is not removed.

    Its edges by feature and the other's id, its values by feature alone, and what its words add.
    """
    ids = vectorbase.product_ids
    told = {}
    for row in np.flatnonzero(~vectorbase.index.removed):
        edges = {}
        for feature in vectorbase.features:
            if isinstance(feature, ProductFeature):
                edges[feature.name] = float(feature.product_values[row])
            elif isinstance(feature, WalkFeature):
                graph = feature.graph
                out = slice(graph.pointers[row], graph.pointers[row + 1])
                neighbours = graph.neighbours[out]
                assert (np.diff(neighbours) > 0).all()
                others = zip(ids[neighbours], graph.weights[out].tolist(), strict=True)
                edges |= {(feature.name, other): weight for other, weight in others}
        words = vectorbase.match_words.weights[:, [row]].tocoo()
        words = dict(zip(words.coords[0].tolist(), words.data.tolist(), strict=True))
        own = slice(*vectorbase.quotes.pointers[[row, row + 1]])
        quotes = list(
            zip(vectorbase.quotes.texts[own], vectorbase.quotes.rating[own].tolist(), strict=True)
        )
        arrays = (
            vectorbase.match.products[row],
            *(vectorbase.name_vectors[row], vectorbase.info_vectors[row]),
            *(each[row] for each in vectorbase.reviews),
            *(vectorbase.embeddings[row], vectorbase.keys[row]),
        )
        line = vectorbase.products.iloc[row].to_dict()
        told[ids[row]] = (line, arrays, edges, words, quotes)
    return told


def require_equal(one, two):
    assert one.keys() == two.keys()
    for product, (line, arrays, edges, words, quotes) in one.items():
        other_line, other_arrays, other_edges, other_words, other_quotes = two[product]
        assert line == pytest.approx(other_line, nan_ok=True), product
        for mine, theirs in zip(arrays, other_arrays, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5, err_msg=product)
        assert edges == pytest.approx(other_edges, abs=1e-5), product
        assert words == pytest.approx(other_words, abs=1e-5), product
        assert quotes == other_quotes, product


@pytest.mark.parametrize("which", [NEW_PRODUCT, GONE, RENAMED, REVIEWED, EVERYTHING])
def test_an_updated_vectorbase_says_what_a_new_one_would_say(built, tmp_path, which):
    now = update_vectorbase(later(tmp_path, which))
    anew = create_vectorbase(
        later(
            tmp_path, which, f"paths.vectorbase_dir={tmp_path / 'anew'}", name="vectorbase_config"
        )
    )
    require_equal(by_id(now), by_id(anew))
    for key in ("data_fingerprint", "model_fingerprint", "checkpoint", "num_products"):
        assert now.manifest[key] == anew.manifest[key]
    assert sorted(now.product_ids[now.by_popularity]) == sorted(anew.product_ids)
    # People are recommended the same by both, in the same order but for equals.
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    people = [("zoe", "p1", "good tone", 5, 1), ("tim", "p4", "loud", 2, 1)]
    people = review_table([*people, ("kim", None, "buzzes nicely on strings", None, 1)])
    lists = [
        [
            sorted((-round(each.score, 4), each.product_id) for each in person.recommendations)
            for person in Recommender(backend, each, FakeEncoder().encode).recommend(people, k=8)
        ]
        for each in (now, anew)
    ]
    assert lists[0] == lists[1]


def test_what_comes_goes_and_changes_is_counted(built, tmp_path, capsys):
    capsys.readouterr()
    now = update_vectorbase(later(tmp_path, EVERYTHING))
    printed = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if "│" in line]
    counts = {name.strip(): int(number) for name, number in printed if number.strip().isdigit()}
    assert (counts["added"], counts["removed"]) == (2, 1)
    assert counts["updated: name, description, style, brand"] == 1
    assert counts["updated: reviews about them"] == 1  # p5
    assert counts["unchanged"] == 3 and counts["now"] == 7
    # Kazoo, Wind. A kazoo, buzzes nicely, breaks at once, Concert harp
    assert counts["texts newly encoded"] == 5
    # Unchanged products keep their rows to the last bit; they only move up.
    assert now.rows_of(np.array(["p1", "p3", "p6"], dtype=object)).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(now.keys[[0, 1, 2]], built.keys[[0, 2, 5]])
    assert counts["unused rows of removed and changed ones"] == len(now.keys) - 7 == 0
    assert now.rows_of(np.array(["p2"], dtype=object)).tolist() == [-1]
    assert now.rows_of_names(np.array(["Harp", "Concert harp"], dtype=object))[0] == -1


def test_without_a_change_the_folder_is_left_alone(built, tmp_path, capsys):
    before = content(built.folder)
    same = update_vectorbase(config_of("update_config", tmp_path))
    assert content(built.folder) == before and same.manifest == built.manifest
    assert "nothing changed" in capsys.readouterr().out
    assert update_vectorbase(later(tmp_path, EVERYTHING)).manifest["updated"]
    before = content(built.folder)
    update_vectorbase(later(tmp_path, EVERYTHING))
    assert content(built.folder) == before


@pytest.mark.parametrize("vector_db", ["flat", "hnsw"])
def test_evidences_can_be_kept(built, tmp_path, vector_db):
    create_vectorbase(config_of("vectorbase_config", tmp_path, f"vector_db={vector_db}"))
    now = update_vectorbase(later(tmp_path, EVERYTHING, "solve_product_graph=false"))
    then = by_id(built)
    # Of a new product nothing is known: it has as few reviews as any.
    values = [each for each in built.features if isinstance(each, ProductFeature)]
    least = {each.name: each.product_values.min() for each in values}
    assert len(least) == 2
    for product, (_, _, edges, *_) in by_id(now).items():
        kept = then[product][2] if product in then else least
        assert edges == {key: weight for key, weight in kept.items() if "p2" not in key}
    assert any(key[1] == "p2" for _, _, edges, *_ in then.values() for key in edges)
    assert now.combiner.plain() == built.combiner.plain()
    # What is said about products is told anew; how telling a word is stays as it was.
    assert now.match_words.idf.tolist() == built.match_words.idf.tolist()
    match = now.match
    vectors = (now.name_vectors, now.info_vectors, now.reviews.texts)
    there = ~now.index.removed
    products = match.towers.products(*vectors)
    np.testing.assert_allclose(match.products[there], products[there], atol=1e-3)
    words = {product: set(told[3]) for product, told in by_id(now).items()}

    def said(text):
        return set(columns_of(text).values())

    old_words = set(np.flatnonzero(now.match_words.idf).tolist())
    assert words["n2"] == set() and words["n1"] == said("Wind") == said("Wind Kazoo") & old_words
    assert words["p4"] == said("far too loud harp")
    assert words["p3"] == said("fine for lessons")
    anew = create_vectorbase(
        later(
            tmp_path,
            EVERYTHING,
            f"paths.vectorbase_dir={tmp_path / 'anew'}",
            name="vectorbase_config",
        )
    )
    assert words == {product: set(told[3]) & old_words for product, told in by_id(anew).items()}


def test_an_index_that_is_not_exact_is_filled_further_and_measured(built, tmp_path):
    options = ["vector_db=hnsw", "vector_db.min_recall=1"]
    large = create_vectorbase(config_of("vectorbase_config", tmp_path, *options))
    now = update_vectorbase(later(tmp_path, EVERYTHING))
    assert now.manifest["factory"] == "HNSW32" and now.manifest["recall_at_10"] == 1
    np.testing.assert_array_equal(now.queries, large.queries)
    assert now.manifest["num_removed"] == 3 and len(now.keys) == 10  # p2, p4, p5
    # Once more, over rows that are unused.
    update_vectorbase(later(tmp_path, GONE))
    now = update_vectorbase(later(tmp_path, EVERYTHING))
    anew = create_vectorbase(later(tmp_path, EVERYTHING, *options, name="vectorbase_config"))
    require_equal(by_id(now), by_id(anew))


@pytest.mark.parametrize("vector_db", ["flat", "hnsw"])
def test_a_product_that_is_gone_is_found_by_nothing(built, tmp_path, vector_db):
    create_vectorbase(config_of("vectorbase_config", tmp_path, f"vector_db={vector_db}"))
    now = update_vectorbase(later(tmp_path, ("without=[p1,p5]",)))
    assert now.num_products == 4 and (now.rows_of(ids("p1", "p5")) == -1).all()
    # Of two products with one name one is left: it is found by it.
    (drum, strings) = now.rows_of_names(ids("Drum", "Strings"))
    assert drum == -1 and now.product_ids[strings] == "p6"
    assert sorted(now.product_ids[now.by_popularity]) == ["p2", "p3", "p4", "p6"]
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    people = review_table([("zoe", "p2", "good tone", 5, 1), ("tim", "x", "", 4, 1)])
    for person in Recommender(backend, now, FakeEncoder().encode).recommend(people, k=20):
        found = {each.product_id for each in person.recommendations}
        assert len(found) >= 3 and not found & {"p1", "p5"}
    # It may come again, as another one.
    again = update_vectorbase(later(tmp_path, ("renamed={p1:Another drum}",)))
    assert again.rows_of(ids("p1")) == again.rows_of_names(ids("Another drum")) >= 0
    assert again.num_products == 6 and again.rows_of_names(ids("Drum")) == -1


def test_what_cannot_be_used_changes_nothing(built, tmp_path):
    before = content(built.folder)
    save_checkpoint(tmp_path / "checkpoint_dir", seed=1, name="other")
    encoder = replaced("encoder", "FakeEncoder", "salt=x")
    other = tmp_path / "checkpoint_dir" / "other.ckpt"
    for overrides, message in [
        ([f"checkpoint={other}"], "built from another model"),
        (["checkpoint=nowhere.ckpt"], "no such checkpoint"),
        (encoder, "another text encoder"),
        (["chunk_size=0"], "chunk_size=0"),
        ([f"paths.vectorbase_dir={tmp_path / 'nowhere'}"], "holds no product index; build it"),
    ]:
        with pytest.raises(InputError, match=message):
            update_vectorbase(later(tmp_path, EVERYTHING, *overrides))
    # The newest checkpoint is not the one that it was built from: that is found by its name.
    (tmp_path / "checkpoint_dir" / "tiny.ckpt").unlink()
    with pytest.raises(InputError, match=r"tiny.ckpt: no such checkpoint, .*; .* holds other.ckpt"):
        update_vectorbase(later(tmp_path, EVERYTHING))
    assert content(built.folder) == before


def test_only_new_texts_are_encoded(built, tmp_path, monkeypatch):
    encoded = []
    encode = FakeEncoder.encode

    def remember(self, texts):
        encoded.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(tiny_models.FakeEncoder, "encode", remember)
    update_vectorbase(later(tmp_path, NEW_PRODUCT))
    assert sorted(encoded) == sorted(
        ["Kazoo", "Wind. A kazoo", "buzzes nicely", "a toy", "it is soft and it is small"]
    )


def test_nothing_is_embedded_where_products_only_go(built, tmp_path, monkeypatch):
    update_vectorbase(later(tmp_path, RENAMED))
    without_p6 = (*RENAMED, "without=[p6]")  # nobody has reviewed it
    embedded = []
    embed = module.embed_products
    with monkeypatch.context() as patch:
        patch.setattr(
            module,
            "embed_products",
            lambda model, names, *rest: embedded.append(len(names)) or embed(model, names, *rest),
        )
        now = update_vectorbase(later(tmp_path, without_p6))
    assert embedded == [0] and now.num_products == 5
    anew = create_vectorbase(later(tmp_path, without_p6, name="vectorbase_config"))
    require_equal(by_id(now), by_id(anew))
