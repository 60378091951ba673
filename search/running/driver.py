"""Drives one sweep from its database: takes the lease, runs what is left, and leaves nothing running."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version

import optuna
import yaml

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.plans import template_of
from lossweep.search.conducting.settings import ConfirmSettings, ControlSearch, ExtendSettings, SearchSettings
from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.ledger import Ledger, NewSweep, SweepRecord
from lossweep.search.ledger.claims import active_sweeps
from lossweep.search.ledger.lease import Lease, LeaseHeld, holder_of
from lossweep.search.own_code import change_words, code_of, own_code
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.existing import resume_problems, stored_spec
from lossweep.search.running.gpu_shares.finding import share_of_a_gpu
from lossweep.search.running.runner import Runner, runner_for
from lossweep.search.running.sharing import Claim, Share, cluster_of
from lossweep.search.running.silence import SilenceWatch
from lossweep.search.running.stopping import Patience, StopRequest
from lossweep.search.running.task import TrainingTask, segmentation
from lossweep.search.study.events import Listener, SweepEnded, SweepStarted
from lossweep.search.study.faults import AlikeFailures, ClusterLost, RetryPolicy, SweepFailed
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.record import CODE
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.sweep_spec import ResourceSpec, SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.proposing.control_space import ControlSpace, control_rates
from lossweep.spaces.proposing.schedule_space import ScheduleSpace
from lossweep.spaces.schedules.schedule import LossSchedule

log = logging.getLogger(__name__)

ALIKE = 3
"""So many first controls, or first proposals, failing alike stop a sweep."""


def create_sweep(
    ledger: Ledger, spec: SweepSpec, prior: ClassPrior, fingerprint: str = "", slots: float = 1.0
) -> SweepRecord:
    """Write a new sweep: its row, and its empty study.

    Args:
        ledger: where.
        spec: of the sweep.
        prior: classes and their frequencies.
        fingerprint: of the data.
        slots: GPUs a trial holds, or 1 on a CPU.

    Raises:
        UserError: when the name is taken.
    """
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
            slots=slots,
            data_fingerprint=fingerprint,
            code_version=version("lossweep"),
        )
    )
    _study(ledger, spec)
    return record


def run_sweep(
    spec: SweepSpec,
    workspace: Workspace,
    listeners: Iterable[Listener] = (),
    *,
    resume: bool = False,
    on_signal: bool = True,
    stop: StopRequest | None = None,
    cluster: str | None = None,
    task: TrainingTask | None = None,
    runner: Runner | None = None,
    confirm: ConfirmSpec | None = None,
    extend: ExtendSettings | None = None,
    retry_failed: bool = False,
) -> SweepHistory:
    """Run a sweep, or what is left of it, to its end or until it is stopped.

    Args:
        spec: what to run.
        workspace: where its database, data cache, checkpoints and logs lie.
        listeners: told of everything, in order.
        resume: go on with the sweep of this name; it must exist, and must not without.
        on_signal: handle Ctrl-C and other signals: once, running evaluations are finished; twice, it stops
            now. Before there is anything to finish, while the data are read, once is enough.
        stop: a wish to stop that the caller keeps an eye on, in place of ``on_signal``.
        cluster: address of a Ray cluster, such as ``auto``; None for this machine alone.
        task: instead of training a segmentation model on ``spec.data``; for simulations.
        runner: instead of the one that ``spec.resources`` asks for.
        confirm: confirm the leaders that the sweep has now, and search no further; with ``resume``.
        extend: give a trial more epochs than the budget, and search no further; with ``resume``.
        retry_failed: with ``resume``, also try again what failed: as new trials of the same seeds and
            schedules, which the budget does not count a second time. The failed ones stay as they ended.

    Returns:
        The sweep as it stands at the end. Nothing in it is running.

    Raises:
        UserError: when the sweep exists (or does not, when resuming), or its data or its file have changed.
        LeaseHeld: when another living driver has it.
        SweepFailed: when the first trials all failed alike; it carries the first traceback.
        ClusterLost: when the Ray clusters it ran on were lost again and again; it can be resumed.
        KeyboardInterrupt: when a signal came before there was anything to finish: nothing was changed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ledger = Ledger(workspace.database_url)
    stop = stop or StopRequest(signals=on_signal)
    stop.install()
    try:
        alone = cluster is None and runner is None
        work = _prepared(spec, workspace, ledger, stop, resume, task, confirm, alone)
        with stop.patient(Patience.TO_WRITE):
            if not resume:
                create_sweep(ledger, spec, work.prior, work.fingerprint, _slots(spec, work))
            shared = cluster_of(cluster) if spec.resources.runner == "tune" else ""
            with Lease(ledger, spec.name, stop.set, shared) as lease:
                chosen = runner or runner_for(spec, workspace, cluster, work.gpu_share)
                settings = settings_of(spec, work.prior, confirm)
                settings = replace(settings, extend=extend, retry_failed=resume and retry_failed)
                share = Share(spec.name, lambda: _claims(ledger, shared)) if shared else None
                return _drive(spec, settings, ledger, lease, stop, work, chosen, tuple(listeners), share)
    finally:
        stop.uninstall()
        ledger.close()


