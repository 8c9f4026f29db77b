import contextlib
import importlib
import os
import shutil
import struct

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint import (
    COMBINER_KEY,
    RECORD_KEY,
    TOWERS_KEY,
    build_evidences,
    complete_checkpoint,
    find_checkpoint,
    last_checkpoints,
    load_data,
    load_trained,
    read_checkpoint,
)
from rec_sys.modules.combiner import GROUPS, Combiner
from rec_sys.modules.trusted_settings import trusted_classes, trusted_settings
from rec_sys.train.trainer import WholeCheckpoints
from tests.helpers.tiny_models import tiny_towers
from tests.modules.conftest import VECTOR_DIM


def saved(path):
    """As it was saved, with tensors."""
    return torch.load(path, weights_only=True)


def test_a_checkpoint_gives_the_same_model(checkpoint, model):
    trained = load_trained(checkpoint)
    assert not trained.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained.model.state_dict()[name])
    assert trained.fingerprint == load_trained(checkpoint).fingerprint


def combiner_of(*evidences):
    rng = np.random.default_rng(0)
    shape = (len(GROUPS), len(evidences))
    shrinkage = np.array([np.inf, 0.3, 3.0, np.inf, 0.1])
    return Combiner(evidences, evidences, rng.normal(size=shape), shrinkage, rng.random(shape))


def test_what_the_evidences_have_learned_is_added_at_the_end(checkpoint):
    towers = tiny_towers(VECTOR_DIM)
    before, combiner = saved(checkpoint), combiner_of("co-reviewing", "popularity")
    fingerprint = load_trained(checkpoint).fingerprint
    with pytest.raises(InputError, match=r"tiny.ckpt: its training has not ended.*train.resume"):
        _ = load_trained(checkpoint).combiner
    with pytest.raises(InputError, match=r"tiny.ckpt: its match of texts and products is missing"):
        _ = load_trained(checkpoint).towers
    complete_checkpoint(checkpoint, combiner, towers)
    trained = load_trained(checkpoint)
    assert trained.fingerprint == fingerprint
    assert trained.combiner.features == trained.combiner.evidences == combiner.features
    for name in ("weights", "shrinkage", "shares"):
        np.testing.assert_array_equal(getattr(trained.combiner, name), getattr(combiner, name))
    for name, each in vars(towers).items():
        found = getattr(trained.towers, name)
        np.testing.assert_array_equal(found, each)
        assert found.dtype == np.float32
    after = saved(checkpoint)
    assert after.keys() - before.keys() == {COMBINER_KEY, TOWERS_KEY}
    assert before.keys() <= after.keys()
    assert after[RECORD_KEY] == before[RECORD_KEY]
    for name, tensor in before["state_dict"].items():
        assert torch.equal(after["state_dict"][name], tensor)
    assert [each.name for each in checkpoint.parent.iterdir()] == ["tiny.ckpt"]


def test_what_tuning_has_changed_is_what_later_commands_take(checkpoint):
    record = read_checkpoint(checkpoint)[RECORD_KEY]
    graph = {"_target_": "rec_sys.modules.product_graph.ProductGraphBuilder", "l2": 12.5}
    config = record["config"] | {"product_graph": graph}
    changed = record | {"config": config, "tuned": {"product_graph.l2": 12.5}}
    combiner = combiner_of("co-reviewing", "popularity")
    complete_checkpoint(checkpoint, combiner, tiny_towers(VECTOR_DIM), changed)
    trained = load_trained(checkpoint)
    assert trained.record == changed
    assert trained.settings(OmegaConf.create({}), "product_graph").l2 == 12.5


@pytest.mark.parametrize(
    "damage",
    [{"weights": [[1.0]]}, {"evidences": ["network"]}, {"weights": "x"}, {"shares": None}],
)
def test_damaged_weights_of_evidences_are_told(checkpoint, damage):
    content = saved(checkpoint)
    content[COMBINER_KEY] = combiner_of("co-reviewing", "popularity").plain() | damage
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: its weights of evidences are damaged"):
        _ = load_trained(checkpoint).combiner


