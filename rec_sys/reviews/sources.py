"""Where reviews come from: the embedded demo, local files, or a download."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of, write_json
from rec_sys.foundation.settings import is_number, is_whole
from rec_sys.reviews import demo
from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews
from rec_sys.reviews.download import Patience, fetch_file
from rec_sys.reviews.files import checked_suffix
from rec_sys.reviews.formats import AUTO
from rec_sys.reviews.reading import DEFAULT_MAX_INFO_CHARACTERS, read_products, read_reviews
from rec_sys.reviews.schema import ReviewData
from rec_sys.reviews.tables import (
    DEFAULT_MAX_BROKEN_SHARE,
    ReadReport,
    cache_folder,
    load_tables,
    save_tables,
)

#: Cleaning options in any form that a config gives them.
Cleaning = CleaningOptions | Mapping[str, Any] | None


@dataclass(frozen=True)
class ReadingOptions:
    """How the files are read; see `read_reviews` and `read_products`.

    Attributes:
        reviews_format: Name in `REVIEW_FORMATS`, or "auto".
        metadata_format: Name in `PRODUCT_FORMATS`, or "auto".
        max_broken_share: Bear this share of broken records in either file, 0...1.
        max_info_characters: Cut product descriptions to this length.
    """

    reviews_format: str = AUTO
    metadata_format: str = AUTO
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE
    max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS

    def validate(self) -> "ReadingOptions":
        """Returns itself.

        Raises:
            InputError: A number is none, or out of range; names ``data.KEY``.
        """
        share, length = self.max_broken_share, self.max_info_characters
        if not (is_number(share) and 0 <= share <= 1):
            raise InputError(f"data.max_broken_share: must be from 0 to 1, got {share!r}")
        if not is_whole(length, least=0):
            raise InputError(
                f"data.max_info_characters: must be a whole number from 0 up, got {length!r}"
            )
        return self


@dataclass(frozen=True)
class ReviewReader:
    """How a file is read that is no list of reviews.

    Attributes:
        name: Its name: what another reader made of the same file is not taken from the cache.
        read: From the file to the raw table and what was found; see `read_reviews`.
        files: Further files that it reads, by what they hold.
    """

    name: str
    read: Callable[[Path], tuple[pd.DataFrame, ReadReport]]
    files: Mapping[str, Path] = field(default_factory=dict)


def load_files(
    reviews_path: str | Path,
    metadata_path: str | Path | None,
    reading: ReadingOptions | None = None,
    cleaning: CleaningOptions | None = None,
    *,
    cache_dir: str | Path | None = None,
    expected_reviews: int | None = None,
    reader: ReviewReader | None = None,
) -> ReviewData:
    """Reads and cleans a data set, or takes what an earlier run made of the same files.

    Args:
        reviews_path: File of reviews, see `read_reviews`.
        metadata_path: File of products, see `read_products`; None if there is none.
        reading: How to read.
        cleaning: How to clean.
        cache_dir: Folder that keeps the result; None to keep nothing.
        expected_reviews: Number of records the review file must have; None for any.
        reader: Reads the file of reviews; None for `read_reviews`.

    Raises:
        InputError: A file or an option cannot be used, or nothing is left after cleaning.
    """
    reading = (reading or ReadingOptions()).validate()
    cleaning = CleaningOptions.of(cleaning)
    reviews_path = as_path(reviews_path, "reviews_path")
    metadata_path = None if metadata_path is None else as_path(metadata_path, "metadata_path")
    files = [path for path in (reviews_path, metadata_path) if path]
    for path in files:
        checked_suffix(path)  # before minutes are spent on the other one
    sources = (reviews_path, metadata_path, reading, cleaning, reader)
    if cache_dir is None:
        data, num_records = _read_and_clean(*sources)
        _check_number(reviews_path, num_records, expected_reviews)
        return data
    settings = {
        "has_metadata": metadata_path is not None,
        "reading": asdict(reading),
        "cleaning": asdict(cleaning),
        "reader": [reader.name, *reader.files] if reader else [],
    }
    files += reader.files.values() if reader else []
    folder = cache_folder(as_path(cache_dir, "cache_dir"), files, settings)
    if cached := load_tables(folder):
        note(f"{reviews_path}: read and cleaned before, taken from {folder}")
        data, num_records = cached
        _check_number(reviews_path, num_records, expected_reviews)
        return data
    data, num_records = _read_and_clean(*sources)
    _check_number(reviews_path, num_records, expected_reviews)
    save_tables(folder, data, num_records)
    return data


class ReviewSource(ABC):
    """A source of reviews. Arguments are checked by `load`, where messages are not buried.

    Attributes:
        name: A label for tables and logs.
        description: What is loaded, on one line.
    """

    expected_reviews: int | None = None

    def __init__(
        self,
        *,
        name: str,
        description: str,
        cache_dir: str | Path | None,
        cleaning: Cleaning,
        reading: ReadingOptions,
    ) -> None:
        self.name = name
        self.description = description
        self.cache_dir = cache_dir
        self.cleaning = cleaning
        self.reading = reading

    @abstractmethod
    def files(self) -> tuple[str | Path, str | Path | None]:
        """Makes sure that the files are there; the reviews, and the products if there are any.

        Raises:
            InputError: They cannot be had.
        """

    def reader(self) -> ReviewReader | None:
        """What reads the file of reviews; None for `read_reviews`.

        Raises:
            InputError: A file that it needs cannot be had.
        """
        return None

    def load(self) -> ReviewData:
        """Reads and cleans the reviews, or takes what an earlier run made of the same files.

        Raises:
            InputError: A setting or a file cannot be used.
        """
        self.reading.validate()
        cleaning = CleaningOptions.of(self.cleaning)
        reviews_path, metadata_path = self.files()
        return load_files(
            reviews_path,
            metadata_path,
            self.reading,
            cleaning,
            cache_dir=self.cache_dir,
            expected_reviews=self.expected_reviews,
            reader=self.reader(),
        )


def as_path(value: Any, key: str) -> Path:
    """A path of the config, with "~" put in full.

    Raises:
        InputError: It is none; names ``data.KEY``.
    """
    if not isinstance(value, str | PathLike) or not str(value):
        raise InputError(f"data.{key}: must be a path, got {value!r}")
    return Path(value).expanduser()


def _read_and_clean(
    reviews_path: Path,
    metadata_path: Path | None,
    reading: ReadingOptions,
    cleaning: CleaningOptions,
    reader: ReviewReader | None,
) -> tuple[ReviewData, int]:
    common = {"max_broken_share": reading.max_broken_share}
    products, steps = None, []
    if metadata_path:
        note(f"reading {metadata_path}")
        products, report = read_products(
            metadata_path,
            format=reading.metadata_format,
            max_info_characters=reading.max_info_characters,
            **common,
        )
        steps = report.as_steps("products")
    note(f"reading {reviews_path}")
    if reader:
        reviews, report = reader.read(reviews_path)
    else:
        reviews, report = read_reviews(reviews_path, format=reading.reviews_format, **common)
    steps += report.as_steps("reviews")
    data = clean_reviews(reviews, products, cleaning)
    data.report[:0] = steps
    return data, report.num_records


def _check_number(path: Path, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise InputError(
            f"{path}: holds {found} reviews, expected {expected}; delete the file and run again, "
            "or set data.expected_reviews=null if it is the right one"
        )


_SETTINGS_FILE = "settings.json"
_DEMO_PROGRAMS = "demo*.py"


class DemoReviews(ReviewSource):
    """The invented shop of `rec_sys.reviews.demo`, written to a folder where it can be looked at.

    Args:
        folder: Where the two files belong.
        num_users: See `write_demo`.
        num_products: See `write_demo`.
        reviews_per_user: See `write_demo`.
        seed: See `write_demo`.
        cache_dir: Folder that keeps the cleaned tables; None to keep nothing.
        cleaning: See `CleaningOptions`.
        name: A label.
    """

    def __init__(
        self,
        folder: str | Path,
        num_users: int = 800,
        num_products: int = 240,
        reviews_per_user: int = 8,
        seed: int = 0,
        cache_dir: str | Path | None = None,
        cleaning: Cleaning = None,
        name: str = "demo",
    ) -> None:
        super().__init__(
            name=name,
            description=f"demo data, {num_users} users, {num_products} products, seed {seed}",
            cache_dir=cache_dir,
            cleaning=cleaning,
            reading=ReadingOptions(max_broken_share=0.0),
        )
        self.folder = folder
        self.sizes = {
            "num_users": num_users,
            "num_products": num_products,
            "reviews_per_user": reviews_per_user,
            "seed": seed,
        }

    def files(self) -> tuple[Path, Path]:
        """Writes the demo's files unless the same ones are there."""
        folder = as_path(self.folder, "folder")
        paths = (folder / demo.REVIEWS_FILE, folder / demo.PRODUCTS_FILE)
        settings_path = folder / _SETTINGS_FILE
        programs = sorted(Path(demo.__file__).parent.glob(_DEMO_PROGRAMS))
        # Another program writes another shop, and an edited file is not the demo any more.
        settings = {**self.sizes, "programs": {path.name: sha256_of(path) for path in programs}}
        if settings_path.exists() and all(path.exists() for path in paths):
            written = {**settings, "files": [sha256_of(path) for path in paths]}
            if _read_or_none(settings_path) == written:
                return paths
        paths = demo.write_demo(folder, **self.sizes)
        write_json(settings_path, {**settings, "files": [sha256_of(path) for path in paths]})
        return paths