def _prepared(
    spec: SweepSpec,
    workspace: Workspace,
    ledger: Ledger,
    stop: StopRequest,
    resume: bool,
    task: TrainingTask | None,
    confirm: ConfirmSpec | None,
    alone: bool,
) -> TrainingTask:
    """Check everything, read the data and measure the machine, before anything is written."""
    try:
        _check_existence(ledger, spec, resume)
        work = task if task is not None else segmentation(spec, workspace, confirm is not None)
        if resume:
            _check_unchanged(ledger, spec, work)
        else:
            settings_of(spec, work.prior).check()  # before the sweep's name is taken
        if alone and task is None:
            share = share_of_a_gpu(spec, workspace, work.trainer, work.fingerprint)
            work = replace(work, gpu_share=share)
        if resume:
            _take_over(ledger, spec, work)
    except Exception as error:
        if stop.interrupted:
            raise KeyboardInterrupt from error
        raise
    return work


def _drive(
    spec: SweepSpec,
    settings: SearchSettings,
    ledger: Ledger,
    lease: Lease,
    stop: StopRequest,
    work: TrainingTask,
    runner: Runner,
    listeners: tuple[Listener, ...],
    share: Share | None,
) -> SweepHistory:
    study, code = _study(ledger, spec), own_code(spec)
    conductor = Conductor(
        study,
        settings,
        replace(template_of(spec), branch_epochs=_space(spec, work.prior).branch_epochs),
        ledger.journal(spec.name),
        listeners,
        slots=_slots(spec, work),
        code_of=lambda plan: code_of(plan, code),
    )
    before = ledger.sweep(spec.name).state
    ledger.enter(spec.name, SweepState.RUNNING)
    ledger.attempt_log(spec.name).end_lost()
    dispatcher = Dispatcher(
        conductor,
        attempts=ledger.attempt_log(spec.name),
        policy=RetryPolicy(spec.resources.max_failures, work.least_micro_batch),
        alike=AlikeFailures(min(ALIKE, spec.budget.trials)),
        stop=stop,
        check=lease.check,
        job_began=lambda job: ledger.set_ray_job(spec.name, job),
        share=share,
    )
    state, note = SweepState.FAILED, "the driver ended by an error of its own"
    try:
        conductor.adopt()
        conductor.listeners.tell(SweepStarted(ledger.history(spec.name)))
        if words := change_words(study.user_attrs.get(CODE, {}), code, conductor.begin_anew()):
            log.warning(words)
        study.set_user_attr(CODE, code)
        watch = SilenceWatch(dispatcher, spec.resources.evaluation_limit_s)
        with stop.patient(Patience.TO_FINISH), watch:
            runner.run(dispatcher, work.trainer)
        state, note = _end_of(conductor, dispatcher, stop, before)
    except SweepFailed as error:
        note = error.message
        raise
    except ClusterLost as error:
        state, note = SweepState.INTERRUPTED, str(error)
        raise
    except (KeyboardInterrupt, Exception) as error:
        if stop.interrupted or isinstance(error, KeyboardInterrupt):
            state, note = SweepState.INTERRUPTED, f"{stop.reason or 'interrupted'}, and again"
        else:
            note = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise
    finally:
        if not lease.lost.is_set():
            dispatcher.interrupt_all(note or "the sweep ended")
            conductor.shut_down()
            ledger.enter(spec.name, state, note)
            conductor.listeners.tell(SweepEnded(ledger.history(spec.name)))
        # By now everything is recorded. What a listener has not passed on yet can be abandoned.
        with contextlib.suppress(KeyboardInterrupt), stop.patient(Patience.TO_FINISH):
            conductor.listeners.close()
    return ledger.history(spec.name)


def _claims(ledger: Ledger, cluster: str) -> list[Claim]:
    """The sweeps on a cluster, as they claim it."""
    read = ResourceSpec.model_validate
    active = [(each, read(each.resources)) for each in active_sweeps(ledger, cluster)]
    return [Claim(each.name, held.priority, held.parallel, each.attempts) for each, held in active]


