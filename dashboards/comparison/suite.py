"""Several data sets searched alike: the verdict of each, and which losses do well on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lossweep.dashboards.numbers import MISSING, number, signed
from lossweep.dashboards.result import SweepResult, metric_words, sweep_result
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import ranked
from lossweep.spaces.losses.terms import family
from lossweep.spaces.schedules.schedule import LossSchedule


@dataclass(frozen=True, slots=True)
class FamilyStanding:
    """How the schedules that train with a loss did on each data set.

    Attributes:
        losses: the loss without its parameters, as `spaces.losses.terms.family` spells it.
        scores: the best completed search score with it, by sweep; without those where it has none.
        ranks: its place among the losses of that sweep, by sweep; equal scores share the mean place, as those
            of one schedule do.
        wins: the sweeps in which the best schedule has it.
    """

    losses: str
    scores: Mapping[str, float]
    ranks: Mapping[str, float]
    wins: tuple[str, ...]

    @property
    def mean_rank(self) -> float:
        """Over the data sets that it has a score on."""
        return fmean(self.ranks.values())


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What a suite has found so far.

    Attributes:
        name: of the suite.
        metric: what is compared on the validation split.
        sweeps: their names, in the order of the file.
        rows: a row a data set: what it is called, its state, who leads, against which control, the verdict.
        families: those with a score on every data set, the best mean rank first; then the others.
        complete: how many of the families have a score on every data set.
        caveats: what to know before believing it.
    """

    name: str
    metric: str
    sweeps: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    families: tuple[FamilyStanding, ...]
    complete: int
    caveats: tuple[str, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """Of the columns of `rows`."""
        return ("data set", "state", "best of the search", "verdict", "difference", "leader", "control")

    @property
    def family_titles(self) -> tuple[str, ...]:
        """Of the columns of `family_rows`."""
        return ("schedules with", "mean rank", *map(self.short, self.sweeps), "best on")

    @property
    def family_rows(self) -> tuple[tuple[str, ...], ...]:
        """A row a family: its mean rank, its best score on each data set, and where it is best."""
        return tuple(
            (
                each.losses,
                f"{each.mean_rank:.1f}" if index < self.complete else MISSING,
                *(number(each.scores.get(sweep)) for sweep in self.sweeps),
                ", ".join(map(self.short, each.wins)),
            )
            for index, each in enumerate(self.families)
        )

    @property
    def figures(self) -> dict[str, object]:
        """Both tables as plain data."""
        return {
            "data_sets": {"titles": self.titles, "rows": self.rows},
            "losses": {"titles": self.family_titles, "rows": self.family_rows},
        }

    def short(self, sweep: str) -> str:
        """A sweep's name without the suite's."""
        return sweep.removeprefix(f"{self.name}.")

    def sentence(self) -> str:
        """Say in a sentence which losses to try first."""
        if not self.complete:
            return "No losses have been tried to their end on every data set yet."
        first = self.families[0]
        where = f"on {len(first.wins)} of {len(self.sweeps)} data sets" if first.wins else "on none of them"
        return (
            f"Of {self.complete} losses that were tried on all {len(self.sweeps)} data sets, schedules with "
            f"{first.losses} have the best mean rank, {first.mean_rank:.1f}; the best schedule has it "
            f"{where}."
        )


def suite_result(name: str, histories: Sequence[SweepHistory]) -> SuiteResult:
    """Put the sweeps of a suite beside each other.

    Args:
        name: of the suite.
        histories: its sweeps so far, of one objective.
    """
    sweeps = tuple(history.name for history in histories)
    best = {history.name: best_by_family(history) for history in histories}
    ranks = {
        history.name: ranks_of(best[history.name], history.direction == "maximize") for history in histories
    }
    named = dict.fromkeys(losses for scores in best.values() for losses in scores)
    standings = [
        FamilyStanding(
            losses=losses,
            scores={sweep: best[sweep][losses] for sweep in sweeps if losses in best[sweep]},
            ranks={sweep: ranks[sweep][losses] for sweep in sweeps if losses in ranks[sweep]},
            wins=tuple(
                sweep
                for sweep in sweeps
                if losses in ranks[sweep] and ranks[sweep][losses] == min(ranks[sweep].values())
            ),
        )
        for losses in named
    ]
    whole = sorted((s for s in standings if len(s.scores) == len(sweeps)), key=_place)
    others = sorted((s for s in standings if len(s.scores) < len(sweeps)), key=_place)
    return SuiteResult(
        name=name,
        metric=histories[0].metric if histories else "",
        sweeps=sweeps,
        rows=tuple(_row(history, sweep_result(history), name) for history in histories),
        families=(*whole, *others),
        complete=len(whole),
        caveats=_caveats(histories),
    )


def families_of(schedule: LossSchedule) -> tuple[str, ...]:
    """The losses that a schedule trains with, without their parameters, each once."""
    return tuple(dict.fromkeys(family(phase.loss) for phase in schedule.phases))


def best_by_family(history: SweepHistory) -> dict[str, float]:
    """The best score with each loss, in whichever phase, of completed trials that meet the constraints."""
    done = [t for t in history.trials if t.outcome is OutcomeKind.COMPLETED and t.feasible]
    found: dict[str, float] = {}
    for trial in ranked(done, (history.direction,)):
        assert trial.score is not None  # ranked ones have one
        for losses in families_of(trial.schedule):
            found.setdefault(losses, trial.score)
    return found


def ranks_of(scores: Mapping[str, float], maximize: bool) -> dict[str, float]:
    """Places from 1 for the best; equal scores share the mean of their places."""
    values = sorted(scores.values(), reverse=maximize)
    return {
        name: fmean(place for place, value in enumerate(values, 1) if value == score)
        for name, score in scores.items()
    }


def _place(standing: FamilyStanding) -> tuple[float, int, str]:
    return standing.mean_rank, -len(standing.wins), standing.losses


def _row(history: SweepHistory, result: SweepResult, suite: str) -> tuple[str, ...]:
    verdict, interval, word = result.verdict, "", "not confirmed"
    difference, leader, control = result.difference, result.winner, result.control_named
    if verdict is not None:
        judged = verdict.headline.judged
        low, high = sorted(verdict.sign * end for end in judged.interval)
        word, difference = str(judged.verdict), verdict.sign * judged.difference.mean
        interval = f" ({signed(low)} to {signed(high)}, {len(judged.difference.values)} seeds)"
        leader = next((t for t in history.trials if t.number == verdict.headline.scores.arm.trial), leader)
    return (
        history.name.removeprefix(f"{suite}."),
        f"{history.state}, {history.progress}",
        number(result.winner.score if result.winner else None),
        word,
        f"{signed(difference)}{interval}",
        f"#{leader.number} {leader.schedule}" if leader is not None else MISSING,
        control or MISSING,
    )


def _caveats(histories: Sequence[SweepHistory]) -> tuple[str, ...]:
    found = []
    if histories:
        words = metric_words(histories[0].metric)
        found.append(
            f"Ranks go by the search's best {words} on validation, one seed each, and a loss that was "
            "proposed more often had more chances; the verdicts alone are of fresh seeds on the test split."
        )
    if unfinished := [history.name for history in histories if history.state != "finished"]:
        found.append(f"Not finished: {', '.join(unfinished)}.")
    if unconfirmed := [history.name for history in histories if sweep_result(history).verdict is None]:
        found.append(f"Not confirmed: {', '.join(unconfirmed)}; lossweep confirm NAME trains fresh seeds.")
    if len({h.budget for h in histories}) > 1:
        found.append("The budgets differ: the best of more trials is better by luck.")
    return tuple(found)