class LocalReviews(ReviewSource):
    """Files of one's own.

    Args:
        reviews_path: File of reviews; see `read_reviews` for what is understood.
        metadata_path: File of products, if there is one.
        reviews_format: See `ReadingOptions`.
        metadata_format: See `ReadingOptions`.
        max_broken_share: See `ReadingOptions`.
        max_info_characters: See `ReadingOptions`.
        cache_dir: Folder that keeps the cleaned tables; None to keep nothing.
        cleaning: See `CleaningOptions`.
        name: A label; by default the review file's name.
    """

    def __init__(
        self,
        reviews_path: str | Path | None,
        metadata_path: str | Path | None = None,
        reviews_format: str = AUTO,
        metadata_format: str = AUTO,
        max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
        max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
        cache_dir: str | Path | None = None,
        cleaning: Cleaning = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            name=name or Path(str(reviews_path or "local")).name.partition(".")[0],
            description=f"reviews in {reviews_path or 'no file'}, "
            f"products in {metadata_path or 'no file'}",
            cache_dir=cache_dir,
            cleaning=cleaning,
            reading=ReadingOptions(
                reviews_format, metadata_format, max_broken_share, max_info_characters
            ),
        )
        self.reviews_path = reviews_path
        self.metadata_path = metadata_path

    def files(self) -> tuple[str | Path, str | Path | None]:
        """The files as they were named."""
        if not self.reviews_path:
            raise InputError(
                "data.reviews_path is missing: name your file of reviews, for instance "
                "data.reviews_path=my_reviews.json"
            )
        return self.reviews_path, self.metadata_path or None


