import copy
import json
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.numpy import load_file, save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import sealed, sha256_of, write_json
from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.inference.recommender import Recommender
from rec_sys.modules.checkpoint import fit_evidences, load_trained
from rec_sys.modules.combiner import GROUPS
from rec_sys.modules.evidences import KnownReviews
from rec_sys.modules.features import ProductFeature, plain_features
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.modules.inference_backends import TorchBackend
from rec_sys.modules.product_graph import ProductGraphBuilder
from rec_sys.vector_database.create_vectorbase import create_vectorbase, known_edges
from rec_sys.vector_database.vectorbase import built_from, read_vectorbase
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import (
    EVIDENCE_CONFIG,
    GRAPH_CONFIG,
    PRODUCTS,
    REVIEWS,
    WEIGHTS,
    FakeEncoder,
    replaced,
    review_table,
    save_checkpoint,
    shop,
    tiny_model,
    tiny_towers,
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
    read_vectorbase(built.folder).require_encoder(FakeEncoder().model_fingerprint)


def test_people_held_out_for_validation_describe_the_products_too(built):
    table = pq.read_table(built.folder / "products.parquet").to_pydict()
    assert table["product_id"] == [product[0] for product in PRODUCTS]
    assert table["num_reviews"] == [4, 2, 1, 2, 1, 0]
    assert table["mean_rating"] == pytest.approx([17 / 4, 1, 3, 7 / 2, 5, None])
    assert table["popularity_rank"] == [1, 3, 5, 2, 4, 6]
    known = [row[2] for row in REVIEWS if row[1] == "p1"]
    vectors = FakeEncoder().encode([text for text in known if text]).sum(axis=0)
    np.testing.assert_allclose(built.reviews.texts[0], vectors / len(known), atol=1e-3)
    assert not built.reviews.texts[5].any()


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
    names = np.array(["Harp", " hARP ", "Strings", "", None], dtype=object)
    assert built.rows_of_names(names).tolist() == [3, 3, -1, -1, -1]


def test_the_evidences_are_those_of_the_known_edges(built, tmp_path, capsys):
    """Fitted with the settings of the checkpoint, to all but a test."""
    trained = load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt")
    prepared = prepare_reviews(shop(), FakeEncoder(), tmp_path / "cache_dir")
    config = config_of("vectorbase_config", tmp_path)
    edges = known_edges(trained, prepared, config)
    settings = {name: value for name, value in GRAPH_CONFIG.items() if name != "_target_"}
    graph = ProductGraphBuilder(**settings).build(prepared.graph, prepared.vectors, edges)
    assert len(graph.weights) > 0
    vectors, words, towers = prepared.vectors, prepared.words, tiny_towers()
    known = KnownReviews(prepared.graph, edges, graph, vectors, words, towers)
    expected = fit_evidences(OmegaConf.create(EVIDENCE_CONFIG), known)
    plain, arrays = plain_features(expected)
    found, found_arrays = plain_features(built.features)
    assert found == plain and found_arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found_arrays[name], array, err_msg=name)
        assert found_arrays[name].dtype == array.dtype, name
    assert [each.name for each in built.features] == list(WEIGHTS)
    assert built.combiner.plain() == trained.combiner.plain()
    np.testing.assert_array_equal(built.combiner.weights, np.array(list(WEIGHTS.values())).T)
    capsys.readouterr()
    create_vectorbase(config)
    printed = capsys.readouterr().out
    assert f"{len(WEIGHTS)} features, {len(graph.weights)} edges of the product graph" in printed
    sizes = {f: len(a) for f, a in arrays.items() if f.endswith(".weights")}
    assert sizes.keys() == {f"{g}.weights" for g in ("product_graph", "neighbours", "order")}
    (line,) = (line for line in printed.splitlines() if "edges of all product graphs" in line)
    assert line.split("│")[2].strip() == str(sum(sizes.values()))


