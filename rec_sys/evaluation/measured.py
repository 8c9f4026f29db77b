"""What one model of the evaluation achieved on one stage, and how that is kept in a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.ranking_metrics import RankingResult
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.foundation.files import replacing

_NO_LISTS = np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class Measured:
    """A model on a stage. Users are numbered as in the graph.

    Attributes:
        model: Its row.
        ranking: (title of the test, whether the history was masked) to the result; without lists.
        rating: Title of the test to the result.
        settings: What the validation chose.
        findings: What the audit said of the model.
        seconds: What fitting and asking took.
    """

    model: str
    ranking: Mapping[tuple[str, bool], RankingResult] = field(default_factory=dict)
    rating: Mapping[str, RatingScores] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    seconds: float = 0.0


def save_measured(path: Path, measured: Measured) -> None:
    """Writes one ``.npz``, whole or not at all, without pickle."""
    arrays: dict[str, np.ndarray] = {}
    about = {
        "model": measured.model,
        "settings": dict(measured.settings),
        "findings": [[f.check, f.passed, f.detail] for f in measured.findings],
        "seconds": measured.seconds,
        "ranking": [],
        "rating": [],
    }
    for number, ((title, masked), result) in enumerate(measured.ranking.items()):
        about["ranking"].append([title, masked])
        start = f"ranking/{number}"
        arrays[f"{start}/users"] = result.users
        arrays |= {f"{start}/per_user/{name}": v for name, v in result.per_user.items()}
        arrays |= {f"{start}/per_target/{name}": v for name, v in result.per_target.items()}
        arrays |= {f"{start}/exposure/{k}": values for k, values in result.exposure.items()}
    for number, (title, scores) in enumerate(measured.rating.items()):
        about["rating"].append([title, scores.metrics, scores.threshold])
        arrays[f"rating/{number}/user"] = scores.user
        arrays[f"rating/{number}/squared_error"] = scores.squared_error
    arrays["about"] = np.array(json.dumps(about))
    with replacing(path) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_measured(path: Path) -> Measured:
    """Reads what `save_measured` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))

    def below(start: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}

    ranking = {}
    for number, (title, masked) in enumerate(about["ranking"]):
        start = f"ranking/{number}/"
        ranking[title, masked] = RankingResult(
            users=arrays[f"{start}users"],
            per_user=below(f"{start}per_user/"),
            per_target=below(f"{start}per_target/"),
            top=_NO_LISTS,
            exposure={int(k): v for k, v in below(f"{start}exposure/").items()},
        )
    rating = {
        title: RatingScores(
            metrics,
            threshold,
            arrays[f"rating/{number}/user"],
            arrays[f"rating/{number}/squared_error"],
        )
        for number, (title, metrics, threshold) in enumerate(about["rating"])
    }
    return Measured(
        about["model"],
        ranking,
        rating,
        about["settings"],
        [Finding(*finding) for finding in about["findings"]],
        about["seconds"],
    )
