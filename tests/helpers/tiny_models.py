"""A shop of six products, an encoder without a network and a tiny random model."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rec_sys.graph.review_graph import build_review_graph
from rec_sys.graph.splits import describe_split
from rec_sys.graph.task import Provenance
from rec_sys.modules import checkpoint as checkpoints
from rec_sys.modules.combiner import Combiner
from rec_sys.modules.evidences import KnownReviews
from rec_sys.modules.match import Towers
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.modules.trusted_settings import trusted_classes
from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, ReviewData, to_frame
from rec_sys.text.words import count_words

# The classes below stand in the settings of the tests' checkpoints.
trusted_classes()["data"] |= {f"{__name__}.Shop", f"{__name__}.LaterShop"}
trusted_classes()["encoder"].add(f"{__name__}.FakeEncoder")

VECTOR_DIM = 8
SPLIT_CONFIG = {
    "_target_": "rec_sys.graph.splits.HeldOutUsers",
    "validation_share": 0.4,
    "test_share": 0.0,
    "target_share": 0.2,
    "seed": 0,
}
HELD_OUT = ["cyd", "dan"]  # drawn by this seed
MODEL_CONFIG = {
    "_target_": "rec_sys.modules.graph_model.GraphModel",
    "hidden_dim": 8,
    "dropout": 0.0,
    "modality_dropout": 0.0,
    "conv": {
        "_target_": "torch_geometric.nn.TransformerConv",
        "_partial_": True,
        "out_channels": 8,
        "heads": 2,
        "concat": False,
        "dropout": 0.0,
    },
}

GRAPH_CONFIG = {
    "_target_": "rec_sys.modules.product_graph.ProductGraphBuilder",
    "l2": 1.0,
    "name_weight": 0.5,
    "info_weight": 0.5,
    "review_weight": 0.5,
    "half_life_days": 1000,
    "order_share": 0.2,
    "past_decay": 0.8,
    "future_decay": 0.5,
    "longest_history": 50,
    "history_decay": 0.8,
    "disliked_weight": 0.7,
    "liked_above": 3.0,
    "neighbours": 3,
    "new_product_boost": 2.0,
    "max_products": 100,
    "brand_weight": 0.5,
}

# Each evidence: its class, its settings.
EVIDENCE_CONFIG = {
    name: {"_target_": f"rec_sys.modules.evidences.{kind}", **settings}
    for name, kind, settings in [
        ("co_reviewing", "CoReviewing", {"history_decays": [1.0, 0.3], "scale": 0.01}),
        (
            "neighbours",
            "Neighbours",
            {"shrink": 1.0, "neighbours": 4, "history_decay": 0.8, "scale": 0.01},
        ),
        ("order", "Order", {"smoothing": 2.0, "history_decays": [0.0, 0.5], "neighbours": 4}),
        ("popularity", "Popularity", {}),
        ("trend", "Trend", {"half_lives_days": [0.0001]}),  # 9 seconds
        ("network", "Network", {}),
        ("liking", "Liking", {"middle": 3.5, "steepness": 2.0}),
        ("match", "Match", {"k1": 2.0, "b": 0.5, "name_weight": 2.0}),
    ]
}
# By feature, for users with no, one and several reviews, with a wish, and with a wish and reviews;
# some speak against a product.
WEIGHTS = {
    "co-reviewing": (0.0, 1.0, 1.2, 0.0, 0.7),
    "co-reviewing, decay 1": (0.0, 0.3, 0.0, 0.0, 0.2),
    "co-reviewing, decay 0.3": (0.0, 0.1, 0.4, 0.0, 0.1),
    "same reviewers": (0.0, 0.5, 0.3, 0.0, 0.2),
    "order, decay 0": (0.0, 0.2, 0.6, 0.0, -0.1),
    "order, decay 0.5": (0.0, 0.1, -0.1, 0.0, 0.1),
    "popularity": (1.0, 0.2, 0.3, 0.4, 0.1),
    "trend, 0.0001 days": (0.1, 0.1, -0.05, 0.05, 0.1),
    "network": (0.0, 0.4, 0.2, 0.0, 0.1),
    "liking": (0.0, 0.3, 0.5, 0.1, 0.2),
    "match": (0.0, 0.0, 0.0, 0.9, 0.6),
    "match, words": (0.0, 0.0, 0.0, 0.7, 0.5),
}

# user, product, text, rating, second
REVIEWS = [
    ("ann", "p1", "good tone", 5, 30),
    ("ann", "p2", "fell apart", 1, 10),
    ("bob", "p1", "", 4, 20),
    ("bob", "p3", "fine for lessons", 3, 5),
    ("cyd", "p1", "warm tone", 4, 1),
    ("cyd", "p2", "cold tone", None, 2),
    ("cyd", "p4", "far too loud", 2, 3),
    ("dan", "p4", "", 5, None),
    ("eli", "p5", "holds its tuning", 5, 7),
    ("eli", "p1", "a real drum", 4, 8),
]
PRODUCTS = [
    ("p1", "Drum", "A drum", "Percussion", ""),
    ("p2", "Flute", "", "Wind", ""),
    ("p3", "", "", "", ""),
    ("p4", "Harp", "A harp", "", "Larkmoor"),
    ("p5", "Strings", "Steel strings", "Strings", "Larkmoor"),
    ("p6", "Strings", "Nylon strings", "Strings", ""),
]


class FakeEncoder:
    """Unit vectors out of a hash of the text; counts what it encodes."""

    is_embedded = False

    def __init__(self, salt: str = "", **_: object) -> None:
        self.salt = salt
        self.dimension = VECTOR_DIM
        self.model_fingerprint = hashlib.sha256(f"fake:{salt}".encode()).hexdigest()
        self.fingerprint = hashlib.sha256(self.model_fingerprint.encode()).hexdigest()
        self.encoded = []

    def encode(self, texts):
        self.encoded += texts
        seeds = [int(hashlib.sha256(f"{self.salt}{t}".encode()).hexdigest()[:8], 16) for t in texts]
        array = np.array([np.random.default_rng(seed).normal(size=VECTOR_DIM) for seed in seeds])
        array = array.reshape(-1, VECTOR_DIM).astype(np.float32)
        return array / np.linalg.norm(array, axis=1, keepdims=True)

    def encode_in_batches(self, texts):
        for first in range(0, len(texts), 4):
            batch = texts[first : first + 4]
            yield np.arange(first, first + len(batch)), self.encode(batch)


class Shop:
    """The source of the shop's reviews; `columns` say nothing about them."""

    def __init__(self, without: str | None = None, columns: dict | None = None) -> None:
        self.without = without

    def load(self) -> ReviewData:
        return shop([row for row in REVIEWS if row[0] != self.without])


