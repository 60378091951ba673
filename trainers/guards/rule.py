"""What a guard rule is: it sees steps and evaluations, and says when it has seen enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.evaluation import Evaluation

SpecT = TypeVar("SpecT", bound=BaseModel)
StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step.

    Attributes:
        number: steps done, this one included.
        in_phase: steps done in this phase, this one included.
        loss: of the step's batch.
        gradient_norm: L2 norm before clipping.
        comparable: the loss with its ramps at their ends, on one scale throughout a phase; where there are
            none, the loss.
        skipped: the float16 loss scaler found the gradient not finite and left the weights as they were.
    """

    number: int
    in_phase: int
    loss: float
    gradient_norm: float
    comparable: float
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The first phase's loss on a batch of the data that shows foreground, before any step.

    Attributes:
        loss: its value for what the initial model predicts.
        gradient: the sum of the absolute derivatives of the loss by the logits: how much the loss would
            change if every logit moved by 1. What lies behind the logits is the model's, whatever the loss.
    """

    loss: float
    gradient: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a rule would end the trial: one sentence, and the numbers behind it."""

    message: str
    figures: Mapping[str, float] = field(default_factory=dict)


class NoThresholds(Frozen):
    """The spec of a rule without any threshold."""


@dataclass(slots=True)
class NoMemory:
    """The state of a rule that remembers nothing."""


class Rule(Generic[SpecT, StateT]):
    """An absolute rule about one trial: a guard. Subclasses override what they need to see.

    One file makes one: the model of its thresholds, a dataclass of what it remembers, and the rule. Put into
    `trainers.guards.rules` it is known by its name; from a user's own code it is ``package.module:Name``.

    Attributes:
        spec_type: the model of its thresholds; a sweep file's values are read by it.
        state_type: a dataclass of plain numbers and lists with a default each: what it remembers, as it goes
            into checkpoints.
        spec: the thresholds.
        state: what it remembers.
        place: of a rule of lossweep's own, where it stands among them. The first that has seen enough gives
            the verdict: what is worst comes first.
        name: of a rule of lossweep's own, its key in a sweep file.
        fires_when: for docs/guards.md.
    """

    spec_type: ClassVar[type[BaseModel]] = NoThresholds
    state_type: ClassVar[type[Any]] = NoMemory
    place: ClassVar[int]
    name: ClassVar[str]
    fires_when: ClassVar[str]

    def __init__(self, spec: SpecT, prior: ClassPrior) -> None:
        """Begin to watch a trial.

        Args:
            spec: the thresholds.
            prior: the classes and their frequencies in the training masks.
        """
        self.spec = spec
        self.state: StateT = self.state_type()

    def on_rehearsal(self, rehearsal: Rehearsal) -> Evidence | None:
        """See the loss on the initial model; a trial that ends here has cost no epoch."""
        return None

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step."""
        return None

    def on_evaluation(self, evaluation: Evaluation, positives: int | None) -> Evidence | None:
        """See one evaluation; ``positives``: foreground pixels it was measured on, if known."""
        return None

    def phase_started(self) -> None:
        """Forget what is only comparable within a phase."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers as plain data."""
        return asdict(self.state)  # type: ignore[call-overload, no-any-return]  # every state is a dataclass

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` returned."""
        self.state = self.state_type(**state)
