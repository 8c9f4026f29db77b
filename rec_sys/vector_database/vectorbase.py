"""The vectorbase: a folder with products, vectors, embeddings, index, evidences and weights."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from rec_sys.foundation import files
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.graph.ego_batch import NUM_RATING_FEATURES, ReviewSummary
from rec_sys.modules import features as kinds
from rec_sys.modules.combiner import Combiner, require_leading
from rec_sys.modules.match import unit
from rec_sys.reviews.schema import PRODUCT_SCHEMA, to_table
from rec_sys.reviews.values import name_key
from rec_sys.text.words import NUM_WORDS
from rec_sys.vector_database.index import INDEX_FILE, ROWS_FILE, ProductIndex
from rec_sys.vector_database.quotes import Quotes

VECTORBASE_SCHEMA = pa.schema(
    [
        *PRODUCT_SCHEMA,
        ("num_reviews", pa.int64()),  # that may be known: all but a test's
        ("mean_rating", pa.float32()),  # of these; missing without a rating
        ("popularity_rank", pa.int64()),  # 1 is the product with the most reviews
    ]
)

BUILD_COMMAND = "uv run -m rec_sys.vector_database.create_vectorbase"
_REMEDY = f"rebuild it with `{BUILD_COMMAND}`"
# As much of a fingerprint as tells two apart in a message.
_SHOWN = 12


@dataclass(frozen=True)
class Vectorbase:
    """All products: P rows of them, text vectors of length D, embeddings of length d.

    The rows of removed products stay, so that the others keep theirs; nothing finds them any more.
    Reviews and features are of what may be known.

    Attributes:
        products: Columns of `VECTORBASE_SCHEMA`, P rows.
        name_vectors: float16 [P, D], as are `info_vectors`.
        embeddings: float32 [P, d], unit length; their cosines with people are ratings.
        keys: float32 [P, d + 1]; their inner products with people's queries rank.
        queries: float32 [n, d + 1], of a few people, to measure by them what the index misses.
        graph_model: The exported network; None if whoever uses the vectorbase brings it along.
    """

    folder: Path
    manifest: dict[str, Any]
    products: pd.DataFrame
    name_vectors: np.ndarray
    info_vectors: np.ndarray
    reviews: ReviewSummary
    embeddings: np.ndarray
    keys: np.ndarray
    index: ProductIndex
    features: Sequence[kinds.Feature]
    combiner: Combiner
    queries: np.ndarray
    quotes: Quotes
    graph_model: Path | None = None

    @property
    def num_products(self) -> int:
        return self.index.num_products

    @cached_property
    def recommendable(self) -> np.ndarray:
        """bool [P]; not what is removed, or what nothing is known of."""
        return ~(self.index.removed | self.reviews.unknown(self.name_vectors, self.info_vectors))

    @cached_property
    def match(self) -> kinds.MatchFeature:
        return next(each for each in self.features if isinstance(each, kinds.MatchFeature))

    @cached_property
    def match_words(self) -> kinds.WordsFeature:
        return next(each for each in self.features if isinstance(each, kinds.WordsFeature))

    @cached_property
    def product_ids(self) -> np.ndarray:
        """str [P]."""
        return self.products["product_id"].to_numpy(dtype=object)

    @cached_property
    def names(self) -> np.ndarray:
        """str [P], empty where a product has no name."""
        return self.products["name"].to_numpy(dtype=object)

    @cached_property
    def styles(self) -> np.ndarray:
        """str [P], empty where a product has none."""
        return self.products["style"].to_numpy(dtype=object)

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """int64 [num_products], all rows that are not removed, the most reviewed product first."""
        rows = np.argsort(self.products["popularity_rank"].to_numpy(dtype=np.int64), kind="stable")
        return rows[~self.index.removed[rows]]

    @cached_property
    def text_vectors(self) -> np.ndarray:
        """float32 [P, D], unit length: what is said about a product; zero where nothing is."""
        return unit(self.name_vectors.astype(np.float32) + self.info_vectors.astype(np.float32))

    def nearest(self, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Other products with the nearest texts, at most k: rows, int64, and cosines, float32."""
        cosines = self.text_vectors @ self.text_vectors[row]
        others = ~self.index.removed
        others[row] = False
        best = best_rows(cosines, others, k)
        return best, cosines[best]

    def rows_of(self, product_ids: Sequence[str | None]) -> np.ndarray:
        """Finds products by id, str or None [n]: int64 [n], -1 where there is no such product."""
        return _looked_up(product_ids, self._row_of_id)

    @cached_property
    def labels(self) -> np.ndarray:
        """What people read, str [n]: the name, of a product without one its style, or its id."""
        told = np.where(self.styles != "", self.styles, self.product_ids)
        return np.where(self.names != "", self.names, told)

    def rows_of_names(self, names: Sequence[str | None]) -> np.ndarray:
        """Rows by name, in any case and spacing, int64 [n]; -1 where none or several have it."""
        return _looked_up([name and name_key(name) for name in names], self._row_of_name)

    def require_model(self, fingerprint: str, name: str = "another model") -> None:
        """InputError if the embeddings are not of this model, `TrainedModel.fingerprint`."""
        if (own := self.manifest["model_fingerprint"]) != fingerprint:
            why = f"built from another model ({self.manifest['checkpoint']}, {own[:_SHOWN]})"
            why += f" than the one in use ({name}, {fingerprint[:_SHOWN]})"
            remedy = f"{_REMEDY}, or use the checkpoint it was built from"
            raise InputError(f"{self.folder}: {why}; {remedy}")

    def require_encoder(self, model_fingerprint: str) -> None:
        """Raises InputError if vectors of this text encoder may not stand beside those here."""
        if (own := self.manifest["encoder_model_fingerprint"]) != model_fingerprint:
            why = f"built with another text encoder ({own[:_SHOWN]})"
            why += f" than the one in use ({model_fingerprint[:_SHOWN]})"
            remedy = f"leave encoder=from_checkpoint, or train and run `{BUILD_COMMAND}` again"
            raise InputError(f"{self.folder}: {why}; {remedy}")

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        # The id of a removed product may have been given again.
        there = np.flatnonzero(~self.index.removed)
        return dict(zip(self.product_ids[there], there.tolist(), strict=True))

    @cached_property
    def _row_of_name(self) -> dict[str, int]:
        there = np.flatnonzero(~self.index.removed)
        names = pd.Series(list(map(name_key, self.names[there])), dtype=object)
        alone = (~names.duplicated(keep=False) & (names != "")).to_numpy()
        return dict(zip(names[alone], there[alone].tolist(), strict=True))