@pytest.mark.parametrize("damage", [None, "x", [], -1, float("inf"), torch.zeros(3)])
@pytest.mark.parametrize(
    "place",
    ["state_dict", "split", "split.fingerprint", "data", "encoder", "vector_dim", "run_name"]
    + ["config", "encoder.model_fingerprint", "state_dict.more", "seen"],
)
def test_a_damaged_record_is_told(checkpoint, place, damage):
    content = saved(checkpoint)
    *parents, name = place.replace("seen", "rec_sys_seen").split(".")
    inner = content if name in ("state_dict", "rec_sys_seen") else content[RECORD_KEY]
    inner = content["state_dict"] if place == "state_dict.more" else inner
    for parent in parents[: place != "state_dict.more"]:
        inner = inner[parent]
    key = "model.more" if place == "state_dict.more" else name
    if place.endswith("fingerprint") or place == "run_name":
        damage = None if isinstance(damage, str) else damage
    if (place, damage) == ("seen", None):
        damage = {}
    inner[key] = damage
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: "):
        _ = load_trained(checkpoint).model


def test_weights_that_are_no_numbers_are_told(checkpoint):
    content = saved(checkpoint)
    next(iter(content["state_dict"].values())).fill_(np.nan)
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="not all finite"):
        load_trained(checkpoint)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop(TOWERS_KEY),
        lambda content: content.update({TOWERS_KEY: None}),
        lambda content: content.update({TOWERS_KEY: [1.0]}),
        lambda content: content[TOWERS_KEY].pop("query"),
        lambda content: content[TOWERS_KEY].update(more=torch.zeros(VECTOR_DIM, VECTOR_DIM)),
        lambda content: content[TOWERS_KEY].update(name="x"),
        lambda content: content[TOWERS_KEY].update(info=torch.zeros(VECTOR_DIM, 3)),
        lambda content: content[TOWERS_KEY]["reviews"].fill_(np.inf),
    ],
)
def test_damaged_towers_are_told(checkpoint, damage):
    complete_checkpoint(
        checkpoint, combiner_of("co-reviewing", "popularity"), tiny_towers(VECTOR_DIM)
    )
    content = saved(checkpoint)
    damage(content)
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: its match .* is missing or damaged"):
        _ = load_trained(checkpoint).towers


def test_other_weights_other_fingerprint(checkpoint, tmp_path):
    content = saved(checkpoint)
    content["state_dict"]["model.product_head.bias"] += 1e-6
    torch.save(content, tmp_path / "other.ckpt")
    assert load_trained(tmp_path / "other.ckpt").fingerprint != load_trained(checkpoint).fingerprint


