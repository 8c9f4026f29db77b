import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.inference.infer import infer
from rec_sys.inference.results import RECOMMENDATION_SCHEMA, as_table
from rec_sys.modules.checkpoint import load_trained
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import HELD_OUT, export_tiny, replaced, save_checkpoint


def lines_of(folder):
    path = folder / "output_dir" / "recommendations.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_held_out_users_and_what_is_written(built, tmp_path, capsys):
    results = infer(config_of("infer_config", tmp_path, "infer.k=2"))
    assert [each.user_id for each in results] == HELD_OUT
    cyd, dan = lines_of(tmp_path)
    keys = ("user_id", "nickname", "fallback", "explanation", "wish", "recommendations")
    assert tuple(cyd) == keys and cyd["wish"] == ""
    assert all(each["match"] is None for each in cyd["recommendations"])
    assert (cyd["user_id"], cyd["fallback"], dan["fallback"]) == ("cyd", None, None)
    for line, result in zip((cyd, dan), results, strict=True):
        for written, each in zip(line["recommendations"], result.recommendations, strict=True):
            assert written["product_id"] == each.product_id
            assert written["score"] == pytest.approx(each.score)
            assert [r["review_id"] for r in written["because"]] == [
                r.review_id for r in each.because
            ]
    for each in cyd["recommendations"]:
        # The harp was too loud.
        assert {r["product_name"] for r in each["because"]} <= {"Drum", "Flute"}
        assert 0 <= sum(r["weight"] for r in each["because"]) <= 1 + 1e-5
        assert list(each["contributions"]) == list(dict.fromkeys(built.combiner.evidences))
        assert sum(each["contributions"].values()) == pytest.approx(each["score"], abs=1e-5)
    (reason,) = dan["recommendations"][0]["because"]
    assert reason["product_name"] == "Harp"
    users = pq.read_table(tmp_path / "output_dir" / "user_embeddings.parquet")
    assert users.column_names == ["user_id", "embedding"]
    assert str(users.schema.field("embedding").type).startswith("fixed_size_list")
    np.testing.assert_array_equal(
        np.stack(users["embedding"].to_numpy()[:2]), [each.embedding for each in results]
    )
    products = pq.read_table(tmp_path / "output_dir" / "product_embeddings.parquet")
    assert products["product_id"].to_pylist() == built.product_ids.tolist()
    np.testing.assert_array_equal(np.stack(products["embedding"].to_numpy()), built.embeddings)
    printed = capsys.readouterr().out
    assert "because of" in printed
    assert f"{reason['weight']:.0%} Harp (5 of 5 stars): rated" in printed
    assert "recommendations.jsonl" in printed


def test_everybody_where_training_held_out_nobody(built, tmp_path, capsys):
    split = {"_target_": "rec_sys.graph.splits.LeaveOneOut"}
    save_checkpoint(tmp_path / "checkpoint_dir", split_config=split)
    results = infer(config_of("infer_config", tmp_path))
    assert [each.user_id for each in results] == ["ann", "bob", "cyd", "dan", "eli"]
    assert "training held out no users" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        [{"nickname": "eve", "TextReview": ""}],
        {"nickname": "eve", "TextReview": ""},
    ],
)
def test_a_person_with_nothing_to_say(built, tmp_path, content):
    (tmp_path / "eve.json").write_text(json.dumps(content))
    infer(config_of("infer_config", tmp_path, f"infer.reviews={tmp_path / 'eve.json'}"))
    (eve,) = lines_of(tmp_path)
    assert "nothing is known here of this person" in eve["explanation"]
    assert (eve["user_id"], eve["nickname"], eve["fallback"]) == ("eve", "eve", "popular")
    assert "by popularity and trend" in eve["explanation"]
    assert [each["product_id"] for each in eve["recommendations"]][:3] == ["p1", "p2", "p4"]


def test_a_file_that_is_written_in_another_way(built, tmp_path):
    path = tmp_path / "fay.csv"
    path.write_text("who,thing,said,points\nfay,p1,très doux,9\n", encoding="cp1252")
    options = ["data.columns.user_id=who", "data.columns.product_id=thing", "data.encoding=cp1252"]
    options += ["data.columns.text=said", "data.columns.rating=points", "data.rating_scale=[1,10]"]
    (fay,) = infer(config_of("infer_config", tmp_path, f"infer.reviews={path}", *options))
    assert fay.user_id == "fay" and "p1" not in [each.product_id for each in fay.recommendations]
    (reason,) = fay.recommendations[0].because
    assert (reason.text, reason.rating) == ("très doux", pytest.approx(1 + 8 / 9 * 4))


