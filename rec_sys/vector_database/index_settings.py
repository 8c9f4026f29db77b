"""The settings ``vector_db``: which index, how hard it looks, and how much it may miss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.checks import is_number, is_whole
from rec_sys.foundation.errors import InputError

#: Exact search; the one factory string that needs no measuring.
FLAT = "Flat"
#: The factory string that leaves the choice to the number of products.
AUTO = "auto"

DEFAULT_CHUNK_SIZE = 8192
DEFAULT_TRAIN_ON = 100_000


@dataclass(frozen=True)
class IndexSettings:
    """How products are indexed; the values of ``config/vector_db``.

    Attributes:
        factory: "Flat" is exact, "HNSW32" or "IVF1024,Flat" are faster and miss some, "auto" is
            exact as long as that is fast. See FAISS's guide to the index factory.
        exact_up_to: "auto" is "Flat" up to so many products.
        large_factory: What "auto" is above.
        search: FAISS's parameters of searching, see `set_parameters`.
        min_recall: Share of the 10 best products that an index has to find, 0...1.
        chunk_size: Products embedded and added at once.
        train_on: So many products at most are looked at where an index learns before it is
            filled.
    """

    factory: str = FLAT
    exact_up_to: int = 0
    large_factory: str = FLAT
    search: Mapping[str, float] = field(default_factory=dict)
    min_recall: float = 0.0
    chunk_size: int = DEFAULT_CHUNK_SIZE
    train_on: int = DEFAULT_TRAIN_ON

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: One makes no sense; names it.
        """
        for name, least in {"exact_up_to": 0, "chunk_size": 1, "train_on": 1}.items():
            value = getattr(self, name)
            if not is_whole(value, least):
                raise InputError(
                    f"vector_db.{name}={value}: must be a whole number from {least} up"
                )
        if not is_number(self.min_recall) or not 0 <= self.min_recall <= 1:
            raise InputError(f"vector_db.min_recall={self.min_recall}: must be from 0 to 1")
        if not isinstance(self.search, Mapping):
            raise InputError(
                f"vector_db.search={self.search}: must be names with values, like {{nprobe: 64}}"
            )

    @classmethod
    def of(cls, config: DictConfig) -> "IndexSettings":
        """From the settings of a command.

        Args:
            config: The axis ``vector_db``.

        Raises:
            InputError: A value makes no sense, or there is an unknown one.
        """
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(
                f"vector_db.{min(unknown)}: no such setting; choose from"
                f" {', '.join(cls.__dataclass_fields__)}"
            )
        return cls(**values)

    def factory_for(self, num_products: int) -> str:
        """The factory string that FAISS gets.

        Args:
            num_products: P.
        """
        if str(self.factory) != AUTO:
            return str(self.factory)
        return FLAT if num_products <= self.exact_up_to else str(self.large_factory)

    def fits(self, factory: str, search: Mapping[str, float], num_products: int) -> bool:
        """Whether an index is what these settings would build.

        Args:
            factory: Of the index.
            search: Its parameters of searching.
            num_products: In it.
        """
        wanted = {name: self.search.get(name) for name in search}
        return factory == self.factory_for(num_products) and wanted == dict(search)
