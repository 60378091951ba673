"""Drives one sweep from its database: takes the lease, runs what is left, and leaves nothing running."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import version

import optuna
import yaml

from search.aim import Aim
from search.conductor import Conductor
from search.events import Listener, SweepEnded, SweepStarted
from search.faults import AlikeFailures, RetryPolicy, SweepFailed
from search.history import SweepHistory
from search.home import Home
from search.ledger import Ledger, NewSweep, SweepRecord
from search.ledger.lease import Lease, LeaseHeld, holder_of
from search.plans import template_of
from search.runners.choice import Runner, runner_for
from search.runners.desk import Desk
from search.stopping import StopRequest
from search.submitted import resume_problems, stored_spec
from search.sweep_spec import SweepSpec
from search.workload import Workload, segmentation
from spaces.class_prior import ClassPrior
from spaces.controls import controls
from spaces.errors import Problem, UserError
from spaces.schedule_space import ScheduleSpace

log = logging.getLogger(__name__)

ALIKE = 3
"""So many first controls, or first proposals, failing alike stop a sweep."""


def create_sweep(ledger: Ledger, spec: SweepSpec, prior: ClassPrior, fingerprint: str = "") -> SweepRecord:
    """Write a new sweep: its row, and its empty study."""
    record = ledger.create(
        NewSweep(
            name=spec.name,
            spec_yaml=_spec_yaml(spec),
            seed=spec.seed,
            objective=str(spec.objective),
            metric=spec.objective.names[0],
            direction=spec.objective.directions[0],
            prior=prior,
            budget_trials=spec.budget.trials,
            budget_epochs=spec.budget.epochs,
            slots=spec.resources.gpus_per_trial or 1.0,
            data_fingerprint=fingerprint,
            code_version=version("lossweep"),
        )
    )
    _study(ledger, spec)
    return record


def run_sweep(
    spec: SweepSpec,
    home: Home,
    listeners: Iterable[Listener] = (),
    *,
    resume: bool = False,
    on_signal: bool = True,
    stop: StopRequest | None = None,
    cluster: str | None = None,
    workload: Workload | None = None,
    runner: Runner | None = None,
) -> SweepHistory:
    """Run a sweep, or what is left of it, to its end or until it is stopped.

    Args:
        spec: what to run.
        home: where its database, data cache, checkpoints and logs lie.
        listeners: told of everything, in order.
        resume: go on with the sweep of this name; it must exist, and must not without.
        on_signal: handle Ctrl-C and SIGTERM: once, running evaluations are finished; twice, it stops now.
        stop: a wish to stop that the caller keeps an eye on, in place of ``on_signal``.
        cluster: address of a Ray cluster, such as ``auto``; None for this machine alone.
        workload: instead of training a segmentation model on ``spec.data``; for simulations.
        runner: instead of the one that ``spec.resources`` asks for.

    Returns:
        The sweep as it stands at the end. Nothing in it is running.

    Raises:
        UserError: when the sweep exists (or does not, when resuming), or its data or its file have changed.
        LeaseHeld: when another living driver has it.
        SweepFailed: when the first trials all failed alike; it carries the first traceback.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ledger = Ledger(home.database_url)
    stop = stop or StopRequest(signals=on_signal)
    stop.install()
    try:
        _check_existence(ledger, spec, resume)
        work = workload if workload is not None else segmentation(spec, home)
        if resume:
            _check_unchanged(ledger, spec, work)
        else:
            _aim(spec, work.prior).check()  # before the sweep's name is taken
            create_sweep(ledger, spec, work.prior, work.fingerprint)
        with Lease(ledger, spec.name, lambda asked: stop.set(asked)) as lease:
            chosen = runner if runner is not None else runner_for(spec, home, cluster)
            return _drive(spec, ledger, lease, stop, work, chosen, tuple(listeners))
    finally:
        stop.uninstall()
        ledger.close()


