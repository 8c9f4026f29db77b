"""Tuning with trials whose outcome is known: what is kept, what is not, and what it may cost."""

import math
import time

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import write_kept
from rec_sys.train.tuning import search_space, tune, with_values

SPACE = {"one": {"a.x": [0.0, 1.0]}, "two": {"a.y": [1.0, 100.0]}}
CHOICES = 300


class Trial:
    """Choices whose gains are noise, and grow with ``a.x`` by a slope."""

    def __init__(self, slope: float = 0.0, seconds: float = 0.0, dies_after: int | None = None):
        self.slope, self.seconds, self.dies_after = slope, seconds, dies_after
        self.asked = []

    def __call__(self, values, share=1.0):
        if len(self.asked) == self.dies_after:
            raise KeyboardInterrupt
        self.asked.append((dict(values), share))
        time.sleep(self.seconds)
        noise = np.random.default_rng(sum(int(1e6 * each) for each in values.values()))
        gains = 0.3 + self.slope * values.get("a.x", 0) + 0.1 * noise.normal(size=CHOICES)
        return gains[: int(share * CHOICES)]

    @property
    def whole(self):
        return [values for values, share in self.asked if share == 1]


@pytest.fixture
def tuned(tmp_path):
    def tuned(trial, trials=12, minutes=10.0, journal="a.tuning", space=SPACE):
        return tune(trial, space, trials, minutes, 0, tmp_path / journal)

    return tuned


def test_what_clearly_gains_is_kept_and_goes_on_into_the_next_part(tuned):
    found = tuned(trial := Trial(slope=0.2))
    assert set(found.values) == {"a.x"} and found.values["a.x"] > 0.5
    assert [row[:2] for row in found.rows] == [("one", 6), ("two", 6)]
    given, kept = found.gains.mean(axis=1)
    assert kept - given == pytest.approx(found.rows[0][2]) and found.rows[0][2] > found.rows[0][3]
    later = [values for values, _ in trial.asked if "a.y" in values]
    assert len(later) >= 6 and all(found.values.items() <= values.items() for values in later)


@pytest.mark.parametrize("seed", range(3))
def test_luck_is_not_kept(tuned, seed):
    found = tuned(Trial(), space={name: {f"{seed}.x": [0.0, 1.0]} for name in "abc"}, trials=30)
    assert found.values == {}
    np.testing.assert_array_equal(*found.gains)
    assert max(row[2] for row in found.rows) > 0  # the best of ten is ahead, but not enough


def test_what_is_behind_at_first_is_not_asked_for_all(tuned):
    tuned(trial := Trial(slope=-0.5), space={"one": SPACE["one"]})
    looked = [values["a.x"] for values, share in trial.asked if share < 1 and values]
    assert len(looked) == 12 and min(looked) < 0.1
    assert all(values.get("a.x", 0) < 0.1 for values in trial.whole)


def test_minutes_end_it(tuned):
    start = time.monotonic()
    found = tuned(Trial(seconds=0.05), trials=1000, minutes=0.01)
    assert time.monotonic() - start < 5
    assert 0 < sum(row[1] for row in found.rows) < 20


@pytest.mark.parametrize("dies_after", [5, 8, 12, 20])
def test_after_a_kill_it_ends_as_it_would_have(tuned, tmp_path, dies_after):
    whole = tuned(first := Trial(slope=0.2))
    with pytest.raises(KeyboardInterrupt):
        tuned(Trial(slope=0.2, dies_after=dies_after), journal="b.tuning")
    again = tuned(second := Trial(slope=0.2), journal="b.tuning")
    assert (again.values, again.rows) == (whole.values, whole.rows)
    np.testing.assert_array_equal(again.gains, whole.gains)
    assert len(second.asked) < len(first.asked)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tuning", "b.tuning"}  # no lock


def test_the_time_before_a_kill_counts(tuned):
    dying = Trial(seconds=0.05, dies_after=9)
    with pytest.raises(KeyboardInterrupt):
        tuned(dying, trials=1000)
    tuned(again := Trial(), trials=1000, minutes=0.2 / 60)
    assert not [values for values, _ in again.asked if values not in [v for v, _ in dying.asked]]


def composed(*overrides):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("train_config", list(overrides))


def test_the_space_of_the_configuration_is_one_of_its_settings():
    config = composed()
    space = search_space(config)
    assert set(space) == set(config.tuning)
    for settings in space.values():
        for name, (low, high) in settings.items():
            assert low <= OmegaConf.select(config, name) <= high
            assert OmegaConf.select(with_values(config, {name: high}), name) == high
    assert set(space) - set(search_space(composed("~evidence.trend"))) == {"trend"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"product_graph.l3": [1, 2]}, "tuning.order: there is no setting product_graph.l3"),
        ({"product_graph.l2": [2, 1]}, "product_graph.l2: give settings, each with its lowest"),
        ({"product_graph.l2": [1]}, "tuning.order: cannot be used .*its lowest and its highest"),
        ({"product_graph.l2": 3}, "tuning.order: cannot be used .*its lowest and its highest"),
        ({"product_graph.l2": ["a", "b"]}, "tuning.order: cannot be used .*its lowest and its"),
        (5, "tuning.order: cannot be used .*its lowest and its highest"),
        ({}, "tuning.order: cannot be used .*its lowest and its highest"),
    ],
)
def test_a_wrong_space_is_told(settings, message):
    config = OmegaConf.merge(composed(), {})
    config.tuning.order = settings
    with pytest.raises(InputError, match=message):
        search_space(config)


@pytest.mark.parametrize("content", [b"garbage\n", b"[]\n", b'{"op_code": 99}\n', b"\xff\n"])
def test_a_journal_of_something_else_is_told(tuned, tmp_path, content):
    (tmp_path / "d.tuning").write_bytes(content)
    with pytest.raises(InputError, match="d.tuning: cannot be used .*delete it"):
        tuned(Trial(), trials=2, journal="d.tuning")


@pytest.mark.parametrize("place", range(8))
def test_a_damaged_journal_is_told(tuned, tmp_path, place):
    tuned(Trial(), trials=8, journal="c.tuning")
    journal = tmp_path / "c.tuning"
    content = bytearray(journal.read_bytes())
    digits = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    content[digits[place * len(digits) // 8]] ^= 1
    journal.write_bytes(content)
    with pytest.raises(InputError, match="c.tuning: cannot be used .*delete it"):
        tuned(Trial(), trials=8, journal="c.tuning")


def test_a_journal_with_trials_of_another_tuning_is_told(tuned):
    tuned(Trial(), trials=2, journal="e.tuning")
    space = {part: {f"b.{part}": [0.0, 2.0]} for part in SPACE}
    with pytest.raises(InputError, match="e.tuning: holds trials of another tuning; delete it"):
        tuned(Trial(), trials=8, journal="e.tuning", space=space)


@pytest.mark.parametrize("kept", [5, [], {"one": 5}, {"one": [[{"a.x": 0.1}, math.nan, 1.0]]}])
def test_a_journal_that_somebody_made_is_told(tuned, tmp_path, kept):
    write_kept(tmp_path / "f.tuning", kept)
    with pytest.raises(InputError, match="f.tuning: cannot be used .*delete it"):
        tuned(Trial(), trials=2, journal="f.tuning")