class DownloadedReviews(ReviewSource):
    """A public data set, fetched once.

    Args:
        folder: Where the files belong; files that are there already are used.
        reviews_url: Public address of the reviews; its last part is the file's name.
        metadata_url: The same for the products; None to do without.
        reviews_drive_id: Id of the reviews on Google Drive; if given, they come from there.
        metadata_drive_id: The same for the products.
        expected_reviews: Number of records the review file must have; None for any.
        retries: See `Patience`.
        backoff_seconds: See `Patience`.
        timeout_seconds: See `Patience`.
        reviews_format: See `ReadingOptions`.
        metadata_format: See `ReadingOptions`.
        max_broken_share: See `ReadingOptions`.
        max_info_characters: See `ReadingOptions`.
        cache_dir: Folder that keeps the cleaned tables; None to keep nothing.
        cleaning: See `CleaningOptions`.
        name: A label.
    """

    def __init__(
        self,
        folder: str | Path,
        reviews_url: str,
        metadata_url: str | None = None,
        reviews_drive_id: str | None = None,
        metadata_drive_id: str | None = None,
        expected_reviews: int | None = None,
        retries: int = Patience.retries,
        backoff_seconds: float = Patience.backoff_seconds,
        timeout_seconds: float = Patience.timeout_seconds,
        reviews_format: str = AUTO,
        metadata_format: str = AUTO,
        max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
        max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
        cache_dir: str | Path | None = None,
        cleaning: Cleaning = None,
        name: str = "download",
    ) -> None:
        super().__init__(
            name=name,
            description=f"reviews of {reviews_url} in {folder}",
            cache_dir=cache_dir,
            cleaning=cleaning,
            reading=ReadingOptions(
                reviews_format, metadata_format, max_broken_share, max_info_characters
            ),
        )
        self.folder = folder
        self.wanted = [(reviews_url, reviews_drive_id), (metadata_url, metadata_drive_id)]
        self.expected_reviews = expected_reviews
        self.patience = Patience(retries, backoff_seconds, timeout_seconds)

    def files(self) -> tuple[Path, Path | None]:
        """Fetches what is not there yet."""
        folder = as_path(self.folder, "folder")
        reviews, metadata = (
            fetch_file(folder / _file_name(url), url, drive_id, self.patience) if url else None
            for url, drive_id in self.wanted
        )
        if reviews is None:
            raise InputError("data.reviews_url is missing: name the address of the reviews")
        return reviews, metadata


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not name:
        raise InputError(f"{url}: names no file; give the address of the file itself")
    return name


def _read_or_none(path: Path) -> Any:
    try:
        return read_json(path)
    except InputError:
        return None
