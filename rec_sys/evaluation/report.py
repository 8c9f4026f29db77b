"""Builds a leaderboard, its tables and pictures, from everything that was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rec_sys.evaluation import leaderboard, scores
from rec_sys.evaluation.audit import Finding
from rec_sys.evaluation.jobs import Job, Kind, Measuring, Record
from rec_sys.evaluation.leaderboard import GRAPH_MODEL_NAME, Cell, Column, Table
from rec_sys.evaluation.protocol import Stage, tied_last_share
from rec_sys.evaluation.rating_baselines import Bias
from rec_sys.evaluation.scores import Bootstrap, RankingResult, RatingScores, Slicing
from rec_sys.graph.review_graph import PreparedReviews
from rec_sys.modules.baselines import popularity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The baseline that every paper has.
PLAIN_EASE = "plain EASE"
_SPREAD = "sd_over_seeds"
#: A model's results, one for each seed.
Runs: TypeAlias = Sequence[tuple[Stage, RankingResult]]
RatingRuns: TypeAlias = Sequence[tuple[Stage, RatingScores]]
_COMPARED: Sequence[Kind] = ("ranking", "wishes", "rating", "graph model")
_ABLATED: Sequence[Kind] = ("graph model", "ablation")
_RATING_COLUMNS = (
    Column("mse", "MSE", "lower"),
    Column("mae", "MAE", "lower"),
    Column("auc", "AUC"),
    Column("macro_f1_tuned", "macro-F1, threshold from validation"),
    Column("macro_f1", "macro-F1"),
    Column("f1", "F1"),
    Column("accuracy", "accuracy"),
)


@dataclass(frozen=True)
class _Test:
    """A test of rankings and the runs of each model that is compared."""

    title: str
    masked: bool
    models: Mapping[str, Runs]

    @property
    def heading(self) -> str:
        return f"Ranking, {self.title}" + ("" if self.masked else ", history not masked")

    @property
    def stages(self) -> list[Stage]:
        return [stage for stage, _ in next(iter(self.models.values()))]

    def per_user(
        self, model: str, metric: str, groups: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """A metric of each user who has it, averaged over the seeds, float64; all models have the
        same users. `groups`: bool [U] for each seed, to look at some of them."""
        runs = [result for _, result in self.models[model]]
        some = groups or [slice(None)] * len(runs)
        users = [run.users[rows] for run, rows in zip(runs, some, strict=True)]
        values = [run.per_user[metric][rows] for run, rows in zip(runs, some, strict=True)]
        return scores.average_over_seeds(users, values).to_numpy()

    def mean(self, model: str, metric: str) -> float:
        return float(self.per_user(model, metric).mean())


@dataclass(frozen=True)
class Report:
    """Makes tables and pictures of all finished jobs, by split, seed and model in this order."""

    records: Sequence[Record]
    measuring: Measuring
    bootstrap: Bootstrap
    slicing: Slicing

    def main_tables(self) -> Iterator[Table]:
        """What one wants to see first."""
        for test in self._tests():
            yield self._ranking_table(test)
            yield from self._comparison_table(test)
            yield from self._ablation_table(test)
        for title in self._titles:
            yield from self._unseen_table(title)
            yield from self._known_table(title)

    def more_tables(self) -> Iterator[Table]:
        for test in self._tests():
            yield self._lengths_table(test)
            yield self._history_table(test)
            yield self._target_table(test)
        yield self._settings_table()

    def pictures(self, main: Sequence[Table]) -> dict[str, "Figure"]:
        """File name to figure: NDCG, recall over k, NDCG over the length of the history."""
        found: dict[str, Figure] = {}
        tables = {table.title: table for table in main}
        for test in self._tests():
            if test.title in test.stages[0].wishes:
                continue
            name = test.heading.lower().replace(",", "").replace(" ", "_")
            column, ks = Column(self._metric, _heading(self._metric)), self.measuring.ks
            table, confidence = tables[test.heading], self.bootstrap.confidence
            found[f"{name}_ndcg.png"] = leaderboard.draw_metric(table, column, confidence)
            lines = {m: [test.mean(m, f"recall@{k}") for k in ks] for m in test.models}
            over_k = leaderboard.draw_over_k(test.heading, "recall@k", ks, lines)
            sizes, lines = self._by_history(test)
            by_history = leaderboard.draw_over_groups(test.heading, column.heading, sizes, lines)
            found |= {f"{name}_recall_over_k.png": over_k, f"{name}_history.png": by_history}
        return found

    def findings(self) -> list[Finding]:
        return [
            finding.about(r.stage.split.name.replace("_", " "))
            for r in self.records
            for finding in r.measured.findings
        ]

    def seconds(self) -> dict[str, float]:
        """What each job took when it was run, those that several seeds share once."""
        first = {r.key: r for r in reversed(self.records)}
        return {
            f"{r.stage.split.name}, seed {r.stage.seed}, {r.measured.model}": r.measured.seconds
            for r in self.records
            if first[r.key] is r
        }

    @property
    def _metric(self) -> str:
        return f"ndcg@{self.measuring.k}"

    def _tests(self) -> Iterator[_Test]:
        for title in self._titles:
            for masked in self.measuring.mask_history:
                if models := self._runs(_COMPARED, "ranking", (title, masked)):
                    yield _Test(title, masked, models)

    @property
    def _titles(self) -> list[str]:
        titles = (title for r in self.records for title in (*r.stage.tests, *r.stage.wishes))
        return list(dict.fromkeys(titles))

    def _runs(self, kinds: Sequence[Kind], what: str, key: Any) -> dict[str, Any]:
        """Model to its runs; `what` and `key` name a result of `Measured`."""
        found: dict[str, list] = {}
        for r in self.records:
            results = getattr(r.measured, what)
            if r.job.kind in kinds and key in results:
                found.setdefault(r.measured.model, []).append((r.stage, results[key]))
        return found

    def _ranking_table(self, test: _Test) -> Table:
        k, main = self.measuring.k, self._metric
        main_liked, more = f"ndcg_liked@{k}", [f"recall@{k}", f"hr@{k}", "mrr"]
        rows = self._intervals(test, [main, *more])
        of_liked = self._intervals(test, [main_liked])
        liked = np.concatenate([run.liked for _, run in next(iter(test.models.values()))])
        for name, runs in test.models.items():
            rows[name] |= of_liked[name]
            if len(runs) > 1:
                means = [result.per_user[main].mean() for _, result in runs]
                rows[name][_SPREAD] = float(np.std(means, ddof=1))
            shown = [scores.beyond_accuracy(r.exposure[k], popularity(s.known)) for s, r in runs]
            rows[name] |= {key: float(np.mean([each[key] for each in shown])) for key in shown[0]}
            if not liked.all():
                rows[name]["disliked"] = float(np.mean([run.disliked(k) for _, run in runs]))
        columns = [
            *(Column(metric, _heading(metric)) for metric in (main, main_liked)),
            Column("disliked", f"disliked in top {k}", "lower", 1),
            *(Column(metric, _heading(metric)) for metric in more),
            Column(_SPREAD, f"{_heading(main)}, sd over seeds", None),
            Column("coverage", f"coverage@{k}"),
            Column("gini", "Gini", None, 3),
            Column("mean_popularity", "mean popularity", None, 1),
        ]
        users = sorted({len(run.users) for _, run in next(iter(test.models.values()))})
        tied = tied_last_share(test.stages[0].graph)
        note = (
            f"{' to '.join(map(str, dict.fromkeys([users[0], users[-1]])))} people with a target,"
            f" seeds {', '.join(str(stage.seed) for stage in test.stages)}, all"
            f" {test.stages[0].graph.num_products} products ranked, equal scores counted by"
            " expectation. The settings of every model, ours included, were chosen on the"
            " validation; then baselines, and our statistics, learned from training and validation,"
            " our network's weights from the training alone. Liked were targets with more than"
            f" {self.measuring.liked_above:g} stars, or none given: {liked.mean():.0%}."
            f" {tied:.0%} of the people with two reviews or more have their last two at the same"
            " moment; each seed draws a new order among such reviews, the same for all models."
        )
        return Table(test.heading, columns, rows, note)

    def _lengths_table(self, test: _Test) -> Table:
        metrics = [f"{kind}@{k}" for kind in ("recall", "hr", "ndcg") for k in self.measuring.ks]
        columns = [Column(metric, _heading(metric)) for metric in metrics]
        return Table(f"{test.heading}: all list lengths", columns, self._intervals(test, metrics))

    def _intervals(self, test: _Test, metrics: Sequence[str]) -> dict[str, dict[str, Cell]]:
        """Metrics that the same users have; empty rows if nobody has them."""
        pairs = [(name, metric) for name in test.models for metric in metrics]
        values = np.stack([test.per_user(name, metric) for name, metric in pairs], axis=1)
        means = iter(self.bootstrap.means(values)) if len(values) else iter(())
        return {name: dict(zip(metrics, means, strict=False)) for name in test.models}

    def _comparison_table(self, test: _Test) -> Iterator[Table]:
        baselines = {name: test.mean(name, self._metric) for name in test.models}
        if baselines.pop(GRAPH_MODEL_NAME, None) is None or not baselines:
            return
        ours = test.per_user(GRAPH_MODEL_NAME, self._metric)
        if len(ours) < 2:
            return
        best = max(baselines, key=baselines.__getitem__)
        rows = {}
        for name in dict.fromkeys([best, *(n for n in (PLAIN_EASE,) if n in baselines)]):
            found = self.bootstrap.compare(ours, test.per_user(name, self._metric))
            label = f"ours against {name}" + (", the best baseline" if name == best else "")
            rows[label] = {**found, "people": len(ours)}
        people = Column("people", "people", None)
        columns = [*_versus(f"{_heading(self._metric)}, difference"), people]
        note = "Paired bootstrap over people, each the mean of its seeds."
        note += " The best baseline is chosen by the test itself, which favours it."
        yield Table(f"{test.heading}: is it better?", columns, rows, note)

    def _ablation_table(self, test: _Test) -> Iterator[Table]:
        """Each ablation beside the whole model, trained again with the same seeds."""
        models = self._runs(_ABLATED, "ranking", (test.title, test.masked))
        if len(models) < 2:
            return
        ablated, rating = replace(test, models=models), self._runs(_ABLATED, "rating", test.title)
        whole = ablated.per_user(GRAPH_MODEL_NAME, self._metric)
        rows: dict[str, dict[str, Cell]] = {}
        for name in ablated.models:
            values = ablated.per_user(name, self._metric)
            cells = rows[name] = {self._metric: float(values.mean())}
            if name in rating:
                cells["mse"] = float(np.mean([run.metrics["mse"] for _, run in rating[name]]))
            if name != GRAPH_MODEL_NAME and len(values) > 1:
                cells |= self.bootstrap.compare(values, whole)
        columns = [
            Column(self._metric, _heading(self._metric)),
            *_versus("against the whole model"),
            *([Column("mse", "MSE of the stars", "lower")] if rating else []),
        ]
        note = "Below 0: what was taken away was of use. Paired bootstrap over people."
        yield Table(f"{test.heading}: ablations", columns, rows, note)

    def _history_table(self, test: _Test) -> Table:
        sizes, values = self._by_history(test)
        columns = [Column(name, f"{name} reviews (n = {size})") for name, size in sizes.items()]
        rows = {name: dict(zip(sizes, found, strict=True)) for name, found in values.items()}
        title = f"{test.heading}: {_heading(self._metric)} by length of history"
        return Table(title, columns, rows)

    def _by_history(self, test: _Test) -> tuple[dict[str, int], dict[str, list[float]]]:
        """Group to the number of users, without empty groups, and model to a value for each."""
        histories = [stage.test(test.title).histories for stage in test.stages]
        groups = [scores.by_history_length(each, self.slicing.history_starts) for each in histories]
        sizes: dict[str, int] = {}
        values: dict[str, list[float]] = {name: [] for name in test.models}
        for group in groups[0]:
            for name in test.models:
                means = test.per_user(name, self._metric, [of[group] for of in groups])
                if len(means):
                    sizes[group] = len(means)
                    values[name].append(float(means.mean()))
        return sizes, values

    def _target_table(self, test: _Test) -> Table:
        of_seeds = [self.slicing.targets(stage, test.title) for stage in test.stages]
        groups = {name: np.concatenate([of[name] for of in of_seeds]) for name in of_seeds[0]}
        groups = {name: of for name, of in groups.items() if of.any()}
        rows: dict[str, dict[str, Cell]] = {}
        for name, runs in test.models.items():
            values = np.concatenate([run.per_target[self._metric] for _, run in runs])
            rows[name] = {group: float(values[of].mean()) for group, of in groups.items()}
        columns = [Column(group, f"{group} (n = {of.sum()})") for group, of in groups.items()]
        note = "Of single targets, those of all seeds together. Head: the products with"
        note += f" {self.slicing.head_share:.0%} of the known reviews. Twins: products with"
        note += f" nearly the same reviewers (Jaccard {self.slicing.twin_jaccard:g} or more), told"
        note += " from all reviews."
        title = f"{test.heading}: {_heading(self._metric)} by kind of target"
        return Table(title, columns, rows, note)

    def _unseen_table(self, title: str) -> Iterator[Table]:
        if not (models := self._runs(_COMPARED, "rating", title)):
            return
        rows = _rating_rows(models)
        for name in rows.keys() - {Bias.name} if Bias.name in models else ():
            pair = _squared_errors(models[name], models[Bias.name])
            if len(pair[0]) > 1:
                rows[name] |= self.bootstrap.compare(*pair)
        columns = [*_RATING_COLUMNS, *_versus(f"MSE against {Bias.name}")]
        note = "Means over the seeds. Differences and ratios of the MSE by paired bootstrap over"
        note += f" people (below 0 and below 1: better than {Bias.name})."
        yield Table(f"Rating, review unseen, {title}", columns, rows, note)

    def _known_table(self, title: str) -> Iterator[Table]:
        if not (models := self._runs(["review known"], "rating", title)):
            return
        note = "These models read the review whose stars they tell, so nothing here can be"
        note += " compared with the table above. rec_sys is not among them: it tells what a person"
        note += " will think of a product from everything but the review in question, and has no"
        note += " input for that review."
        yield Table(f"Rating, review known, {title}", _RATING_COLUMNS, _rating_rows(models), note)

    def _settings_table(self) -> Table:
        chosen: dict[str, list[str]] = {}
        for r in self.records:
            if settings := r.measured.settings:
                text = ", ".join(f"{name}={value}" for name, value in settings.items())
                title = f"{r.measured.model}, {r.stage.split.name}"
                chosen.setdefault(title, []).append(f"{r.stage.seed}: {text}")
        rows = {n: {"settings": "; ".join(dict.fromkeys(t))} for n, t in chosen.items()}
        columns = [Column("settings", "seed: settings", None)]
        return Table("Settings that the validation chose", columns, rows)


def _heading(metric: str) -> str:
    kind, _, k = metric.partition("@")
    kind, _, targets = kind.partition("_")
    kind = kind if kind == "recall" else kind.upper()
    return (f"{kind}@{k}" if k else kind) + (f", {targets}" if targets else "")


def _versus(heading: str) -> list[Column]:
    return [Column("difference", heading, None), Column("ratio", "ratio", None, 3)]


def _rating_rows(models: Mapping[str, RatingRuns]) -> dict[str, dict[str, Cell]]:
    keys = [column.key for column in _RATING_COLUMNS]
    return {
        name: {key: float(np.mean([run.metrics[key] for _, run in runs])) for key in keys}
        for name, runs in models.items()
    }


def _squared_errors(model: RatingRuns, baseline: RatingRuns) -> tuple[np.ndarray, ...]:
    """Squared error of each user, summed and scaled so that its mean is the table's MSE: targets of
    a seed weigh alike, and seeds weigh alike."""
    _, user = np.unique(np.concatenate([run.user for _, run in model]), return_inverse=True)
    users, seeds = user.max(initial=-1) + 1, len(model)
    weight = np.concatenate([np.full(len(r.user), users / seeds / len(r.user)) for _, r in model])
    errors = (np.concatenate([run.squared_error for _, run in runs]) for runs in (model, baseline))
    return tuple(np.bincount(user, weights=weight * each) for each in errors)


def not_measured(
    prepared: PreparedReviews, stages: Sequence[Stage], graph_model_jobs: Sequence[Job]
) -> list[str]:
    """What is missing and why, a sentence each."""
    sentences = []
    if without := {stage.split.name for stage in stages if not stage.has_ratings}:
        why = "training, validation or test has none, so there is no table of ratings."
        sentences.append(f"Ratings ({', '.join(sorted(without))}): {why}")
    if not prepared.has_texts:
        sentences.append("Models that read: no review and no product says anything.")
    sentences += dict.fromkeys(
        f"{job.label} ({stage.split.name}): this split needs what the ablation takes away."
        for stage in stages
        for job in graph_model_jobs
        if not job.can_run(stage)
    )
    return sentences
