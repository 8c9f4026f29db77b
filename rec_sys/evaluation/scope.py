"""What an evaluation could not measure, and what a reader must know about all of it."""

from collections.abc import Sequence

from rec_sys.evaluation.jobs import Job
from rec_sys.evaluation.stage import Stage
from rec_sys.evaluation.tie_order import tied_last_share
from rec_sys.graph.prepare import PreparedReviews
from rec_sys.graph.review_graph import ReviewGraph


def not_measured(
    prepared: PreparedReviews, stages: Sequence[Stage], our_jobs: Sequence[Job]
) -> list[str]:
    """What is missing and why, a sentence each.

    Args:
        prepared: The data set.
        stages: All stages.
        our_jobs: Our models, of which some may not fit every split.
    """
    sentences = []
    without = {stage.split.name for stage in stages if not stage.has_ratings}
    if without:
        sentences.append(
            f"Ratings ({', '.join(sorted(without))}): training, validation or test has none, so"
            " there is no table of ratings."
        )
    if not prepared.has_texts:
        sentences.append("Models that read: no review and no product says anything.")
    sentences += dict.fromkeys(
        f"{job.label} ({stage.split.name}): this split needs what the ablation takes away."
        for stage in stages
        for job in our_jobs
        if not job.can_run(stage)
    )
    return sentences


def about_ties(graph: ReviewGraph) -> str:
    """How the order of simultaneous reviews was chosen, in one sentence."""
    return (
        f"{tied_last_share(graph):.0%} of the people with two reviews or more have their"
        " last two at the same moment; each seed draws a new order among such reviews, the same"
        " for all models."
    )