def _end_of(
    conductor: Conductor, dispatcher: Dispatcher, stop: StopRequest, before: SweepState
) -> tuple[SweepState, str]:
    if conductor.done_at_once:
        # The search stands as it did; one that a driver died over is interrupted, if anything is left of it.
        if before.is_end and before is not SweepState.INTERRUPTED:
            return before, conductor.settings.at_once
        state = SweepState.FINISHED if conductor.finished else SweepState.INTERRUPTED
        return state, conductor.settings.at_once
    if conductor.finished:
        return SweepState.FINISHED, "its hours are spent" if conductor.out_of_time else ""
    if dispatcher.paused:
        return SweepState.INTERRUPTED, f"paused: {dispatcher.paused}"
    if conductor.out_of_time:
        return SweepState.INTERRUPTED, "its hours are spent; give it more to go on with what is unfinished"
    if stop.kind is not None:
        return stop.kind.leads_to, stop.reason
    return SweepState.INTERRUPTED, "the runner had nothing to run on"


def settings_of(spec: SweepSpec, prior: ClassPrior, confirm: ConfirmSpec | None = None) -> SearchSettings:
    """What a sweep searches, fitted to its data's classes.

    Args:
        spec: the sweep.
        prior: classes and their frequencies.
        confirm: what is confirmed at once, instead of what the sweep says.
    """
    epochs = spec.budget.epochs
    controls, wanted = spec.controls, confirm or spec.confirm
    settings = None
    if wanted is not None:
        now = confirm is not None
        settings = ConfirmSettings(wanted.top, wanted.seeds, wanted.margin, at_once=now)
    search = None
    if controls.search:
        rates = controls.learning_rate or control_rates(spec.space)
        space = ControlSpace(rates, epochs, prior, controls.shapes, controls.warmup_steps)
        search = ControlSearch(space, controls.share, controls.at_least, controls.sampler)
    schedules = _space(spec, prior)
    return SearchSettings(
        space=schedules,
        objective=spec.objective,
        pruning=spec.pruning,
        sampler=spec.sampler,
        trials=spec.budget.trials,
        refill=spec.budget.refill,
        hours=spec.budget.hours,
        controls=controls.baselines,
        control_search=search,
        named=controls.named,
        confirm=settings,
        warm_start=tuple(dict.fromkeys(_fitted(former, schedules) for former in spec.former_winners)),
        trained_otherwise=frozenset(controls.trainings),
        seed=spec.seed,
        common_seed=spec.seeds == "common",
    )


def _space(spec: SweepSpec, prior: ClassPrior) -> ScheduleSpace:
    return ScheduleSpace(spec.space, spec.budget.epochs, prior)


def _fitted(former: LossSchedule, space: ScheduleSpace) -> LossSchedule:
    """A former winner of this budget as it stands, one of another with lengths that fit."""
    fitted = former if former.budget == space.epochs else space.refitted(former)
    return fitted.model_copy(update={"epochs": space.epochs})


def _study(ledger: Ledger, spec: SweepSpec) -> optuna.Study:
    study = optuna.create_study(
        study_name=spec.name,
        storage=ledger.storage,
        directions=list(spec.objective.directions),
        load_if_exists=True,  # a driver may have been killed between the sweep's row and its study
    )
    directions = tuple(direction.name.lower() for direction in study.directions)
    if directions != spec.objective.directions:
        raise UserError(
            Problem(
                f"the study of sweep {spec.name} was made by another program, with other directions",
                found=", ".join(directions),
                allowed=", ".join(spec.objective.directions),
                hint="give the sweep another name",
            )
        )
    return study


def _check_existence(ledger: Ledger, spec: SweepSpec, resume: bool) -> None:
    if resume:
        ledger.sweep(spec.name)
        holder, in_force = holder_of(ledger, spec.name)
        if in_force:
            raise LeaseHeld(spec.name, holder)
    elif ledger.find(spec.name) is not None:
        raise UserError(
            Problem(
                f"there is already a sweep named {spec.name}, {ledger.history(spec.name).state}",
                hint=f"go on with it: lossweep resume {spec.name}; or give this one another name",
            )
        )
    else:
        ledger.check_no_study(spec.name)


def _check_unchanged(ledger: Ledger, spec: SweepSpec, work: TrainingTask) -> None:
    """Refuse to mix two sweeps in one study."""
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


def _take_over(ledger: Ledger, spec: SweepSpec, work: TrainingTask) -> None:
    """Write down what may change from driver to driver."""
    record, slots = ledger.sweep(spec.name), _slots(spec, work)
    if stored_spec(record) != spec or record.slots != slots:
        ledger.update_spec(spec.name, _spec_yaml(spec), budget_trials=spec.budget.trials, slots=slots)


def _slots(spec: SweepSpec, work: TrainingTask) -> float:
    """GPUs a trial holds, or 1 on a CPU: what its seconds are counted by."""
    return spec.resources.gpus_per_trial or work.gpu_share or 1.0


def _spec_yaml(spec: SweepSpec) -> str:
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