def test_settings_of_other_dimensions_are_refused(checkpoint, settings):
    with pytest.raises(InputError, match=r"tiny.ckpt: its weights do not fit .*current model"):
        load_trained(checkpoint, settings | {"hidden_dim": 32})


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"a.ckpt: not a readable checkpoint"):
        read_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        read_checkpoint(path)
    torch.save({RECORD_KEY: {"format": -1}}, path)
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({RECORD_KEY: Hostile()}, "evil.ckpt")
    with pytest.raises(InputError, match="not a readable checkpoint") as caught:
        read_checkpoint("evil.ckpt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_the_newest_best_checkpoint_is_found(checkpoint, tmp_path, capsys):
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no checkpoint; train first"):
        find_checkpoint(None, folder)
    for age, name in enumerate(["b.ckpt", "a.ckpt", "c.last.ckpt"]):
        shutil.copy(checkpoint, folder / name)
        os.utime(folder / name, (1000 + age, 1000 + age))
    assert find_checkpoint(None, folder).name == "a.ckpt"
    assert find_checkpoint(folder / "b.ckpt", folder).name == "b.ckpt"
    assert find_checkpoint(folder / "b.ckpt", folder, built_from="a.ckpt").name == "b.ckpt"
    assert [path.name for path in last_checkpoints(folder)] == ["c.last.ckpt"]
    with pytest.raises(InputError, match=r"d.ckpt: no such checkpoint; .* holds a.ckpt, b.ckpt"):
        find_checkpoint(folder / "d.ckpt", folder)
    with pytest.raises(InputError, match="no interrupted training"):
        last_checkpoints(tmp_path / "empty")
    # What goes with an index goes with its checkpoint, and says that there is a newer one.
    capsys.readouterr()
    assert find_checkpoint(None, folder, built_from="b.ckpt").name == "b.ckpt"
    told = capsys.readouterr().out
    assert "b.ckpt\n" in told and "a.ckpt is newer: create_vectorbase" in told
    with pytest.raises(InputError, match="d.ckpt: .* from which the index was built; .* name one"):
        find_checkpoint(None, folder, built_from="d.ckpt")


CALLED = []


def marker(*args, **kwargs):
    """What an attacker would have called."""
    CALLED.append((args, kwargs))


@pytest.fixture
def markers(monkeypatch):
    """Names under which the marker can be reached, also from inside trusted packages."""
    for module in ("rec_sys.reviews.sources", "rec_sys.modules.graph_model", "torch_geometric.nn"):
        monkeypatch.setattr(importlib.import_module(module), "marker", marker, raising=False)
    OmegaConf.register_new_resolver("marker", marker, replace=True)
    yield
    OmegaConf.clear_resolver("marker")
    CALLED.clear()


def with_settings(checkpoint, axis, settings):
    content = saved(checkpoint)
    content[RECORD_KEY]["config"][axis] = settings
    path = checkpoint.with_name("changed.ckpt")
    torch.save(content, path)
    return path


ATTACK = {"_target_": "rec_sys.reviews.sources.marker", "_args_": ["x"]}
EVIDENCES = "rec_sys.modules.evidences"
EVIDENCE = {"_target_": f"{EVIDENCES}.Order", "smoothing": 1.0, "history_decays": [0.0]}
SOURCE = {"_target_": "rec_sys.reviews.sources.DemoReviews", "folder": "x"}


@pytest.mark.parametrize(
    ("hostile", "answer"),
    [
        ({"_target_": "os.mkdir", "path": "x"}, "'os.mkdir', which is not a part of rec_sys"),
        ({"_target_": "rec_sys.vector_database.vectorbase.pd.read_pickle"}, "read_pickle', which"),
        (ATTACK, "sources.marker', which is not a part of rec_sys that may stand at data"),
        (SOURCE | {"x": [ATTACK]}, "may stand at data.x.0"),
        (SOURCE | {"x": {"y": ((ATTACK,),)}}, "may stand at data.x.y.0.0"),
        (SOURCE | {"cleaning": SOURCE}, "DemoReviews', .* at data.cleaning"),
        (SOURCE | {"cleaning": {}}, "None, .* at data.cleaning"),
        ({"_target_": [ATTACK]}, "which is not a part of rec_sys"),
        (SOURCE | {"_args_": [1]}, "the key _args_ at data"),
        (SOURCE | {"_partial_": True}, "the key _partial_ at data"),
        (SOURCE | {"_convert_": "none"}, "the key _convert_ at data"),
        (SOURCE | {"x": {"_recursive_": False}}, "the key _recursive_ at data.x"),
        (SOURCE | {"x": ["${oc.env:HOME}"]}, "oc.env:HOME}' at data.x.0"),
        (SOURCE | {"x": "a ${marker:1}"}, "marker:1}' at data.x"),
        (SOURCE | {"folder": "???"}, "the text '\\?\\?\\?' at data.folder"),
        (SOURCE | {1: 2}, "a key that is no text"),
        (SOURCE | {"x": torch.zeros(1)}, "a ndarray at data.x"),
        ([ATTACK], "holds no settings of data"),
        (None, "holds no settings of data"),
    ],
)
def test_settings_of_a_checkpoint_run_nothing_else(checkpoint, markers, hostile, answer):
    trained = load_trained(with_settings(checkpoint, "data", hostile))
    with pytest.raises(InputError, match=answer) as caught:
        load_data(trained, OmegaConf.create({"data": {"from_checkpoint": True}}))
    assert "changed.ckpt: " in str(caught.value) and "\n" not in str(caught.value)
    assert not CALLED


DOWNLOADED = {"_target_": "rec_sys.reviews.sources.DownloadedReviews", "folder": "x"}


def test_no_text_encoder_is_downloaded_because_a_checkpoint_says_so(checkpoint, tmp_path):
    encoder = {"_target_": "rec_sys.text.encoder.TextEncoder", "model": "somebody/model"}
    trained = load_trained(with_settings(checkpoint, "encoder", encoder))
    with pytest.raises(InputError, match="would be downloaded from the hub"):
        trained.settings(OmegaConf.create(), "encoder")
    for model in ("embedded", str(tmp_path)):
        trained = load_trained(with_settings(checkpoint, "encoder", encoder | {"model": model}))
        assert trained.settings(OmegaConf.create(), "encoder").model == model


@pytest.mark.parametrize(
    "address",
    [
        {"reviews_url": "https://evil.example/Musical_Instruments_5.json.gz"},
        {"metadata_url": "http://127.0.0.1:1/x"},
        {"reviews_drive_id": "somebody-elses"},
        {"metadata_drive_id": ["x"]},
    ],
)
def test_nothing_is_downloaded_from_where_a_checkpoint_says(checkpoint, address):
    for ours in ("musical_instruments", "musical_instruments_2014"):
        known = OmegaConf.load(CONFIG_DIR / "data" / f"{ours}.yaml").reviews_url
        trained = load_trained(
            with_settings(checkpoint, "data", DOWNLOADED | {"reviews_url": known})
        )
        assert trained.settings(OmegaConf.create(), "data").reviews_url == known
    trained = load_trained(with_settings(checkpoint, "data", DOWNLOADED | address))
    with pytest.raises(InputError, match="which no file in config/data names; if you trust it"):
        trained.settings(OmegaConf.create(), "data")


def nested(levels, times):
    value = [1]
    for _ in range(levels):
        value = [value] * times
    return value


@pytest.mark.parametrize(
    ("hostile", "answer"),
    [
        (nested(150, 1), "too many levels"),
        (nested(4, 100), "too many values"),  # a repr of this is larger than all memory
        ([10**5000], "too long a value"),
        (["x" * 200_000] * 9000, "too long a value"),
        ([torch.zeros(1)], "a ndarray"),
    ],
)
def test_the_identity_of_a_model_takes_no_time_without_end(checkpoint, hostile, answer):
    content = saved(checkpoint)
    content[RECORD_KEY]["config"]["model"]["x"] = hostile
    path = checkpoint.with_name("changed.ckpt")
    torch.save(content, path)
    with pytest.raises(InputError, match=f"changed.ckpt: .*{answer}"):
        _ = load_trained(path).fingerprint


@pytest.mark.parametrize("place", ["hidden_dim", "conv.out_channels", "conv.heads"])
def test_a_model_larger_than_its_weights_is_not_made(checkpoint, place):
    content = saved(checkpoint)
    config = OmegaConf.create({"model": content[RECORD_KEY]["config"]["model"]})
    OmegaConf.update(config, f"model.{place}", 10**6)
    content[RECORD_KEY]["config"] |= OmegaConf.to_container(config)
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match=rf"do not fit .*model\.{place}=1000000"):
        _ = load_trained(checkpoint).model


