"""Objects from their settings."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from rec_sys.foundation.errors import InputError


def build(settings: DictConfig, **arguments: Any) -> Any:
    """Hydra's ``instantiate`` for settings with a ``_target_``, telling a person's mistakes apart.

    Args:
        settings: Names the class and its arguments.
        **arguments: Further arguments.

    Raises:
        InputError: What the class says about its arguments; Hydra would wrap it in its own.
    """
    try:
        return instantiate(settings, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
