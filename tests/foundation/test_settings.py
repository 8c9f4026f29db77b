"""Settings are checked by their types, and what is wrong is said in one line."""

import errno

import pytest
from omegaconf import OmegaConf

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import (
    InnerShare,
    Positive,
    PositiveCount,
    build,
    read_settings,
    settings_of,
)


@settings_of("sea")
class Waves:
    height: Positive
    number: PositiveCount = 3
    share: InnerShare = 0.5
    names: list[str] | None = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 0}, "sea.height=0: must be above 0"),
        ({"height": "high"}, "sea.height=high: must be a number"),
        ({"height": True}, "sea.height=True: must be a number"),
        ({"height": float("nan")}, "sea.height=nan: must be a finite number"),
        ({"height": 1, "number": 0}, "sea.number=0: must be at least 1"),
        ({"height": 1, "number": 1.5}, "sea.number=1.5: must be a whole number"),
        ({"height": 1, "share": 1.0}, "sea.share=1.0: must be below 1"),
        ({"height": 1, "names": 3}, "sea.names=3: must be a list"),
        ({}, "sea.height: is missing"),
        ({"height": 1, "numbr": 2}, "sea.numbr: no such setting; choose from number"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(InputError) as error:
        read_settings(Waves, OmegaConf.create(values))
    assert str(error.value) == message


def test_objects_are_built_from_what_a_target_names():
    values = {"_target_": f"{__name__}.Waves", "height": "${double}", "names": ["a"], "number": 0}
    config = OmegaConf.create({"double": 2, "waves": values})
    with pytest.raises(InputError, match=r"^sea.number=0: must be at least 1$"):
        build(config.waves)
    waves = build(config.waves, number=4)
    assert (waves.height, waves.number, waves.names) == (2, 4, ["a"])


def test_a_flag_of_hydra_is_checked_at_any_depth():
    inner = {"_target_": "collections.OrderedDict", "_partial_": "abc"}
    config = OmegaConf.create({"_target_": "builtins.dict", "conv": inner})
    with pytest.raises(InputError, match=r"^conv\._partial_=abc: must be true or false$"):
        build(config)


def test_a_name_that_the_disk_refuses_is_told_as_such():
    config = OmegaConf.create({"_target_": "os.mkdir", "path": "a" * 5000})
    with pytest.raises(OSError) as caught:
        build(config)
    assert caught.value.errno == errno.ENAMETOOLONG