@pytest.mark.parametrize(("setting", "value"), [("dropout", 100.0), ("aggr", None)])
def test_a_convolution_that_cannot_run_is_told_at_once(checkpoint, setting, value):
    content = saved(checkpoint)
    content[RECORD_KEY]["config"]["model"]["conv"][setting] = value
    torch.save(content, checkpoint)
    with pytest.raises(
        InputError, match="no model can be made of it .*change model.conv or train again"
    ):
        _ = load_trained(checkpoint).model


def test_no_shop_without_end_is_invented(checkpoint):
    shop = SOURCE | {"num_users": 10**9, "reviews_per_user": 10**6}
    trained = load_trained(with_settings(checkpoint, "data", shop))
    with pytest.raises(InputError, match="would take hours to invent"):
        load_data(trained, OmegaConf.create({"data": {"from_checkpoint": True}}))


@pytest.mark.parametrize(
    ("hostile", "answer"),
    [
        ({"order": ATTACK}, "sources.marker', which is not a part .* at evidence.order"),
        (
            {"order": EVIDENCE | {"_target_": f"{EVIDENCES}.KnownReviews"}},
            "KnownReviews', .* at evidence.order",
        ),
        ({"popularity": EVIDENCE}, "evidences.Order', .* at evidence.popularity"),
        ({"rumour": EVIDENCE}, "evidences.Order', .* at evidence.rumour"),
        ({"order": {"smoothing": 1.0}}, "None, .* at evidence.order"),
        ({"order": EVIDENCE | {"name": ATTACK}}, "sources.marker', .* at evidence.order.name"),
        (EVIDENCE, "evidences.Order', .* at evidence"),
    ],
)
def test_an_evidence_stands_in_its_own_place(checkpoint, markers, hostile, answer):
    trained = load_trained(with_settings(checkpoint, "evidence", hostile))
    with pytest.raises(InputError, match=answer):
        trained.settings(OmegaConf.create(), "evidence")
    assert not CALLED


