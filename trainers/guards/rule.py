"""What a guard rule is: it sees steps and evaluations, and says when it has seen enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from lossweep.trainers.evaluation import Evaluation

StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step.

    Attributes:
        number: steps done, this one included.
        in_phase: steps done in this phase, this one included.
        loss: of the step's batch.
        gradient_norm: L2 norm before clipping.
        skipped: the float16 loss scaler found the gradient not finite and left the weights as they were.
    """

    number: int
    in_phase: int
    loss: float
    gradient_norm: float
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a rule would end the trial: one sentence, and the numbers behind it."""

    message: str
    figures: Mapping[str, float] = field(default_factory=dict)


class Rule(Generic[StateT]):
    """An absolute rule about one trial. What it remembers is a dataclass of plain numbers and lists, `state`.

    Subclasses override what they need to see.
    """

    name: ClassVar[str]

    def __init__(self, state: StateT) -> None:
        self.state = state

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
        self.state = type(self.state)(**state)