def test_a_file_is_read_as_that_of_the_training_where_it_has_its_fields(built, tmp_path):
    own = {"columns": {"user_id": "who", "product_name": "thing", "text": "said"}}
    save_checkpoint(tmp_path / "checkpoint_dir", data_config=own)
    create_vectorbase(config_of("vectorbase_config", tmp_path))
    for number, heading in enumerate(["who,thing,said", "nickname,ProductName,TextReview"]):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{heading}\nfay,Drum,warm\n")
        (fay,) = infer(config_of("infer_config", tmp_path, f"infer.reviews={path}"))
        assert fay.user_id == "fay"
        assert "p1" not in [each.product_id for each in fay.recommendations]
    # What is wrong in the training's file is told, and not read in another way.
    own["columns"]["rating"] = "points"
    save_checkpoint(tmp_path / "checkpoint_dir", data_config=own)
    path.write_text("who,thing,said,points\nfay,Drum,warm,9\n")
    with pytest.raises(InputError, match="rating '9' is out of range"):
        infer(config_of("infer_config", tmp_path, f"infer.reviews={path}"))
    with pytest.raises(InputError, match="no such file|is a folder|cannot be read"):
        infer(config_of("infer_config", tmp_path, "infer.reviews=''"))


def test_the_training_s_data_are_not_read_in_another_way(built, tmp_path):
    with pytest.raises(InputError, match="data.columns: .* infer.reviews=FILE"):
        infer(config_of("infer_config", tmp_path, "data.columns.text=said"))


def test_without_a_text_the_encoder_is_left_alone(built, tmp_path, monkeypatch):
    """Opening its store would measure its precision, which takes half a minute."""
    monkeypatch.setattr("rec_sys.inference.infer.open_store", None)
    path = tmp_path / "silent.json"
    path.write_text(json.dumps([{"nickname": "fay", "asin": "p1", "TextReview": ""}]))
    (fay,) = infer(config_of("infer_config", tmp_path, f"infer.reviews={path}"))
    assert fay.fallback is None and len(fay.recommendations) == 5


def test_a_file_of_people_and_products_never_seen(built, tmp_path):
    records = [
        {"nickname": "fay", "ProductName": "Harp", "TextReview": "sings"},
        {"nickname": "fay", "ProductName": "Lute", "TextReview": "hums", "rating": 2},
        {"nickname": "gus", "asin": "p1", "TextReview": "solid"},
        {"TextReview": "I am nobody"},
    ]
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    infer(config_of("infer_config", tmp_path, f"infer.reviews={path}"))
    fay, gus, nobody = lines_of(tmp_path)
    assert [each["user_id"] for each in (fay, gus, nobody)] == ["fay", "gus", "you"]
    assert "p4" not in [each["product_id"] for each in fay["recommendations"]]
    assert "p1" not in [each["product_id"] for each in gus["recommendations"]]
    # A text alone is what somebody wants.
    assert [each["wish"] for each in (fay, gus, nobody)] == ["", "", "I am nobody"]
    assert (nobody["fallback"], len(nobody["recommendations"])) == (None, 6)
    for each in fay["recommendations"]:
        assert {reason["text"] for reason in each["because"]} <= {"sings"}  # a lute that hums: 2
    assert any(each["because"] for each in fay["recommendations"])


def test_a_wish_of_somebody_unknown(built, tmp_path, capsys):
    options = ["infer.wish=nylon strings", "infer.k=3"]
    (result,) = infer(config_of("infer_config", tmp_path, *options))
    (you,) = lines_of(tmp_path)
    assert (you["user_id"], you["wish"], you["fallback"]) == ("you", "nylon strings", None)
    matched = [each for each in you["recommendations"] if each["match"]]
    assert matched and all(set(each["match"]) == {"weight", "words", "quote"} for each in matched)
    for line, each in zip(you["recommendations"], result.recommendations, strict=True):
        assert bool(line["match"]) == bool(each.match)
        if each.match:
            assert line["match"]["words"] == list(each.match.words)
            assert line["match"]["weight"] == pytest.approx(each.match.weight)
    assert "your words (" in capsys.readouterr().out