def test_settings_do_not_grow_without_end(checkpoint):
    lists = ["x"]
    for _ in range(4):
        lists = [lists] * 100
    with pytest.raises(InputError, match="too many values"):
        load_trained(with_settings(checkpoint, "data", SOURCE | {"x": lists}))


def test_settings_that_contain_themselves_are_refused(checkpoint):
    endless = []
    endless.append(endless)
    with pytest.raises(InputError, match="too many values"):
        load_trained(with_settings(checkpoint, "data", SOURCE | {"x": endless}))


@pytest.mark.parametrize(
    "target",
    [
        "os.mkdir",
        "torch_geometric.nn.marker",
        "torch_geometric.nn.Linear",
        "torch_geometric.nn.MessagePassing",
        "torch_geometric.nn.LabelPropagation",
        "torch_geometric.nn.conv.TransformerConv",
        "torch_geometric.nn.conv.message_passing.os.system",
        "rec_sys.modules.graph_model.GraphModel",
        None,
    ],
)
def test_only_a_convolution_stands_for_a_convolution(checkpoint, settings, markers, target):
    path = with_settings(
        checkpoint, "model", settings | {"conv": settings["conv"] | {"_target_": target}}
    )
    with pytest.raises(InputError, match=f"{target}'?, which is not a part of rec_sys"):
        _ = load_trained(path).model
    assert not CALLED


def test_any_convolution_of_pytorch_geometric_may_stand_in_a_checkpoint(settings):
    config = {"model": settings | {"conv": {"_target_": "torch_geometric.nn.GATConv"}}}
    assert trusted_settings(config, "model", "x").conv._target_ == "torch_geometric.nn.GATConv"


def test_every_class_that_is_trusted_exists():
    for place, names in trusted_classes().items():
        for name in names:
            found = get_class(name)
            assert f"{found.__module__}.{found.__qualname__}" == name, place


def test_settings_given_on_the_command_line_may_name_any_class(checkpoint):
    trained = load_trained(with_settings(checkpoint, "data", ATTACK))
    own = OmegaConf.create({"data": {"_target_": "somebody.elses.Reviews"}})
    assert trained.settings(own, "data") == own.data


TARGET_NAMES = st.sampled_from(
    [f"{module}.marker" for module in ("rec_sys.reviews.sources", "torch_geometric.nn", __name__)]
    + ["rec_sys.modules.graph_model.marker", "rec_sys.reviews.sources.importlib.import_module"]
    + [name for names in trusted_classes().values() for name in sorted(names)]
    + ["torch_geometric.nn.TransformerConv", "torch_geometric.nn.GATv2Conv"]
)
KEYS = st.sampled_from(["x", "y", "name", "folder", "cleaning", "conv"]) | st.sampled_from(
    ["_target_", "_args_", "_partial_", "_convert_", "_recursive_"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | TARGET_NAMES
    | st.sampled_from(["all", "${marker:}", "${x}", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.builds(
            lambda name, more: more | {"_target_": name},
            TARGET_NAMES,
            st.dictionaries(KEYS, inner, max_size=3),
        )
    ),
    max_leaves=12,
)


@hypothesis.settings(
    deadline=None,
    max_examples=400,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    place=st.sampled_from(
        ["data", "encoder", "split", "product_graph", "evidence.order", "evidence.match", "model"]
    ),
    more=st.dictionaries(KEYS, VALUES, max_size=4),
    data=st.data(),
)
def test_no_settings_of_a_checkpoint_call_what_is_not_listed(markers, place, more, data):
    target = data.draw(st.sampled_from(sorted(trusted_classes()[place])))
    if data.draw(st.booleans()):
        more = {"_target_": target} | more
    axis, _, name = place.partition(".")
    more = {name: more} if name and data.draw(st.booleans()) else more
    with contextlib.suppress(InputError, InstantiationException, TypeError):
        instantiate(trusted_settings({axis: more}, axis, "x.ckpt"), _convert_="all")
    assert not CALLED


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("begins", [1, 2, 3]),
        *(("begins", [each, None]) for each in ("x", 10**30, {}, 1.5, [1], float("nan"), True)),
        ("users", torch.zeros(3)),
        ("roles", torch.zeros(2, 2, dtype=torch.uint8)),
        ("earlier", [torch.zeros(1)] * 3),
        ("edge_product", torch.tensor([-5], dtype=torch.int32)),
        ("edge_user", torch.tensor([9], dtype=torch.int32)),
    ],
)
def test_reviews_seen_of_another_kind_are_told(checkpoint, name, damage):
    content = saved(checkpoint)
    content["rec_sys_seen"][name] = damage
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: no model can be made of it"):
        load_trained(checkpoint)


