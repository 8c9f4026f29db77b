"""Where reviews come from: the embedded demo, local files, or a download."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, ValidationInfo

from rec_sys.foundation import settings
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of, write_json
from rec_sys.reviews import demo, reading
from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews
from rec_sys.reviews.download import Patience, fetch_file
from rec_sys.reviews.field_names import AUTO
from rec_sys.reviews.records import require_readable
from rec_sys.reviews.schema import ReviewData
from rec_sys.reviews.tables import cache_folder, load_tables, save_tables


def _checked_path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str | PathLike) or not str(value):
        raise InputError(f"data.{info.field_name}: must be a path, got {value!r}")
    return Path(value).expanduser()


# All other settings of a source decide what reading makes of a file.
_NOT_OF_READING = {"name", "cache_dir", "cleaning"}
FolderPath = Annotated[Path, BeforeValidator(_checked_path)]
FilePath = Annotated[FolderPath | None, BeforeValidator(lambda path: None if path == "" else path)]


@dataclass(frozen=True, kw_only=True)
class ReviewSource(reading.ReviewFile, ABC):
    """A source of reviews, and how they are read and cleaned; see ``config/data``."""

    name: str | None = None
    metadata_format: str = AUTO
    metadata_columns: reading.Columns = field(default_factory=dict)
    max_info_characters: settings.Count = reading.DEFAULT_MAX_INFO_CHARACTERS
    cache_dir: FilePath = None
    cleaning: CleaningOptions | None = None

    expected_reviews = None

    @abstractmethod
    def files(self) -> tuple[Path, Path | None]:
        """Makes sure that the files are there; the reviews, and the products if there are any."""

    def further_files(self) -> Mapping[str, Path]:
        """What `read` needs beside the file of reviews, by setting."""
        return {}

    def load(self) -> ReviewData:
        """Reads and cleans the reviews, or takes the tables of an earlier run. InputError if a file
        cannot be used, or nothing is left after cleaning."""
        reviews_path, metadata_path = self.files()
        files = [path for path in (reviews_path, metadata_path) if path]
        for path in files:
            require_readable(path)  # before minutes are spent on the other one
        further = self.further_files()
        folder, cached = None, None
        if self.cache_dir:
            names = {each.name for each in fields(ReviewSource)} - _NOT_OF_READING
            decides = {
                "has_metadata": metadata_path is not None,
                "reading": {name: getattr(self, name) for name in names},
                "cleaning": asdict(self.cleaning or CleaningOptions()),
                # What another reader made of the same file is not taken.
                "reader": [type(self).__name__, *further],
            }
            folder = cache_folder(self.cache_dir, [*files, *further.values()], decides)
            cached = load_tables(folder)
        if cached:
            note(f"{reviews_path}: read and cleaned before, taken from {folder}")
        data, num_records = cached or self._cleaned(reviews_path, metadata_path)
        if self.expected_reviews is not None and num_records != self.expected_reviews:
            why = f"holds {num_records} reviews, expected {self.expected_reviews}"
            remedy = "delete the file and run again, or set data.expected_reviews=null"
            raise InputError(f"{reviews_path}: {why}; {remedy} if it is the right one")
        if folder and not cached:
            save_tables(folder, data, num_records)
        return data

    def _cleaned(self, reviews_path: Path, metadata_path: Path | None) -> tuple[ReviewData, int]:
        products, steps = None, []
        if metadata_path:
            note(f"reading {metadata_path}")
            products, report = reading.read_products(
                metadata_path,
                format=self.metadata_format,
                max_broken_share=self.max_broken_share,
                max_info_characters=self.max_info_characters,
                notation=reading.Notation(columns=self.metadata_columns, encoding=self.encoding),
            )
            steps = report.as_steps("products")
        note(f"reading {reviews_path}")
        reviews, report = self.read(reviews_path)
        steps += report.as_steps("reviews")
        data = clean_reviews(reviews, products, self.cleaning)
        data.report[:0] = steps
        return data, report.num_records

    def _take_name_of(self, path: Path | None) -> None:
        if self.name is None and path:
            object.__setattr__(self, "name", path.name.partition(".")[0])


@settings.settings_of("data")
class DemoReviews(ReviewSource):
    """The invented shop of `write_demo`, in `rec_sys.reviews.demo`, in a folder to be looked at."""

    folder: FolderPath
    num_users: settings.PositiveCount = 800
    num_products: settings.PositiveCount = 240
    reviews_per_user: settings.PositiveCount = 8
    seed: settings.Count = 0
    _: KW_ONLY
    name: str | None = "demo"
    max_broken_share: settings.Share = 0.0

    def files(self) -> tuple[Path, Path]:
        paths = (self.folder / demo.REVIEWS_FILE, self.folder / demo.PRODUCTS_FILE)
        settings_path = self.folder / "settings.json"
        keys = ("num_users", "num_products", "reviews_per_user", "seed")
        sizes = {key: getattr(self, key) for key in keys}
        # Another program writes another shop, and an edited file is not the demo any more.
        programs = [Path(demo.__file__), *sorted(demo.WORDS_DIR.glob("*.yaml"))]
        about = {**sizes, "programs": {path.name: sha256_of(path) for path in programs}}
        written: Any = {}
        with suppress(InputError):  # damaged, or not there
            written = read_json(settings_path)
        is_ours = isinstance(written, dict) and written.keys() == {*about, "files"}
        # A checkpoint of somebody else may name any folder.
        if not is_ours and any(path.exists() for path in (*paths, settings_path)):
            raise InputError(f"data.folder={self.folder}: holds something else; name another one")
        if written == {**about, "files": [sha256_of(path) for path in paths if path.exists()]}:
            return paths
        write_json(settings_path, {**about, "files": None})  # ours, if this is broken off
        paths = demo.write_demo(self.folder, **sizes)
        write_json(settings_path, {**about, "files": [sha256_of(path) for path in paths]})
        return paths


@settings.settings_of("data")
class LocalReviews(ReviewSource):
    """Files of one's own: reviews, for which see `read_reviews`, and perhaps products."""

    reviews_path: FilePath
    metadata_path: FilePath = None

    def __post_init__(self) -> None:
        self._take_name_of(self.reviews_path)

    def files(self) -> tuple[Path, Path | None]:
        if not self.reviews_path:
            remedy = "name your file of reviews, for instance data.reviews_path=my_reviews.json"
            raise InputError(f"data.reviews_path is missing: {remedy}")
        return self.reviews_path, self.metadata_path


