"""Which program made a result: a kept one must not outlive a change of what computed it."""

import functools
import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_MEASURING = (
    *("evaluation/measure.py", "evaluation/stage.py", "evaluation/tie_order.py"),
    *("evaluation/interface.py", "evaluation/ranking_metrics.py", "evaluation/expected_gains.py"),
    *("evaluation/top_lists.py", "evaluation/rating_scores.py", "evaluation/measured.py"),
    *("evaluation/audit_probes.py", "modules/rating_metrics.py", "graph/splits"),
)
_PARTS = {
    "baselines": (
        *("evaluation/baselines", "evaluation/rating_baselines", "evaluation/tuning.py"),
        *("evaluation/rating_tuning.py", "graph/item_weights.py", "graph/rating_bias.py"),
        *_MEASURING,
    ),
    "ours": (
        *("evaluation/our_model.py", "evaluation/our_job.py", "evaluation/our_audit.py"),
        *("evaluation/ablations.py", "graph", "modules", "train"),
        *_MEASURING,
    ),
}


@functools.cache
def code_fingerprint(part: str) -> str:
    """SHA-256 of the source files that a result depends on.

    Args:
        part: ``baselines`` or ``ours``.
    """
    digest = hashlib.sha256()
    for name in _PARTS[part]:
        path = _PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(_PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
