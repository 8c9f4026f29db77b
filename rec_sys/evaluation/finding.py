"""What one check of the leakage audit found."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Attributes:
        check: What was checked, in a few words.
        passed: Whether the numbers may be trusted as far as this goes.
        detail: What was found, with counts, in one line.
    """

    check: str
    passed: bool
    detail: str

    def about(self, name: str) -> "Finding":
        """The same, telling which model it is about."""
        return replace(self, check=f"{self.check} ({name})")