def test_what_is_popular_and_of_late_is_counted_from_all_but_a_test(built):
    values = {f.name: f.product_values for f in built.features if isinstance(f, ProductFeature)}
    timed = [row for row in REVIEWS if row[4] is not None]
    newest, half_life = max(row[4] for row in timed), 0.0001 * 86_400
    for row, product in enumerate(built.product_ids):
        number = sum(each[1] == product for each in REVIEWS)
        assert values["popularity"][row] == pytest.approx(math.log1p(number))
        late = sum(0.5 ** ((newest - each[4]) / half_life) for each in timed if each[1] == product)
        expected = math.log(late + number / len(REVIEWS) + 1e-6)
        assert values["trend, 0.0001 days"][row] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("factory", ["HNSW32", "'IVF3,Flat'"])
def test_recommendations_do_not_depend_on_the_index(built, tmp_path, factory):
    """All products are scored, also those that the index does not find."""
    options = (
        f"vector_db.factory={factory}",
        "vector_db.search.nprobe=1",
        "vector_db.min_recall=0",
    )
    folder = f"paths.vectorbase_dir={tmp_path / 'other'}"
    other = create_vectorbase(config_of("vectorbase_config", tmp_path, *options, folder))
    assert built.index.is_exact and not other.index.is_exact
    if "IVF" in factory:
        assert (other.index.search(other.keys, 6)[0] < 0).any()  # it does miss some
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    people = [*REVIEWS, ("eve", "new", "a lute", 5, 1), ("fay", None, "", None, 1)]
    people = review_table([*people, ("gus", None, "strings of nylon", None, 1)])
    exact, found = (
        Recommender(backend, each, FakeEncoder().encode).recommend(people, k=6)
        for each in (built, other)
    )
    assert any(each.because for person in exact for each in person.recommendations)
    for one, two in zip(exact, found, strict=True):
        assert one.recommendations == two.recommendations
        assert (one.fallback, one.explanation) == (two.fallback, two.explanation)


def test_a_training_that_has_not_ended_is_told_of_before_anything_is_encoded(tmp_path):
    save_checkpoint(tmp_path / "checkpoint_dir", has_ended=False)
    with pytest.raises(InputError, match=r"tiny.ckpt: its training has not ended.*train.resume"):
        create_vectorbase(config_of("vectorbase_config", tmp_path))
    assert not (tmp_path / "vectorbase_dir").exists() and not (tmp_path / "cache_dir").exists()


def test_other_evidences_than_the_trainings_have_no_weights(tmp_path):
    save_checkpoint(tmp_path / "checkpoint_dir")
    axis = [
        "+evidence.co_reviewing._target_=rec_sys.modules.evidences.CoReviewing",
        "+evidence.co_reviewing.history_decays=[1]",
        "+evidence.co_reviewing.scale=0.01",
        "+evidence.popularity._target_=rec_sys.modules.evidences.Popularity",
        "+evidence.match._target_=rec_sys.modules.evidences.Match",
        *("+evidence.match.k1=1", "+evidence.match.b=0.5", "+evidence.match.name_weight=1"),
    ]
    with pytest.raises(InputError, match="has no weights for these evidences; train again"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, *axis))
    assert not (tmp_path / "vectorbase_dir").exists()


def test_a_folder_of_an_older_version_is_refused(built):
    path = built.folder / "manifest.json"
    write_json(path, sealed(built.manifest | {"format": 1}))
    with pytest.raises(InputError, match="of another version of rec_sys; rebuild it with"):
        read_vectorbase(built.folder)
    for name in ("features", "combiner", "max_quotes", "encoder", "num_products", "sha256"):
        write_json(path, sealed(built.manifest | {name: None}))
        with pytest.raises(InputError, match="damaged"):
            read_vectorbase(built.folder)


def other_weights(**changes):
    return lambda manifest: manifest["combiner"].update(changes)