def _drive(
    spec: SweepSpec,
    ledger: Ledger,
    lease: Lease,
    stop: StopRequest,
    work: Workload,
    runner: Runner,
    listeners: tuple[Listener, ...],
) -> SweepHistory:
    conductor = _conductor(spec, ledger, work, listeners)
    ledger.change(spec.name, state="running", note="", stop_requested=None)
    ledger.end_lost_attempts(spec.name)
    desk = Desk(
        conductor,
        attempts=ledger.attempt_book(spec.name),
        policy=RetryPolicy(spec.resources.max_failures),
        alike=AlikeFailures(min(ALIKE, spec.budget.trials), controls=len(conductor.aim.controls)),
        stop=stop,
        check=lease.check,
        job_began=lambda job: ledger.change(spec.name, ray_job=job),
    )
    state, note = "failed", "the driver ended by an error of its own"
    try:
        conductor.adopt()
        conductor.audience.tell(SweepStarted(ledger.history(spec.name)))
        runner.run(desk, work.trainer)
        state, note = _end_of(conductor, desk, stop)
    except SweepFailed as error:
        note = error.message
        raise
    except KeyboardInterrupt:
        state, note = "interrupted", f"{stop.reason or 'interrupted'}, and again"
    except Exception as error:
        note = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise
    finally:
        if not lease.lost.is_set():
            desk.interrupt_all(note or "the sweep ended")
            conductor.release()
            ledger.change(spec.name, state=state, note=note)
            conductor.audience.tell(SweepEnded(ledger.history(spec.name)))
        conductor.audience.close()
    return ledger.history(spec.name)


def _end_of(conductor: Conductor, desk: Desk, stop: StopRequest) -> tuple[str, str]:
    if conductor.finished:
        return "finished", "its hours are spent" if conductor.out_of_time else ""
    if desk.paused:
        return "interrupted", f"paused: {desk.paused}"
    if conductor.out_of_time:
        return "interrupted", "its hours are spent; give it more to go on with what is unfinished"
    if stop.is_set():
        return ("stopped" if stop.reason.startswith("lossweep stop") else "interrupted"), stop.reason
    return "interrupted", "the runner had nothing to run on"


def _aim(spec: SweepSpec, prior: ClassPrior) -> Aim:
    epochs = spec.budget.epochs
    return Aim(
        space=ScheduleSpace(spec.space, epochs, prior),
        objective=spec.objective,
        pruning=spec.pruning,
        sampler=spec.sampler,
        trials=spec.budget.trials,
        hours=spec.budget.hours,
        controls=controls(epochs, prior),
        seed=spec.seed,
    )


def _conductor(spec: SweepSpec, ledger: Ledger, work: Workload, listeners: tuple[Listener, ...]) -> Conductor:
    return Conductor(
        _study(ledger, spec),
        _aim(spec, work.prior),
        template_of(spec),
        ledger.journal(spec.name),
        listeners,
        slots=spec.resources.gpus_per_trial or 1.0,
    )


def _study(ledger: Ledger, spec: SweepSpec) -> optuna.Study:
    return optuna.create_study(
        study_name=spec.name,
        storage=ledger.storage,
        directions=list(spec.objective.directions),
        load_if_exists=True,
    )


def _check_existence(ledger: Ledger, spec: SweepSpec, resume: bool) -> None:
    if resume:
        ledger.sweep(spec.name)
        holder, in_force = holder_of(ledger, spec.name)
        if in_force:
            raise LeaseHeld(spec.name, holder)
    elif (record := ledger.find(spec.name)) is not None:
        raise UserError(
            Problem(
                f"there is already a sweep named {spec.name}, {record.state}",
                hint=f"go on with it: lossweep resume {spec.name}; or give this one another name",
            )
        )


def _check_unchanged(ledger: Ledger, spec: SweepSpec, work: Workload) -> None:
    """Refuse to mix two sweeps in one study; take over what may change."""
    record = ledger.sweep(spec.name)
    old = stored_spec(record)
    problems = resume_problems(old, spec)
    if record.data_fingerprint and work.fingerprint != record.data_fingerprint:
        problems.append(
            Problem(
                "the data have changed since the sweep began",
                key="data",
                found=work.fingerprint[:19],
                allowed=record.data_fingerprint[:19],
                hint="put the data back, or give the sweep another name",
            )
        )
    if problems:
        raise UserError(problems)
    if old != spec:
        ledger.change(
            spec.name,
            spec_yaml=_spec_yaml(spec),
            budget_trials=spec.budget.trials,
            slots=spec.resources.gpus_per_trial or 1.0,
        )


def _spec_yaml(spec: SweepSpec) -> str:
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
