import pytest
from hydra import compose, initialize_config_dir

from rec_sys.cluster.workers import connected
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from tests.helpers.machines import needs_ray

pytestmark = needs_ray


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "nobody answers there"),
        ("ray://127.0.0.1:10001", "must be HOST:PORT"),
        ("somewhere", "must be HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster(address, message):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("encode_files_config", [f"cluster.address='{address}'"])
    with pytest.raises(InputError, match=message), connected(config.cluster):
        pass