def other_feature(row, **changes):
    return lambda manifest: manifest["features"][row].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        other_weights(weights=[[1.0]] * len(GROUPS)),  # of one feature
        other_weights(weights=[list(each) for each in zip(*WEIGHTS.values(), strict=True)][:3]),
        other_weights(weights="heavy"),
        other_weights(weights=[[math.nan] * len(WEIGHTS)] * len(GROUPS)),
        other_weights(shares=[[1.0]]),
        other_weights(shares=[[math.inf] * len(WEIGHTS)] * len(GROUPS)),
        other_weights(evidences=["co-reviewing"]),
        other_weights(evidences=["popularity"] * len(WEIGHTS)),
        other_weights(features=list(WEIGHTS)[::-1]),
        lambda manifest: manifest["combiner"].pop("shrinkage"),
        other_weights(shrinkage=[[1.0]] * len(GROUPS)),
        lambda manifest: manifest["features"].pop(),
        lambda manifest: manifest["features"].reverse(),
        lambda manifest: manifest.update(features=["network"]),
        lambda manifest: manifest["features"][0].pop("scale"),
        other_feature(0, name="anything"),
        other_feature(0, kind="guess"),
        other_feature(0, graph_name="nowhere"),
        other_feature(0, history_decay=7),
        other_feature(0, weight=1),
        other_feature(0, evidence=None),
        other_feature(0, scale=math.nan),
        other_feature(0, scale="wide"),
        other_weights(weights=[[-1e38] * len(WEIGHTS)] * len(GROUPS)),
        other_feature(-1, kind="match"),
        lambda manifest: manifest["features"][-1].pop("mean_length"),
    ],
)
def test_evidences_and_weights_that_do_not_fit_together_are_refused(built, change):
    manifest = copy.deepcopy(built.manifest)
    change(manifest)
    assert json.dumps(manifest) != json.dumps(built.manifest)
    write_json(built.folder / "manifest.json", sealed(manifest))
    with pytest.raises(InputError, match="manifest.json: its evidences do not fit") as error:
        read_vectorbase(built.folder)
    assert "\n" not in str(error.value) and "rebuild it with" in str(error.value)


def seal(built, path):
    """Gives a changed file of the vectorbase the checksum that the manifest must tell."""
    sha256 = built.manifest["sha256"] | {path.name: sha256_of(path)}
    write_json(built.folder / "manifest.json", sealed(built.manifest | {"sha256": sha256}))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64])
def test_whatever_a_file_holds_it_is_told_in_one_line(built, content):
    folder = built.folder
    manifest = (folder / "manifest.json").read_text()
    for name in json.loads(manifest)["sha256"]:
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        seal(built, folder / name)
        if name != "graph_model.onnx":  # opened by whoever runs it
            with pytest.raises(InputError, match=str(folder)):
                read_vectorbase(folder)
        (folder / name).write_bytes(kept)
        (folder / "manifest.json").write_text(manifest)
    for told in ('{"checkpoint": ' * 9000, "9" * 5000):
        (folder / "manifest.json").write_text(told)
        with pytest.raises(InputError, match="not valid JSON"):
            built_from(folder)
    for told in ("[]", "5", "null", '"x"'):
        (folder / "manifest.json").write_text(told)
        assert built_from(folder) is None
        with pytest.raises(InputError, match="damaged"):
            read_vectorbase(folder)
    (folder / "manifest.json").write_text(manifest)
    read_vectorbase(folder)


