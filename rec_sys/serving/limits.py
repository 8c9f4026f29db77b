"""What one request may ask for; anything beyond is refused with the name of the field."""

from collections.abc import Sequence

from omegaconf import DictConfig

from rec_sys.foundation.checks import is_whole
from rec_sys.foundation.errors import InputError
from rec_sys.serving.request_schemas import ReviewIn


class FieldError(ValueError):
    """A field of a request that cannot be accepted.

    Args:
        field: Its dotted name, as in ``reviews.0.TextReview``.
        message: What is wrong with it and what may be.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class Limits:
    """The limits of ``config/serving``.

    Args:
        settings: ``serving.limits``.

    Raises:
        InputError: One of them is not a whole number from 1 up.
    """

    def __init__(self, settings: DictConfig) -> None:
        for name, value in settings.items():
            if not is_whole(value, least=1):
                raise InputError(f"serving.limits.{name}={value}: must be a whole number from 1 up")
        self.body_bytes: int = settings.body_bytes
        self.text_characters: int = settings.text_characters
        self.reviews: int = settings.reviews
        self.people: int = settings.people
        self.k: int = settings.k
        self.exclude: int = settings.exclude
        self.requests_at_once: int = settings.requests_at_once
        self.threads: int = settings.threads

    def check_k(self, k: int) -> None:
        """Refuses to recommend too many products.

        Raises:
            FieldError: `k` is too large.
        """
        if k > self.k:
            raise FieldError("k", f"{k} products are too many; ask for {self.k} at most")

    def check_excluded(self, exclude: Sequence[str]) -> None:
        """Refuses too long a list.

        Raises:
            FieldError: There are too many.
        """
        if len(exclude) > self.exclude:
            raise FieldError(
                "exclude", f"{len(exclude)} are too many; exclude {self.exclude} at most"
            )

    def check_people(self, people: int) -> None:
        """Refuses too many people.

        Raises:
            FieldError: There are too many.
        """
        if people > self.people:
            raise FieldError("people", f"{people} are too many; ask for {self.people} at most")

    def check_reviews(self, reviews: Sequence[ReviewIn], field: str = "reviews") -> None:
        """Refuses too many reviews and too long texts.

        Args:
            reviews: Of one person.
            field: Where they stand in the request.

        Raises:
            FieldError: There are too many, or one is too long.
        """
        if len(reviews) > self.reviews:
            raise FieldError(field, f"{len(reviews)} are too many; send {self.reviews} at most")
        for number, review in enumerate(reviews):
            length = len(review.text or "")
            if length > self.text_characters:
                raise FieldError(
                    f"{field}.{number}.TextReview",
                    f"{length} characters are too many; send {self.text_characters} at most",
                )