class LaterShop:
    """The shop some time later: further reviews, new products, some gone, some renamed."""

    def __init__(self, reviews=(), products=(), without=(), renamed=None) -> None:
        self.reviews = [*REVIEWS, *map(tuple, reviews)]
        self.products = [*PRODUCTS, *map(tuple, products)]
        self.without = without
        self.renamed = renamed or {}

    def load(self) -> ReviewData:
        return shop(
            [row for row in self.reviews if row[1] not in self.without],
            [
                (id, self.renamed.get(id, name), *more)
                for id, name, *more in self.products
                if id not in self.without
            ],
        )


def shop(rows=REVIEWS, products=PRODUCTS) -> ReviewData:
    products = dict(zip(PRODUCT_SCHEMA.names, zip(*products, strict=True), strict=True))
    return clean_reviews(
        review_table(rows),
        to_frame(products, PRODUCT_SCHEMA),
        CleaningOptions(keep_unreviewed_products=True),
    )


def review_table(rows, **more):
    """Rows like `REVIEWS`; `more` names further columns."""
    users, products, texts, ratings, times = zip(*rows, strict=True)
    columns = {name: [None] * len(rows) for name in REVIEW_SCHEMA.names} | {
        "review_id": [f"r{number}" for number in range(len(rows))],
        "user_id": users,
        "product_id": products,
        "text": texts,
        "rating": ratings,
        "timestamp": times,
    }
    return to_frame(columns | more, REVIEW_SCHEMA)