def test_a_wish_of_the_people_of_a_file(built, tmp_path):
    path = tmp_path / "fay.json"
    path.write_text(json.dumps([{"nickname": "fay", "asin": "p1", "TextReview": "solid"}]))
    (fay,) = infer(
        config_of("infer_config", tmp_path, f"infer.reviews={path}", "infer.wish=a harp")
    )
    assert (fay.user_id, fay.wish) == ("fay", "a harp")
    assert "p1" not in [each.product_id for each in fay.recommendations]
    assert any(each.match for each in fay.recommendations)
    path.write_text(json.dumps([{"nickname": "fay", "TextReview": "something loud"}]))
    options = f"infer.reviews={path}", "infer.wish=a harp"
    (fay,) = infer(config_of("infer_config", tmp_path, *options))
    assert fay.wish == "a harp something loud"


def test_a_quote_is_written_and_shown(built, tmp_path, capsys):
    review = "[fay,p6,Nylon as warm as nylon can be,5,100]"
    shop = replaced("data", "LaterShop", f"reviews=[{review}]")
    create_vectorbase(config_of("vectorbase_config", tmp_path, *shop))
    infer(config_of("infer_config", tmp_path, "infer.wish=warm nylon"))
    (you,) = lines_of(tmp_path)
    quotes = {
        each["product_id"]: each["match"]["quote"]
        for each in you["recommendations"]
        if each["match"]
    }
    assert quotes["p6"] == {"text": "Nylon as warm as nylon can be", "rating": 5.0}
    printed = " ".join(capsys.readouterr().out.split())
    assert "Strings: “Nylon as warm as nylon can be” (5 of 5 stars)" in printed
    table = as_table(infer(config_of("infer_config", tmp_path, "infer.wish=warm nylon")))
    assert table.schema.equals(RECOMMENDATION_SCHEMA)
    told = {row["product_id"]: row["match"] for row in table.to_pylist()}
    assert told["p6"]["quote"]["text"] == "Nylon as warm as nylon can be"


def test_other_data_is_recommended_to_all_its_users(built, tmp_path):
    overrides = replaced("data", "Shop", "without=cyd")
    results = infer(config_of("infer_config", tmp_path, *overrides))
    assert [each.user_id for each in results] == ["ann", "bob", "dan", "eli"]


def test_onnx_recommends_the_same(built, tmp_path):
    trained = load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt")
    path = export_tiny(trained, tmp_path / "model.onnx")
    one = infer(config_of("infer_config", tmp_path))
    other = infer(
        config_of("infer_config", tmp_path, "infer.backend=onnx", f"infer.onnx_path={path}")
    )
    for torch_user, onnx_user in zip(one, other, strict=True):
        np.testing.assert_allclose(torch_user.embedding, onnx_user.embedding, atol=1e-5)
    foreign = save_checkpoint(tmp_path / "other", seed=1)
    path = export_tiny(load_trained(foreign), tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match="built from another model.*foreign.onnx"):
        infer(config_of("infer_config", tmp_path, "infer.backend=onnx", f"infer.onnx_path={path}"))


def test_a_newer_model_needs_a_new_index(built, tmp_path, capsys):
    newer = save_checkpoint(tmp_path / "checkpoint_dir", seed=1, name="newer")
    infer(config_of("infer_config", tmp_path))
    told = capsys.readouterr().out.replace("\n", " ")
    assert "tiny.ckpt" in told and "newer.ckpt is newer: create_vectorbase" in told
    with pytest.raises(InputError, match="tiny.ckpt.*newer.ckpt.*create_vectorbase"):
        infer(config_of("infer_config", tmp_path, f"checkpoint={newer}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("infer.k=0", "infer.k=0"),
        ("infer.k=many", "infer.k=many"),
        ("infer.batch_size=0", "infer.batch_size=0"),
        ("infer.show_users=-1", "infer.show_users=-1"),
        ("infer.backend=tensorflow", "infer.backend=tensorflow: must be 'torch' or 'onnx'"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, override, message):
    with pytest.raises(InputError, match=message):
        infer(config_of("infer_config", tmp_path, override))


def test_a_file_that_is_not_there(built, tmp_path):
    with pytest.raises(InputError, match=r"nowhere.json: no such file"):
        infer(config_of("infer_config", tmp_path, "infer.reviews=nowhere.json"))


def test_nothing_trained_yet(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint; train first"):
        infer(config_of("infer_config", tmp_path))


def test_no_vectorbase_yet(built, tmp_path):
    with pytest.raises(InputError, match="create_vectorbase"):
        infer(config_of("infer_config", tmp_path, f"paths.vectorbase_dir={tmp_path / 'none'}"))


def test_results_are_replaced_as_a_whole(built, tmp_path):
    infer(config_of("infer_config", tmp_path))
    infer(config_of("infer_config", tmp_path, "infer.show_users=0"))
    assert len(list((tmp_path / "output_dir").iterdir())) == 3