@pytest.mark.parametrize("nothing", [[], "x", 5, {"k1": 1.0}])
def test_an_evidence_that_names_no_class_is_told(checkpoint, nothing):
    trained = load_trained(with_settings(checkpoint, "evidence", {"texts": nothing}))
    with pytest.raises(InputError):
        build_evidences(trained.settings(OmegaConf.create(), "evidence"))


def seen_by_one_reader_each(pytorchs, pythons):
    """A file that is one archive to PyTorch's reader and another one to Python's `zipfile`, which
    finds the directory at the end that the last record does not name."""

    def parts(content):
        end = content.rfind(b"PK\x05\x06")
        count, size, start = struct.unpack("<10xHII", content[end : end + 20])
        if content[end - 20 : end - 16] == b"PK\x06\x07":
            at = struct.unpack("<8xQ", content[end - 20 : end - 4])[0]
            count, size, start = struct.unpack("<32xQQQ", content[at : at + 56])
        return content[: start + size], count, size, start

    def end64(count, size, start):
        head = struct.pack("<QHHIIQQ", 44, 45, 45, 0, 0, count, count)
        return b"PK\x06\x06" + head + struct.pack("<QQ", size, start)

    body, *facts = parts(pytorchs)
    other, *other_facts = parts(pythons)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(body), 1)
    last = b"PK\x05\x06" + struct.pack("<4x") + b"\xff" * 12 + b"\0\0"
    return body + end64(*facts) + other + end64(*other_facts) + locator + last


def test_a_state_is_read_by_one_reader_alone(checkpoint, tmp_path):
    """What was looked at is what is gone on with."""
    content = torch.load(checkpoint, weights_only=True)
    torch.save({"epoch": 9}, tmp_path / "other")
    path = tmp_path / "both.last.ckpt"
    path.write_bytes(
        seen_by_one_reader_each((tmp_path / "other").read_bytes(), checkpoint.read_bytes())
    )
    assert torch.load(path, weights_only=True) == {"epoch": 9}
    found = WholeCheckpoints(tmp_path).load_checkpoint(path, weights_only=True)
    assert found[RECORD_KEY] == content[RECORD_KEY]
    for name, tensor in content["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor)


@pytest.mark.parametrize("place", ["run_name", "key"])
def test_half_a_character_is_refused(checkpoint, place):
    content = saved(checkpoint)
    if place == "key":
        content["state_dict"]["model.\ud800"] = torch.zeros(1)
    else:
        content[RECORD_KEY]["run_name"] = "\ud800"
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: holds half of a character"):
        load_trained(checkpoint)


def test_a_model_takes_no_more_memory_than_its_weights(checkpoint):
    content = saved(checkpoint)
    content[RECORD_KEY]["vector_dim"] = 10**12
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="do not fit"):
        _ = load_trained(checkpoint).model


@pytest.mark.parametrize("ids", [[[1], {}, None], ["ann", 5], {}])
def test_ids_of_people_are_texts(checkpoint, ids):
    content = saved(checkpoint)
    content[RECORD_KEY]["split"]["validation_user_ids"] = ids
    torch.save(content, checkpoint)
    with pytest.raises(InputError, match="tiny.ckpt: its record or its weights are damaged"):
        load_trained(checkpoint)
