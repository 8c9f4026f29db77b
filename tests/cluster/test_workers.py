import pytest
from hydra import compose, initialize_config_dir

from rec_sys.cluster.workers import ClusterSettings, connected
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import read_settings
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
    settings = read_settings(ClusterSettings, config.cluster)
    with pytest.raises(InputError, match=message), connected(settings):
        pass
