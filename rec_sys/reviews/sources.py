"""Where reviews come from: the embedded demo, local files, or a download. All become files."""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of, write_json
from rec_sys.reviews import demo
from rec_sys.reviews.download import Patience, fetch_file
from rec_sys.reviews.fields import AUTO
from rec_sys.reviews.load import Cleaning, ReadingOptions, ReviewSource, as_path
from rec_sys.reviews.metadata import DEFAULT_MAX_INFO_CHARACTERS
from rec_sys.reviews.tables import DEFAULT_MAX_BROKEN_SHARE

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