@settings.settings_of("data")
class DownloadedReviews(ReviewSource, Patience):
    """A public data set, fetched once; files that are in the folder already are used. The last part
    of an address is the file's name; what has an id on Google Drive comes from there. Checksum and
    number of the reviews are checked if given."""

    folder: FolderPath
    reviews_url: str | None
    metadata_url: str | None = None
    reviews_drive_id: str | None = None
    metadata_drive_id: str | None = None
    reviews_sha256: str | None = None
    expected_reviews: settings.Count | None = None
    _: KW_ONLY
    name: str | None = "download"

    def files(self) -> tuple[Path, Path | None]:
        if not self.reviews_url:
            raise InputError("data.reviews_url is missing: name the address of the reviews")
        reviews = self._fetched(self.reviews_url, self.reviews_drive_id)
        if self.reviews_sha256 and (found := sha256_of(reviews)) != self.reviews_sha256:
            raise InputError(
                f"{reviews}: its checksum is {found}, not {self.reviews_sha256}, so it is another"
                " version of the data set or damaged; delete it to fetch it again, or take it as"
                " it is with data.reviews_sha256=null"
            )
        if not self.metadata_url:
            return reviews, None
        return reviews, self._fetched(self.metadata_url, self.metadata_drive_id)

    def _fetched(self, url: str, drive_id: str | None) -> Path:
        if not (name := PurePosixPath(unquote(urlsplit(url).path)).name):
            raise InputError(f"{url}: names no file; give the address of the file itself")
        return fetch_file(self.folder / name, url, drive_id, self)