def best_rows(scores: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k best `candidates`, bool [P], by `scores`, float32 [P]; of equals the lowest."""
    rows = np.flatnonzero(candidates)
    if 0 < k < len(rows):
        # Everything that is not below the k-th best; ties there are cut by the stable sort.
        least = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
        rows = rows[scores[rows] >= least]
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]


def _looked_up(keys: Sequence[str | None], row_of: dict[str, int]) -> np.ndarray:
    # For a few keys a dictionary takes microseconds where a pandas index takes a tenth of a ms.
    return np.fromiter((row_of.get(key, -1) for key in keys), np.int64, len(keys))


FORMAT = 8

_PRODUCTS = "products.parquet"
_VECTORS = "product_vectors.safetensors"
_EVIDENCES = "evidences.safetensors"
_QUOTES = "quotes.safetensors"
_GRAPH_MODEL = "graph_model.onnx"
# Of evidences and quotes, by the last part of their names: all others are float32.
_INTEGERS = dict.fromkeys(("pointers", "column", "size", "text_length"), np.int64)
_INTEGERS |= dict.fromkeys(("neighbours", "length", "product", "word", "word_count"), np.int32)
_INTEGERS |= {"text": np.uint8}
_LARGEST = 1e12  # far above all that is counted or learned; sums stay numbers
_FILES = (INDEX_FILE, ROWS_FILE, _PRODUCTS, _VECTORS, _EVIDENCES, _QUOTES)
# Where it comes from: which model and checkpoint, which text encoder, which data.
_ORIGIN = ("model_fingerprint", "checkpoint", "encoder_model_fingerprint", "data_fingerprint")
_FACTS = {
    **dict.fromkeys(("created", "factory", *_ORIGIN), str),
    **dict.fromkeys(("num_products", "vector_dim", "embedding_dim", "max_quotes"), int),
    **{"min_recall": float, "search": dict, "features": list, "combiner": dict, "encoder": dict},
}


def write_vectorbase(vectorbase: Vectorbase) -> Vectorbase:
    """Replaces the folder as a whole once it could be read back; other facts of the manifest stay.
    InputError if the folder holds something else, or weights of the checkpoint are too large."""
    files.require_replaceable(vectorbase.folder, INDEX_FILE, "paths.vectorbase_dir")
    features, evidences = kinds.plain_features(vectorbase.features)
    index = vectorbase.index
    facts = {
        **vectorbase.manifest,
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_products": index.num_products,
        "num_removed": len(index) - index.num_products,
        "vector_dim": vectorbase.name_vectors.shape[1],
        "embedding_dim": vectorbase.embeddings.shape[1],
        "factory": index.factory,
        "search": index.search_parameters,
        "features": features,
        "combiner": vectorbase.combiner.plain(),
    }
    with files.replacing(vectorbase.folder) as draft:
        draft.mkdir()
        index.write(draft)
        pq.write_table(to_table(vectorbase.products, VECTORBASE_SCHEMA), draft / _PRODUCTS)
        arrays = _arrays(vectorbase).items()
        save_file({name: np.ascontiguousarray(each) for name, each in arrays}, draft / _VECTORS)
        save_file(evidences, draft / _EVIDENCES)
        save_file(vectorbase.quotes.arrays(), draft / _QUOTES)
        for name in (ROWS_FILE, _VECTORS, _EVIDENCES, _QUOTES):
            # safetensors writes for the owner only; a server may run as somebody else.
            (draft / name).chmod((draft / INDEX_FILE).stat().st_mode)
        if vectorbase.graph_model is not None:
            shutil.copyfile(vectorbase.graph_model, draft / _GRAPH_MODEL)
        files.write_manifest(draft, facts)
        try:
            written = read_vectorbase(draft)
        except InputError as error:
            why = str(error).replace(f"{draft}", "its index").removesuffix(f"; {_REMEDY}")
            checkpoint = vectorbase.manifest["checkpoint"]
            raise InputError(f"{checkpoint}: {why}; train again, nothing was replaced") from None
    own_model = written.graph_model and vectorbase.folder / _GRAPH_MODEL
    return replace(written, folder=vectorbase.folder, graph_model=own_model)


def built_from(folder: str | Path) -> str | None:
    """Name of the checkpoint that the index in a folder was built from; None without an index."""
    name = facts_in(folder).get("checkpoint")
    return name if isinstance(name, str) else None


def facts_in(folder: str | Path) -> dict[str, Any]:
    """What the manifest of an index tells, whole or not; nothing without an index."""
    manifest = Path(folder) / files.MANIFEST
    facts = files.read_json(manifest) if manifest.is_file() else {}
    return facts if isinstance(facts, dict) else {}


def read_vectorbase(folder: str | Path) -> Vectorbase:
    """Opens a vectorbase. InputError if there is none, or a file does not fit the manifest."""
    folder = Path(folder)
    if not (folder / files.MANIFEST).is_file():
        raise InputError(f"{folder}: holds no product index; build it with `{BUILD_COMMAND}`")
    with told_as_unfit(folder, _REMEDY):
        return files.read_whole(folder, _read)


def _read(folder: Path) -> Vectorbase:
    manifest = files.read_manifest(folder, FORMAT, _FACTS, _FILES, _REMEDY)
    vectors = load_file(folder / _VECTORS)
    try:
        arrays, sentences = load_file(folder / _EVIDENCES), load_file(folder / _QUOTES)
        _check_kinds(arrays | sentences)
        if arrays["words.size"].tolist() != [NUM_WORDS, len(vectors["keys"])]:
            raise ValueError("other words")  # before room is made for them
        features = kinds.read_features(manifest["features"], arrays)
        combiner = Combiner.of_plain(manifest["combiner"])
        quotes = Quotes.of_arrays(sentences)
        if len(quotes.pointers) != len(vectors["keys"]) + 1:
            raise ValueError("quotes of other products")
        _check_evidences(features, combiner, len(vectors["keys"]), manifest["vector_dim"])
    except (InputError, KeyError, TypeError, ValueError):
        raise _unusable(folder / files.MANIFEST, "its evidences do not fit together") from None
    products = pq.read_table(folder / _PRODUCTS)
    if not products.schema.equals(VECTORBASE_SCHEMA):
        raise _unusable(folder / _PRODUCTS, "its columns are not those of a product index")
    products.validate(full=True)  # texts that are none
    vectorbase = Vectorbase(
        folder=folder,
        manifest=manifest,
        products=products.to_pandas(types_mapper=pd.ArrowDtype),
        name_vectors=vectors["name"],
        info_vectors=vectors["info"],
        reviews=ReviewSummary(vectors["review_texts"], vectors["review_ratings"]),
        embeddings=vectors["embeddings"],
        keys=vectors["keys"],
        index=ProductIndex.read(folder, manifest["factory"], manifest["search"]),
        features=features,
        combiner=combiner,
        queries=vectors["queries"],
        quotes=quotes,
        graph_model=folder / _GRAPH_MODEL if _GRAPH_MODEL in manifest["sha256"] else None,
    )
    _check_contents(vectorbase)
    return vectorbase


def _arrays(vectorbase: Vectorbase) -> dict[str, np.ndarray]:
    return {
        "name": vectorbase.name_vectors,
        "info": vectorbase.info_vectors,
        "review_texts": vectorbase.reviews.texts,
        "review_ratings": vectorbase.reviews.ratings,
        "embeddings": vectorbase.embeddings,
        "keys": vectorbase.keys,
        "queries": vectorbase.queries,
    }


def _check_kinds(arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError unless each array is of the kind that it is written as, of numbers in bounds."""
    for name, each in arrays.items():
        kind = _INTEGERS.get(name.rpartition(".")[2], np.float32)
        lowest = -_LARGEST if kind is np.float32 else -1
        is_flat = each.ndim == (2 if name.startswith("towers.") else 1)
        known = each[~np.isnan(each)] if name == "rating" else each
        if each.dtype != kind or not is_flat or not ((lowest < known) & (known < _LARGEST)).all():
            raise ValueError(f"{name} of another kind")


def _check_evidences(
    features: Sequence[kinds.Feature], combiner: Combiner, num_products: int, vector_dim: int
) -> None:
    """ValueError unless each feature has a weight, and a value for each product."""
    require_leading([each.evidence for each in features])
    if not {kinds.MatchFeature, kinds.WordsFeature} <= {*map(type, features)}:
        raise ValueError("no wish could be answered")
    names = zip(combiner.features, combiner.evidences, strict=True)
    if list(names) != [(each.name, each.evidence) for each in features]:
        raise ValueError("other features than weights")
    sizes = []
    for each in features:
        if isinstance(each, kinds.WalkFeature):
            each.graph.matrix.check_format()
            sizes.append(each.graph.num_products)
            if each.graph.pointers[-1] != len(each.graph.weights):
                raise ValueError("edges of no product")
        elif isinstance(each, kinds.ProductFeature):
            sizes.append(len(each.product_values))
        elif isinstance(each, kinds.MatchFeature):
            sizes.append(len(each.products))
            shapes = {tower.shape for tower in vars(each.towers).values()}
            if shapes != {(vector_dim, vector_dim)} or each.products.shape[1] != vector_dim:
                raise ValueError("towers of other vectors")
        elif isinstance(each, kinds.WordsFeature):
            each.weights.check_format()
            sizes.append(each.weights.shape[1])
    if set(sizes) != {num_products}:
        raise ValueError("features of other products")


def _check_contents(vectorbase: Vectorbase) -> None:
    """InputError unless all parts are of the same products, and numbers."""
    width, dim = vectorbase.keys.shape[-1], vectorbase.manifest["vector_dim"]
    rows, there = len(vectorbase.keys), ~vectorbase.index.removed
    shapes = dict.fromkeys(("name", "info", "review_texts"), (rows, dim))
    shapes |= {"review_ratings": (rows, NUM_RATING_FEATURES), "embeddings": (rows, width - 1)}
    shapes |= {"keys": (rows, width), "queries": (len(vectorbase.queries), width)}
    wrong = [
        name
        for name, array in _arrays(vectorbase).items()
        if array.shape != shapes[name]
        or array.dtype != (np.float16 if name in ("name", "info") else np.float32)
        or not np.isfinite(array).all()
    ]
    table, index = vectorbase.products, vectorbase.index
    if len(table) != rows:
        wrong.append("products")
    else:
        ids = table["product_id"][there]
        wrong += ["product_id"] * bool(ids.isna().any() or ids.duplicated().any())
        needed = ("name", "style", "num_reviews", "popularity_rank")
        wrong += [name for name in needed if table[name].isna().any()]
    if len(index) != rows or there.shape != (rows,) or index.key_dim != width:
        wrong.append("index")
    if wrong:
        raise _unusable(vectorbase.folder, f"damaged or of different products: {', '.join(wrong)}")


def _unusable(path: Path, why: str) -> InputError:
    return InputError(f"{path}: {why}; {_REMEDY}")
