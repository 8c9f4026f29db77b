import json

import pyarrow.parquet as pq
import pytest

from rec_sys.cluster.recommend_all import recommend_all
from rec_sys.foundation.errors import InputError
from rec_sys.inference.infer import infer
from rec_sys.inference.results import as_table
from tests.helpers.configs import config_of
from tests.helpers.machines import killing_one, needs_ray
from tests.helpers.tiny_models import save_checkpoint

pytestmark = needs_ray


def test_all_users_as_infer_recommends_to_them_though_a_worker_is_killed(cluster, built, tmp_path):
    config = config_of(
        "recommend_all_config",
        tmp_path,
        f"cluster.address={cluster.address}",
        "cluster.people_per_task=2",
        "infer.k=3",
    )
    with killing_one(cluster.working) as killed:
        folder = recommend_all(config)
    assert killed
    # Here training held out nobody: infer, too, recommends to everybody.
    split = {"_target_": "rec_sys.graph.splits.LeaveOneOut"}
    save_checkpoint(tmp_path / "checkpoint_dir", split_config=split)
    results = infer(config_of("infer_config", tmp_path, "infer.k=3"))

    assert {each.name for each in folder.iterdir()} >= {"_about.json", "part-00000.parquet"}
    one, other = as_table(results).to_pylist(), pq.read_table(folder).to_pylist()
    assert len({row["user_id"] for row in one}) == 5 and len(one) == len(other) > 5
    for row, same in zip(one, other, strict=True):
        assert numbers_of(row) == pytest.approx(numbers_of(same), abs=1e-6)
        assert row == same
    about = json.loads((folder / "_about.json").read_text())
    assert (about["people"], about["k"], about["rows"]) == (5, 3, len(one))


def numbers_of(row):
    """Takes out what may differ by rounding."""
    weights = [reason.pop("weight") for reason in row["because"]]
    row["contributions"], parts = zip(*row["contributions"], strict=True)
    assert sum(parts) == pytest.approx(row["score"], abs=1e-5)
    return [row.pop("score"), row.pop("predicted_rating"), *weights, *parts]


def test_what_is_there_already_is_not_replaced(built, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear diary")
    config = config_of("recommend_all_config", tmp_path, f"folder={tmp_path / 'letters'}")
    with pytest.raises(InputError, match="holds something else"):
        recommend_all(config)