def tiny_model(seed: int = 0):
    torch.manual_seed(seed)
    model = instantiate(MODEL_CONFIG, vector_dim=VECTOR_DIM)
    for parameter in model.parameters():  # the heads start from zero, which hides mistakes
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def tiny_towers(vector_dim: int = VECTOR_DIM, seed: int = 0) -> Towers:
    """Four different maps, as if they had been learned."""
    rng = np.random.default_rng(seed)
    maps = np.eye(vector_dim) + rng.normal(scale=0.2, size=(4, vector_dim, vector_dim))
    return Towers(*np.float32([[[3.0]], [[1.0]], [[0.8]], [[1.5]]] * maps))


def tiny_combiner(graph) -> Combiner:
    """`WEIGHTS` as if they had been learned; their shares are not those of any data."""
    known = KnownReviews(
        graph,
        np.empty(0, dtype=np.int64),
        ProductGraph.without_edges(graph.num_products),
        np.zeros((1, VECTOR_DIM), dtype=np.float32),
        count_words([""]),
        tiny_towers(),
    )
    features = checkpoints.fit_evidences(OmegaConf.create(EVIDENCE_CONFIG), known)
    weights = np.array([WEIGHTS[each.name] for each in features]).T
    shares = np.abs(weights) / np.abs(weights).sum(axis=1, keepdims=True)
    return replace(Combiner.prior(features), weights=weights, shares=shares)


def save_checkpoint(
    folder: Path,
    seed: int = 0,
    name: str = "tiny",
    split_config: dict = SPLIT_CONFIG,
    has_ended: bool = True,
    data_config: dict | None = None,
) -> Path:
    encoder = FakeEncoder()
    data, split = shop(), OmegaConf.create(split_config)
    graph = build_review_graph(data, lambda texts: np.zeros(len(texts), dtype=np.int64))
    found = instantiate(split).split(graph)
    seen = checkpoints.plain_provenance(Provenance.of(found, graph))
    record = {
        "format": checkpoints.RECORD_FORMAT,
        "run_name": name,
        "config": {
            "model": MODEL_CONFIG,
            "data": {"_target_": f"{__name__}.Shop", **(data_config or {})},
            "encoder": {"_target_": f"{__name__}.FakeEncoder"},
            "split": split_config,
            "product_graph": GRAPH_CONFIG,
            "evidence": EVIDENCE_CONFIG,
            "train": {"liked_above": 3.0},
        },
        "vector_dim": VECTOR_DIM,
        "split": describe_split(found, graph, split_config),
        "data": {"name": "shop", "fingerprint": data.fingerprint},
        "encoder": {
            "model_fingerprint": encoder.model_fingerprint,
            "fingerprint": encoder.fingerprint,
            "dimension": VECTOR_DIM,
        },
    }
    weights = {f"model.{key}": value for key, value in tiny_model(seed).state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ckpt"
    torch.save({"state_dict": weights, "rec_sys": record, checkpoints.SEEN_KEY: seen}, path)
    if has_ended:
        checkpoints.complete_checkpoint(path, tiny_combiner(graph), tiny_towers())
    return path


def export_tiny(trained: checkpoints.TrainedModel, path: Path) -> Path:
    """Exports a model, which takes seconds, once for the same weights."""
    from rec_sys.modules.model_export import export_onnx

    if trained.fingerprint not in _exports:
        _exports[trained.fingerprint] = export_onnx(trained, path).read_bytes()
    path.write_bytes(_exports[trained.fingerprint])
    return path


_exports: dict[str, bytes] = {}


def replaced(axis: str, kind: str, *settings: str) -> list[str]:
    """Overrides that put a class of this module in the place of an axis of the settings."""
    return [
        f"~{axis}",
        f"+{axis}._target_={__name__}.{kind}",
        *(f"+{axis}.{setting}" for setting in settings),
    ]
