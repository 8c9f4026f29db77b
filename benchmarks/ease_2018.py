"""EASE through our evaluation, beside figures that code outside of this project gave.

NDCG@10 on the test is .1025 if what a person has is masked, .0914 if not. Settings are fixed (l2
100, decay .7), nothing is tuned: this checks the evaluation, not the model. Takes about a minute.
``uv run python benchmarks/ease_2018.py``
"""

import os
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from rec_sys.evaluation.scores import evaluate_ranking
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.settings import build
from rec_sys.graph.review_graph import build_review_graph
from rec_sys.graph.splits import LeaveOneOut
from rec_sys.graph.task import Queries
from rec_sys.modules.baselines import Ease

EXPECTED = {True: 0.1025, False: 0.0914}
TOLERANCE = 0.0003


def main() -> None:
    path = Path(os.environ["REC_SYS_DATA_DIR"]) / "instruments_2018_sequences"
    overrides = ["data=sequences", f"data.sequences_path={path}/Instruments.inter.json.gz"]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        data = build(compose("train_config", [*overrides, "data.cache_dir=null"]).data).load()
    graph = build_review_graph(data, lambda texts: np.zeros(len(texts), dtype=np.int64))
    split = LeaveOneOut().split(graph)

    no_texts = np.zeros((1, 1), dtype=np.float16)
    model = Ease(l2=100, history_decay=0.7)
    model.fit(graph.histories(np.arange(graph.num_users), split.train), no_texts)
    queries = Queries.of(graph, split.test)
    for masked, expected in EXPECTED.items():
        result = evaluate_ranking(model, queries, [10], masked, 512)
        found = result.means()["ndcg@10"]
        print(f"history {'masked' if masked else 'shown'}: {found:.4f}, expected {expected}")
        assert abs(found - expected) <= TOLERANCE


if __name__ == "__main__":
    main()
