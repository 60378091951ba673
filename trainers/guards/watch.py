"""All guards of one trial together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.guards.own import build_own
from lossweep.trainers.guards.rule import Rehearsal, Rule, Step
from lossweep.trainers.guards.spec import RULES, GuardSpec


class Guards:
    """Shows each step and evaluation to every rule; the first rule that has seen enough gives the verdict.

    Deterministic: verdicts follow from what was shown, and from `load_state_dict`, alone.
    """

    def __init__(self, rules: Mapping[str, Rule[Any, Any]]) -> None:
        """Watch by some rules, each under its name in the sweep file; the first is asked first."""
        self._rules = dict(rules)
        self._phase = 0
        self._steps_in_phase = 0

    def phase_started(self, phase: int) -> None:
        """Begin a phase, by its index in the unrolled schedule. Not to be called on resuming within one."""
        self._phase = phase
        self._steps_in_phase = 0
        for rule in self._rules.values():
            rule.phase_started()

    def on_rehearsal(self, rehearsal: Rehearsal) -> GuardVerdict | None:
        """See the first phase's loss on the initial model, before the first step."""
        for name, rule in self._rules.items():
            if (evidence := rule.on_rehearsal(rehearsal)) is not None:
                return GuardVerdict(name, 0, 0, evidence.message, evidence.figures)
        return None

    def on_step(
        self,
        step: int,
        loss: float,
        gradient_norm: float,
        skipped: bool = False,
        comparable: float | None = None,
    ) -> GuardVerdict | None:
        """See one optimizer step, in order; late is allowed, so that a GPU need not be waited for.

        Args:
            step: optimizer steps done, this one included.
            loss: of the step's batch.
            gradient_norm: L2 norm before clipping.
            skipped: the float16 loss scaler skipped the step.
            comparable: the loss with its ramps at their ends (`Measured.comparable`); None when it has none.
        """
        self._steps_in_phase += 1
        steady = loss if comparable is None else comparable
        seen = Step(step, self._steps_in_phase, loss, gradient_norm, steady, skipped)
        # Every rule sees every step, also after another's verdict, so that no rule's memory has gaps.
        found = [(name, rule.on_step(seen)) for name, rule in self._rules.items()]
        for name, evidence in found:
            if evidence is not None:
                return GuardVerdict(name, step, self._phase, evidence.message, evidence.figures)
        return None

    def on_evaluation(self, evaluation: Evaluation, positives: int | None = None) -> GuardVerdict | None:
        """See one evaluation.

        Args:
            evaluation: with macro and, for several foreground classes, per-class metrics.
            positives: `Measured.positives`: the foreground pixels it was measured on; None when unknown.
        """
        found = [(name, rule.on_evaluation(evaluation, positives)) for name, rule in self._rules.items()]
        for name, evidence in found:
            if evidence is not None:
                step, phase = evaluation.step, evaluation.phase
                return GuardVerdict(name, step, phase, evidence.message, evidence.figures)
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return everything remembered, as plain numbers, lists and dicts."""
        rules = {name: rule.state_dict() for name, rule in self._rules.items()}
        return {"phase": self._phase, "steps_in_phase": self._steps_in_phase, "rules": rules}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned. A rule switched on since starts afresh."""
        self._phase = int(state["phase"])
        self._steps_in_phase = int(state["steps_in_phase"])
        for name, rule in self._rules.items():
            if name in state["rules"]:
                rule.load_state_dict(state["rules"][name])


def build_guards(spec: GuardSpec, prior: ClassPrior) -> Guards:
    """Return the guards that ``spec`` has not switched off. What is worst is told first, a user's own last.

    Raises:
        UserError: when a user's own can't be imported or built.
    """
    rules: dict[str, Rule[Any, Any]] = {}
    for kind in RULES:
        thresholds = getattr(spec, kind.name)
        if thresholds is not None:
            rules[kind.name] = kind(thresholds, prior)
    for path, parameters in spec.own.items():
        rules[path] = build_own(path, parameters, prior)
    return Guards(rules)