@pytest.mark.parametrize("name", ["towers.query", "towers.products", "words.idf", "words.weight"])
def test_evidences_that_are_no_numbers_are_refused(built, name):
    path = built.folder / "evidences.safetensors"
    arrays = load_file(path)
    save_file(arrays | {name: np.full_like(arrays[name], np.nan)}, path)
    seal(built, path)
    with pytest.raises(InputError, match="its evidences do not fit together"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("evidences", "values.popularity"),
        ("evidences", "product_graph.pointers"),
        ("evidences", "towers.products"),
        ("evidences", "towers.info"),
        ("evidences", "words.length"),
        ("quotes", "pointers"),
        ("quotes", "word_count"),
    ],
)
def test_evidences_of_other_products_are_refused(built, file, name):
    path = built.folder / f"{file}.safetensors"
    arrays = load_file(path)
    save_file(arrays | {name: arrays[name][:-1] if len(arrays[name]) else np.ones(3, int)}, path)
    seal(built, path)
    with pytest.raises(InputError, match="its evidences do not fit together"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize(
    ("file", "name", "change"),
    [
        ("quotes", "pointers", lambda each: each.astype(np.float64)),
        ("quotes", "rating", lambda each: np.stack([each, each], axis=1)),
        ("evidences", "values.popularity", lambda each: each[:, None]),
        ("evidences", "values.popularity", lambda each: each.astype(np.float64)),
        ("evidences", "values.popularity", lambda each: np.full_like(each, 3e38)),
        ("evidences", "product_graph.weights", lambda each: np.full_like(each, np.nan)),
        ("evidences", "towers.products", lambda each: each[:, :-1]),
        ("evidences", "words.length", lambda each: -each),
        ("evidences", "words.size", lambda each: each * (2, 1)),
        ("evidences", "words.size", lambda each: each * (10**5, 1)),  # more than there is room for
        ("evidences", "words.weight", lambda each: each.astype(np.int64)),
    ],
)
def test_evidences_of_another_kind_are_refused(built, file, name, change):
    path = built.folder / f"{file}.safetensors"
    arrays = load_file(path)
    save_file(arrays | {name: np.ascontiguousarray(change(arrays[name]))}, path)
    seal(built, path)
    with pytest.raises(InputError, match="its evidences do not fit together"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["features"][0].update(scale=10**400),
        lambda told: told["features"][0].update(scale=1e-320),
        lambda told: told["combiner"]["shares"][0].__setitem__(0, -1.0),
        *(
            lambda told, kind=kind: told.update(
                features=[each for each in told["features"] if each["kind"] != kind]
            )
            for kind in ("words", "match")
        ),
    ],
)
def test_features_that_nothing_can_be_done_with_are_refused(built, change):
    told = json.loads(json.dumps(built.manifest))
    change(told)
    if len(told["features"]) < len(built.manifest["features"]):  # whose weights go with them
        kept = [each["name"] for each in told["features"]]
        columns = [told["combiner"]["features"].index(name) for name in kept]
        for name in ("features", "evidences"):
            told["combiner"][name] = [told["combiner"][name][column] for column in columns]
        for name in ("weights", "shares"):
            rows = told["combiner"][name]
            told["combiner"][name] = [[row[column] for column in columns] for row in rows]
    write_json(built.folder / "manifest.json", sealed(told))
    with pytest.raises(InputError, match="its evidences do not fit together"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize("column", ["style", "brand", "num_reviews", "mean_rating"])
def test_products_of_other_types_are_refused(built, column):
    path = built.folder / "products.parquet"
    table = pq.read_table(path)
    place = table.schema.names.index(column)
    pq.write_table(table.set_column(place, column, pa.array([[1]] * len(table))), path)
    seal(built, path)
    with pytest.raises(InputError, match="products.parquet: its columns"):
        read_vectorbase(built.folder)


def test_products_with_texts_that_are_none_are_refused(built):
    path = built.folder / "products.parquet"
    table = pq.read_table(path)
    column = pa.array([b"\xff"] * len(table)).view(pa.string())
    place = table.schema.names.index("brand")
    pq.write_table(table.set_column(place, table.schema.field("brand"), column), path)
    seal(built, path)
    with pytest.raises(InputError, match=r"cannot be used \(ArrowInvalid: .*UTF8"):
        read_vectorbase(built.folder)


def test_a_missing_vectorbase_says_how_to_build_one(tmp_path):
    with pytest.raises(InputError, match="uv run -m rec_sys.vector_database.create_vectorbase"):
        read_vectorbase(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    [
        *("index.faiss", "index_rows.safetensors", "products.parquet"),
        *("product_vectors.safetensors", "evidences.safetensors", "quotes.safetensors"),
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
    with pytest.raises(InputError, match=f"{name}: is missing"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 1}', '{"format": 99}', "{"])
def test_a_manifest_of_something_else_is_refused(built, content):
    (built.folder / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        read_vectorbase(built.folder)


@pytest.mark.parametrize("digit", range(12))
def test_a_manifest_with_another_digit_is_refused(built, digit):
    path = built.folder / "manifest.json"
    content = path.read_text()
    of_numbers = [each.end() - 1 for each in re.finditer(r"[0-9]\.[0-9]+", content)]
    place = of_numbers[digit * len(of_numbers) // 12]
    path.write_text(f"{content[:place]}{9 - int(content[place])}{content[place + 1 :]}")
    with pytest.raises(InputError, match="manifest.json: damaged"):
        read_vectorbase(built.folder)


@pytest.mark.parametrize(
    ("fact", "value"), [("max_quotes", 10**30), ("max_quotes", True), ("min_recall", None)]
)
def test_facts_of_another_kind_are_refused(built, fact, value):
    write_json(built.folder / "manifest.json", sealed(built.manifest | {fact: value}))
    with pytest.raises(InputError, match="damaged"):
        read_vectorbase(built.folder)


def test_another_model_or_encoder_is_refused(built):
    with pytest.raises(InputError, match="built from another model") as error:
        built.require_model("f" * 64)
    for part in ("tiny.ckpt", built.manifest["model_fingerprint"][:12], "f" * 12, "rebuild"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="another text encoder"):
        built.require_encoder("f" * 64)


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


def test_a_folder_of_a_bundle_is_not_replaced(built, tmp_path):
    bundle = tmp_path / "bundle_dir"
    bundle.mkdir()
    for name in ("manifest.json", "people.json"):
        (bundle / name).write_text("{}")
    config = config_of("vectorbase_config", tmp_path, f"paths.vectorbase_dir={bundle}")
    with pytest.raises(InputError, match="holds something else"):
        create_vectorbase(config)


def test_a_folder_of_something_else_is_not_replaced(built, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="precious: holds something else"):
        create_vectorbase(
            config_of("vectorbase_config", tmp_path, f"paths.vectorbase_dir={folder}")
        )
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def without_measure(content):
    content["state_dict"]["model.product_head.weight"].fill_(3e38)


def of_other_evidences(content):
    content["rec_sys_combiner"]["evidences"][2] = "other"


@pytest.mark.parametrize("spoil", [without_measure, of_other_evidences])
def test_a_checkpoint_of_which_no_index_can_be_made_replaces_nothing(built, tmp_path, spoil):
    folder = tmp_path / "checkpoint_dir"
    content = torch.load(folder / "tiny.ckpt", weights_only=True)
    spoil(content)
    torch.save(content, folder / "huge.ckpt")
    before = (built.folder / "manifest.json").read_text()
    config = config_of("vectorbase_config", tmp_path, f"checkpoint={folder / 'huge.ckpt'}")
    with pytest.raises(InputError, match=r"huge.ckpt: its index.*; train again"):
        create_vectorbase(config)
    assert (built.folder / "manifest.json").read_text() == before
    assert read_vectorbase(built.folder).num_products == built.num_products


@pytest.mark.parametrize("override", ["encoder.from_checkpoint=false", "data.from_checkpoint=null"])
def test_data_and_encoder_are_the_trainings_or_named(built, tmp_path, override):
    with pytest.raises(InputError, match="from_checkpoint: must be true, or choose another"):
        create_vectorbase(config_of("vectorbase_config", tmp_path, override))
