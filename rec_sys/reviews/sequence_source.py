"""Sequences of products as a source of reviews that tell only who had what, in which order."""

from functools import partial
from pathlib import Path

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.fields import AUTO
from rec_sys.reviews.load import Cleaning, ReadingOptions, ReviewReader, ReviewSource, as_path
from rec_sys.reviews.metadata import DEFAULT_MAX_INFO_CHARACTERS
from rec_sys.reviews.sequences import (
    FORMAT_NAME,
    PRODUCT_IDS_SUFFIX,
    USER_IDS_SUFFIX,
    ids_beside,
    read_sequences,
)
from rec_sys.reviews.tables import DEFAULT_MAX_BROKEN_SHARE


class LocalSequences(ReviewSource):
    """Files of sequences, as papers on generative recommendation publish them.

    Of a product that a user has several times the last place stays, as of several reviews the
    newest does.

    Args:
        sequences_path: File of sequences; see `read_sequences`.
        user_ids_path: File of the users' ids; None takes NAME.user2id or NAME.user2id.gz beside
            NAME.inter.json if there is one.
        product_ids_path: The same for the products, NAME.item2id.
        metadata_path: File of products, by their ids, if there is one.
        metadata_format: See `ReadingOptions`.
        max_broken_share: See `ReadingOptions`; of the metadata, sequences must be whole.
        max_info_characters: See `ReadingOptions`.
        cache_dir: Folder that keeps the cleaned tables; None to keep nothing.
        cleaning: See `CleaningOptions`.
        name: A label; by default the name of the file of sequences.
    """

    def __init__(
        self,
        sequences_path: str | Path | None,
        user_ids_path: str | Path | None = None,
        product_ids_path: str | Path | None = None,
        metadata_path: str | Path | None = None,
        metadata_format: str = AUTO,
        max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
        max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
        cache_dir: str | Path | None = None,
        cleaning: Cleaning = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            name=name or Path(str(sequences_path or FORMAT_NAME)).name.partition(".")[0],
            description=f"sequences in {sequences_path or 'no file'}, "
            f"products in {metadata_path or 'no file'}",
            cache_dir=cache_dir,
            cleaning=cleaning,
            reading=ReadingOptions(
                metadata_format=metadata_format,
                max_broken_share=max_broken_share,
                max_info_characters=max_info_characters,
            ),
        )
        self.sequences_path = sequences_path
        self.user_ids_path = user_ids_path
        self.product_ids_path = product_ids_path
        self.metadata_path = metadata_path

    def files(self) -> tuple[str | Path, str | Path | None]:
        """The files as they were named."""
        if not self.sequences_path:
            raise InputError(
                "data.sequences_path is missing: name your file of sequences, for instance "
                "data.sequences_path=Instruments.inter.json.gz"
            )
        return self.sequences_path, self.metadata_path or None

    def reader(self) -> ReviewReader:
        """Reads the sequences, and the ids behind their numbers if there are files of them."""
        sequences_path = as_path(self.sequences_path, "sequences_path")
        wanted = {
            "user_ids_path": (self.user_ids_path, USER_IDS_SUFFIX),
            "product_ids_path": (self.product_ids_path, PRODUCT_IDS_SUFFIX),
        }
        files: dict[str, Path] = {}
        for key, (given, suffix) in wanted.items():
            path = as_path(given, key) if given else ids_beside(sequences_path, suffix)
            if path and not path.is_file():
                raise InputError(f"data.{key}: {path}: no such file")
            if path:
                files[key] = path
        return ReviewReader(FORMAT_NAME, partial(read_sequences, **files), files)
