"""What Prometheus is told of a sweep: computed when it asks, from the events of the driver so far."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.decisions import Decision
from lossweep.search.study.events import (
    ConfirmationStarted,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind


class SweepFigures(Collector):
    """Follows a sweep and yields its figures; the driver's thread tells, the server's asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sweep: SweepHistory | None = None
        self._confirmation: Confirmation | None = None
        self._trials: dict[int, TrialHistory] = {}
        self._epochs_of: dict[int, float] = {}
        self._evaluations, self._epochs, self._retries = 0, 0.0, 0
        self._scores: tuple[tuple[str, float], ...] | None = None

    def take(self, event: Event) -> None:
        """Take one event in."""
        with self._lock:
            match event:
                case SweepStarted(sweep) | SweepEnded(sweep):
                    self._sweep, self._confirmation = sweep, sweep.confirmation
                    self._trials = {trial.number: _light(trial) for trial in sweep.recorded}
                    self._scores = None
                case ConfirmationStarted(confirmation):
                    self._confirmation = confirmation
                case TrialStarted(trial):
                    self._trials[trial.number] = _light(trial)
                    self._epochs_of[trial.number] = trial.evaluations[-1].epoch if trial.evaluations else 0.0
                case TrialEvaluated(number, evaluation, _):
                    self._evaluations += 1
                    self._epochs += max(0.0, evaluation.epoch - self._epochs_of.get(number, 0.0))
                    self._epochs_of[number] = evaluation.epoch
                case TrialEnded(trial):
                    self._trials[trial.number] = _light(trial)
                    self._epochs_of.pop(trial.number, None)
                    if trial.outcome.is_final:  # one that waits is told again when it has ended
                        self._retries += sum(each.action is Decision.RETRY for each in trial.decisions)
                    self._scores = None

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; see `prometheus_client`."""
        with self._lock:
            if self._sweep is None:
                return
            yield from self._of(self._sweep.holding(self._trials.values(), self._confirmation))

    def _of(self, sweep: SweepHistory) -> Iterator[Metric]:
        name = (sweep.name,)
        info = GaugeMetricFamily(
            "lossweep_sweep", "The sweep that this driver runs.", labels=("sweep", "state", "objective")
        )
        info.add_metric((*name, str(sweep.state), sweep.objective), 1.0)
        yield info
        counts = Counter(trial.outcome for trial in sweep.recorded)
        trials = GaugeMetricFamily("lossweep_trials", "Trials as they stand.", labels=("sweep", "outcome"))
        for kind in OutcomeKind:
            trials.add_metric((*name, kind.value), counts[kind])
        yield trials
        for key, help_, value in (
            ("trials_budget", "Trials that the search may run.", sweep.budget_trials),
            (
                "trials_queued",
                "Trials that nobody trains yet: of the search's budget, and interrupted ones.",
                sweep.left + counts[OutcomeKind.INTERRUPTED],
            ),
        ):
            gauge = GaugeMetricFamily(f"lossweep_{key}", help_, labels=("sweep",))
            gauge.add_metric(name, value)
            yield gauge
        for key, help_, total in (
            ("evaluations", "Evaluations recorded by this driver.", self._evaluations),
            ("epochs", "Epochs trained under this driver.", self._epochs),
            ("retries", "Attempts that were taken up again, of trials that ended.", self._retries),
        ):
            counter = CounterMetricFamily(f"lossweep_{key}", help_, labels=("sweep",))
            counter.add_metric(name, total)
            yield counter
        scores = GaugeMetricFamily(
            "lossweep_score",
            "The best completed trial's score, and that of the control which it has to beat.",
            labels=("sweep", "metric", "of"),
        )
        if self._scores is None:
            found = {"best": sweep.winner(), "control": sweep.control()}
            scored = {of: trial.score for of, trial in found.items() if trial is not None}
            self._scores = tuple((of, score) for of, score in scored.items() if score is not None)
        for of, score in self._scores:
            scores.add_metric((*name, sweep.metric, of), score)
        yield scores


def _light(trial: TrialHistory) -> TrialHistory:
    """A trial without its course: of thousands that would be much to keep."""
    return replace(trial, evaluations=(), decisions=())


class GpuFigures(Collector):
    """How busy the GPUs of the driver's machine are, where NVIDIA's library tells."""

    def collect(self) -> Iterator[Metric]:
        """Yield a figure for each GPU; none without GPUs or without the package nvidia-ml-py."""
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:
            return
        used = GaugeMetricFamily(
            "lossweep_gpu_utilization_ratio", "Share of time computing.", labels=("gpu",)
        )
        memory = GaugeMetricFamily("lossweep_gpu_memory_used_bytes", "Memory in use.", labels=("gpu",))
        try:
            for index in range(pynvml.nvmlDeviceGetCount()):
                gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
                used.add_metric((str(index),), pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100.0)
                memory.add_metric((str(index),), pynvml.nvmlDeviceGetMemoryInfo(gpu).used)
        except pynvml.NVMLError:  # one that does not tell, or has fallen off the bus
            return
        finally:
            pynvml.nvmlShutdown()
        yield from (used, memory)
