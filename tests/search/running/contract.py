"""What every runner must do. A test class inherits `RunnerContract` and gives a fixture ``runner``."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from lossweep.search.pruning import PruningSpec
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.runner import Runner
from lossweep.search.running.stopping import StopRequest
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.study.faults import AlikeFailures, SweepFailed
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import DIVERGED
from tests.search.sweeps import EPOCHS, Scripted, conductor, evaluation, schedule

CONTROLS = {"ce": schedule("cross_entropy"), "jaccard": schedule("jaccard")}


class StopAfter:
    """A listener that wants the sweep stopped after so many evaluations."""

    def __init__(self, evaluations: int) -> None:
        self.stop = StopRequest()
        self._left = evaluations

    def handle(self, event: Event) -> None:
        self._left -= isinstance(event, TrialEvaluated)
        if self._left == 0:
            self.stop.set("a test wants it")

    def close(self) -> None:
        pass


class RunnerContract:
    """Sweeps of a few simulated trials, real as far as the conductor and the study can see."""

    @pytest.fixture
    def runner(self) -> Runner:
        raise NotImplementedError

    @pytest.mark.parametrize("pause", [True, False])
    def test_every_end_is_told_as_it_was(self, runner: Runner, pause: bool) -> None:
        study = optuna.create_study(direction="maximize")
        rungs = PruningSpec(min_peers=2, audit=0.0, pause=pause)
        boss = conductor(8, study=study, pruning=rungs, controls=CONTROLS)
        trainer = SimulatedTrainer(planted={0: "memory", 3: "exception", 4: "diverge"})
        dispatcher = Dispatcher(boss)
        runner.run(dispatcher, trainer)
        boss.shut_down()

        trials = [boss.history(number) for number in range(8)]
        outcomes = {trial.number: trial.outcome for trial in trials}
        assert outcomes[0] is outcomes[1] is OutcomeKind.COMPLETED
        assert outcomes[3] is OutcomeKind.FAILED
        assert "simulated exception" in trials[3].traceback
        assert outcomes[4] is OutcomeKind.DIVERGED
        assert "retry" in {decision.action for decision in trials[0].decisions}
        assert OutcomeKind.PRUNED in outcomes.values()
        assert not {TrialState.RUNNING, TrialState.WAITING} & {trial.state for trial in study.get_trials()}
        assert dispatcher.running == 0
        for trial in trials:
            epochs = [evaluation.epoch for evaluation in trial.evaluations]
            assert epochs == list(range(1, len(epochs) + 1))
            assert (epochs[-1:] == [EPOCHS]) == (trial.outcome is OutcomeKind.COMPLETED)
            stops = [d.step for d in trial.decisions if d.action in ("prune", "diverge")]
            assert stops in ([], [trial.evaluations[-1].step if trial.evaluations else 0])
            waits = {d.action for d in trial.decisions} & {"pause", "thaw"}
            assert not waits or pause

    def test_a_paused_trial_goes_on_where_it_stood(self, runner: Runner) -> None:
        study = optuna.create_study(direction="maximize")
        rungs = PruningSpec(rungs=(0.25,), min_peers=1, audit=0.0, pause=True)
        # Each is worse than all before it, so that most of the better half are paused when they come, whatever
        # runs beside them.
        levels = [0.9 - 0.05 * number for number in range(12)]
        epochs = range(1, EPOCHS + 1)
        trainer = Scripted({n: [evaluation(e, level) for e in epochs] for n, level in enumerate(levels)})
        given = tuple(schedule("cross_entropy", rate=1e-3 * (n + 1)) for n in range(12))
        boss = conductor(12, study=study, pruning=rungs, search={"warm_start": given})
        runner.run(Dispatcher(boss), trainer)
        boss.shut_down()

        assert boss.finished
        states = [trial.state for trial in study.get_trials()]
        assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
        thawed = [n for n in range(12) if "thaw" in {d.action for d in boss.history(n).decisions}]
        assert thawed
        for number in thawed:
            history = boss.history(number)
            assert [each.epoch for each in history.evaluations] == list(range(1, EPOCHS + 1))
            assert history.outcome is OutcomeKind.COMPLETED
        pruned = [n for n in range(12) if states[n] is TrialState.PRUNED]
        assert 4 <= len(pruned) <= 6
        assert all("paused to the end" in boss.history(n).reason for n in pruned)

    def test_a_proposal_rejected_before_training_costs_no_trial(self, runner: Runner) -> None:
        study = optuna.create_study(direction="maximize")
        boss = conductor(4, study=study, controls={"ce": schedule("cross_entropy")})
        runner.run(Dispatcher(boss), SimulatedTrainer(planted={1: "reject", 2: "reject"}))
        boss.shut_down()
        trials = [boss.history(number) for number in range(len(study.get_trials()))]
        assert [trial.rejected for trial in trials] == [False, True, True, False, False, False]
        for rejected in trials[1:3]:
            assert rejected.outcome is OutcomeKind.DIVERGED
            assert rejected.reason.startswith("rejected: the loss has no gradient before any training")
            assert [one.epoch for one in rejected.evaluations] == [0]
        ended = [trial.outcome for trial in trials if not trial.rejected]
        assert ended == [OutcomeKind.COMPLETED] * 4
        state = study.get_trials()[1]
        assert (state.state, state.value, state.constraints[DIVERGED]) == (TrialState.PRUNED, None, 2.0)

    def test_a_stopped_sweep_goes_on_to_the_same_end(self, runner: Runner) -> None:
        whole = conductor(4)
        runner.run(Dispatcher(whole), SimulatedTrainer())
        study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
        listener = StopAfter(6)
        first = conductor(4, study=study, journal=journal, listeners=[listener])
        dispatcher = Dispatcher(first, stop=listener.stop)
        runner.run(dispatcher, SimulatedTrainer())
        dispatcher.interrupt_all("a test wants it")
        states = [trial.state for trial in study.get_trials()]
        assert TrialState.RUNNING not in states
        assert TrialState.WAITING in states

        again = conductor(4, study=study, journal=journal)
        runner.run(Dispatcher(again), SimulatedTrainer())
        assert again.finished
        for number in range(4):
            resumed, uninterrupted = again.history(number), whole.history(number)
            assert resumed.evaluations == uninterrupted.evaluations
            assert resumed.schedule == uninterrupted.schedule
            assert resumed.outcome is OutcomeKind.COMPLETED

    def test_when_the_first_trials_all_fail_alike_the_sweep_ends(self, runner: Runner) -> None:
        boss = conductor(20)
        with pytest.raises(SweepFailed, match="failed alike") as raised:
            runner.run(Dispatcher(boss, alike=AlikeFailures(3)), SimulatedTrainer(exceptions=1.0))
        assert "Traceback" in raised.value.traceback
        failed = [n for n, kind in boss._roll.kinds.items() if kind is OutcomeKind.FAILED]
        assert len(failed) == 3
