"""A loss in which any value may be a distribution: written like a schedule's loss, and checked like one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.allowed import Location
from lossweep.spaces.files.errors import Problem, refused
from lossweep.spaces.files.validation import dotted, problems_of
from lossweep.spaces.losses.ramp import is_ramp, plain_ramp
from lossweep.spaces.losses.terms import Frozen, ImportedLoss, Loss
from lossweep.spaces.proposing.distributions import (
    Choice,
    Numbers,
    Outside,
    Parameters,
    Range,
    TrialLike,
    Usual,
    ends,
    is_distribution,
    nearest_values,
    parameters_of,
    suggest,
    usual_of,
)
from lossweep.spaces.schedules.fit import loss_misfits

_LOSS: TypeAdapter[Loss] = TypeAdapter(Loss)


class AroundPrior(Frozen):
    """Focal's alpha, placed by how rare the foreground is.

    With f the share of foreground pixels in the training masks, ``alpha / (1 - alpha) = ((1 - f) / f)^p``:
    p = 0 gives 0.5 (pixels of both sides weigh alike), p = 1 gives 1 - f (both sides weigh alike in total).
    With more than two classes, it is class weights (1/f)^p instead.

    Attributes:
        around_prior: p, fixed or a distribution.
    """

    around_prior: Numbers

    @staticmethod
    def alpha(power: float, prior: ClassPrior) -> float:
        """The alpha for a power, rounded to 3 digits of the smaller of alpha and 1 - alpha."""
        odds: float = AroundPrior._odds(prior) ** power
        alpha = odds / (1.0 + odds)
        digits = 2 - math.floor(math.log10(min(alpha, 1.0 - alpha)))
        return round(alpha, digits)

    @staticmethod
    def power(alpha: float, prior: ClassPrior) -> float:
        """The power that an alpha stands for: the inverse of `alpha` but for its rounding."""
        log_odds = math.log(AroundPrior._odds(prior))
        return math.log(alpha / (1.0 - alpha)) / log_odds if log_odds else 0.0

    @staticmethod
    def _odds(prior: ClassPrior) -> float:
        """Background to foreground pixels, kept from 0 and infinity so that a lone class gives a number."""
        share = min(max(prior.foreground, 1e-6), 1.0 - 1e-6)
        return (1.0 - share) / share

    def suggest(self, trial: TrialLike, name: str, prior: ClassPrior) -> float:
        """Ask for the power, and return alpha."""
        return self.alpha(float(suggest(self.around_prior, trial, f"{name}.around_prior")), prior)

    def parameters_of(self, alpha: float, name: str, prior: ClassPrior) -> Parameters:
        """The parameters for which `suggest` returns exactly ``alpha``.

        Raises:
            Outside: when no parameters do.
        """
        for power in nearest_values(self.around_prior, self.power(alpha, prior)):
            if self.alpha(power, prior) == alpha:
                return dict(parameters_of(self.around_prior, power, f"{name}.around_prior"))
        raise Outside(f"alpha {alpha} is not around the prior, at a power of {self.around_prior}")


class LossSpace(Frozen):
    """One loss of a phase, any of its values a distribution, and perhaps a learning rate of its own.

    ``{term: focal, gamma: {low: 0.5, high: 4}, alpha: {around_prior: {low: 0, high: 1}}}``
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"required": []})

    learning_rate: Numbers | None = Field(
        default=None, description="of this loss, instead of the phase's; a number or a distribution"
    )

    usual: bool = Field(
        default=False,
        description="usually a good one; a hint that fades",
    )

    _template: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def template(self) -> dict[str, Any]:
        """The loss, its distributions read."""
        return self._template

    @property
    def label(self) -> str:
        """The loss in one word, as parameters are named by it."""
        return _label(dict(self.model_extra or {}))

    @model_validator(mode="after")
    def _check(self) -> LossSpace:
        if self.learning_rate is not None:
            check_numbers(self.learning_rate, "learning_rate", low=0.0, high=10.0)
        self._template = _read(dict(self.model_extra or {}), ())
        for corner in _corners(self._template):
            try:
                _LOSS.validate_python(corner)
            except ValidationError as error:
                problem = problems_of(error, Loss)[0]
                raise refused(
                    problem.message,
                    key=problem.key or "",
                    found=problem.found,
                    allowed=problem.allowed,
                    hint=problem.hint,
                ) from None
        return self

    def misfits(self, classes: Sequence[str], key: str) -> Iterator[Problem]:
        """Yield what doesn't fit the classes: weights of another length. ``key`` is where the loss stands."""
        seen: set[str | None] = set()
        for corner in _corners(self.template):
            for problem in loss_misfits(corner, classes, key):
                if problem.key not in seen:
                    yield problem
                seen.add(problem.key)

    def imported(self, key: str) -> Iterator[tuple[str, ImportedLoss]]:
        """Yield the user's own losses in it, with both ends of every parameter's range, and their keys."""
        for corner in _corners(self.template):
            parts = [(f"{key}.sum[{at}].loss", part["loss"]) for at, part in enumerate(corner.get("sum", ()))]
            for place, loss in parts or [(key, corner)]:
                if ":" in loss["term"]:
                    yield place, ImportedLoss.model_validate(loss)

    def corners(self) -> Iterator[Loss]:
        """Yield losses with every value of each choice and both ends of each range."""
        yield from map(_LOSS.validate_python, _corners(self.template))

    def suggest(self, trial: TrialLike, name: str, prior: ClassPrior) -> Loss:
        """Ask for a loss; its parameters' names begin with ``name``."""
        return _LOSS.validate_python(_suggest(self.template, trial, name, prior))

    def usual_values(self, name: str, prior: ClassPrior) -> Usual:
        """Where the values of its parameters usually lie."""
        return _usual(self.template, name, prior)

    def parameters_of(self, loss: Loss, name: str, prior: ClassPrior) -> Parameters:
        """The parameters for which `suggest` returns exactly ``loss``.

        Raises:
            Outside: when no parameters do.
        """
        reason = ""
        for arrangement in _arrangements(loss.model_dump(mode="json")):
            try:
                return dict(_parameters(self.template, arrangement, name, prior))
            except Outside as outside:
                reason = reason or str(outside)
        raise Outside(reason)


def check_numbers(spread: Any, key: str, *, low: float, high: float) -> None:
    """Refuse a distribution that holds numbers which are not above ``low`` and at most ``high``."""
    for value in ends(spread):
        if isinstance(value, bool) or not isinstance(value, float | int) or not low < value <= high:
            raise refused("is out of range", key=key, allowed=f"numbers > {low} and <= {high}")


def _read(node: Any, at: Location) -> Any:
    """Read the distributions that stand in a loss."""
    if isinstance(node, list | tuple):
        return [_read(each, (*at, index)) for index, each in enumerate(node)]
    if not isinstance(node, dict):
        return node
    # A user's own loss may itself have parameters called low and high.
    if is_distribution(node) and at[-1:] != ("parameters",):
        if "choice" in node and "parameters" not in at:
            node = {**node, "choice": [_tidied(each) for each in node["choice"]]}
        return _as(Choice if "choice" in node else Range, node, at)
    if set(node) == {"around_prior"}:
        return _as(AroundPrior, node, at)
    found = {key: _read(value, (*at, key)) for key, value in node.items()}
    if is_ramp(found) and isinstance(found["from"], AroundPrior) != isinstance(found["to"], AroundPrior):
        raise refused("both ends of a ramp are placed around the prior, or neither", key=dotted(at))
    return found


def _tidied(choice: Any) -> Any:
    """A ramp among choices as a loss writes it, by which it is found again."""
    try:
        return plain_ramp(choice) if is_ramp(choice) else choice
    except ValidationError:
        return choice  # what is wrong with it shows when it is tried


def _as(kind: type[Frozen], node: dict[str, Any], at: Location) -> Any:
    try:
        return kind.model_validate(node)
    except ValidationError as error:
        problem = problems_of(error, kind)[0]
        key = dotted(at) + (f".{problem.key}" if problem.key else "")
        raise refused(
            problem.message, key=key, found=problem.found, allowed=problem.allowed, hint=problem.hint
        ) from None


def _label(loss: Mapping[str, Any]) -> str:
    parts = loss.get("sum")
    if isinstance(parts, list | tuple):
        inner = (part.get("loss", {}) if isinstance(part, dict) else {} for part in parts)
        return "_".join(_label(each) if isinstance(each, dict) else "" for each in inner)
    name = str(loss.get("term", "")).rpartition(":")[2]
    within = loss.get("loss")
    return f"{name}_{_label(within)}" if isinstance(within, Mapping) else name


def _corners(template: dict[str, Any]) -> Iterator[Any]:
    """Losses with every value of a choice and both ends of every range: if these are allowed, all are."""
    count = max((len(tuple(_ends(leaf))) for leaf in _leaves(template)), default=1)
    for index in range(count):
        yield _corner(template, index)


def _leaves(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _leaves(each)
    else:
        yield node


def _ends(leaf: Any) -> Iterator[Any]:
    if isinstance(leaf, AroundPrior):
        # Whatever the power and the prior, alpha lies between 0 and 1.
        yield 0.5
    else:
        yield from ends(leaf)


def _corner(node: Any, index: int) -> Any:
    if isinstance(node, dict):
        return {key: _corner(value, index) for key, value in node.items()}
    if isinstance(node, list):
        return [_corner(each, index) for each in node]
    values = tuple(_ends(node))
    return values[min(index, len(values) - 1)]


_SILENT = ("weights", "loss")
"""Keys that add nothing to a parameter's name: a loss has one of each."""


def _under(name: str, key: str) -> str:
    return name if key in _SILENT else f"{name}.{key}"


def _suggest(node: Any, trial: TrialLike, name: str, prior: ClassPrior, own: bool = False) -> Any:
    """Ask for a loss's values. ``own``: within a user's own parameters, where whole numbers stay whole."""
    if isinstance(node, dict):
        node = _for_classes(node, prior)
        parts = node.get("sum")
        values = {
            key: _suggest(value, trial, _under(name, key), prior, own or key == "parameters")
            for key, value in node.items()
            if key != "sum"
        }
        if isinstance(parts, list):
            values["sum"] = [_suggest(part, trial, _part(name, part), prior) for part in parts]
        return values
    if isinstance(node, list):
        return [_suggest(each, trial, f"{name}.{index}", prior, own) for index, each in enumerate(node)]
    if isinstance(node, AroundPrior):
        return node.suggest(trial, name, prior)
    return suggest(node, trial, name, whole=own and isinstance(node, Range) and node.is_whole)


def _usual(node: Any, name: str, prior: ClassPrior, own: bool = False) -> Usual:
    """What is usual of a loss's values: walks as `_suggest` does."""
    found: Usual = {}
    if isinstance(node, dict):
        for key, value in _for_classes(node, prior).items():
            if key == "sum" and isinstance(value, list):
                for part in value:
                    found |= _usual(part, _part(name, part), prior)
            else:
                found |= _usual(value, _under(name, key), prior, own or key == "parameters")
        return found
    if isinstance(node, list):
        for index, each in enumerate(node):
            found |= _usual(each, f"{name}.{index}", prior, own)
        return found
    if isinstance(node, AroundPrior):
        return usual_of(node.around_prior, f"{name}.around_prior")
    return usual_of(node, name, whole=own and isinstance(node, Range) and node.is_whole)


def _parameters(node: Any, value: Any, name: str, prior: ClassPrior, own: bool = False) -> Parameters:
    """The inverse of `_suggest`: walk template and loss side by side."""
    found: Parameters = {}
    if isinstance(node, dict):
        node = _for_classes(node, prior)
        if is_ramp(node) and not own:
            value = _ramp_of(node, value)
        if not isinstance(value, dict):
            raise Outside(f"{name} is not {sorted(node)}")
        for key, inner in node.items():
            if key not in value:
                raise Outside(f"{name} has no {key}")
            if key == "sum":
                if len(inner) != len(value["sum"]):
                    raise Outside(f"{name} is a sum of {len(inner)} terms")
                for part, part_value in zip(inner, value["sum"], strict=True):
                    found |= _parameters(part, part_value, _part(name, part), prior)
            else:
                found |= _parameters(inner, value[key], _under(name, key), prior, own or key == "parameters")
        return found
    if isinstance(node, list):
        if not isinstance(value, list) or len(value) != len(node):
            raise Outside(f"{name} is not a list of {len(node)}")
        for index, (inner, each) in enumerate(zip(node, value, strict=True)):
            found |= _parameters(inner, each, f"{name}.{index}", prior, own)
        return found
    try:
        if isinstance(node, AroundPrior):
            if not isinstance(value, float):
                raise Outside(f"{value} is not a number")
            return node.parameters_of(value, name, prior)
        whole = own and isinstance(node, Range) and node.is_whole
        return dict(parameters_of(node, value, name, whole=whole))
    except Outside as outside:
        raise Outside(f"{name}: {outside}") from None


def _part(name: str, part: Any) -> str:
    return f"{name}.{_label(part['loss'])}"


def _for_classes(node: dict[str, Any], prior: ClassPrior) -> dict[str, Any]:
    """One alpha can't tell rare classes from rarer ones: weights of the same power take its place."""
    if prior.is_binary or (power := _power(node.get("alpha"))) is None:
        return node
    return {key: value for key, value in node.items() if key != "alpha"} | {"weights": {"power": power}}


def _power(alpha: Any) -> Any:
    """The power of the imbalance by which alpha is placed around the prior, if it is; of a ramp, a ramp."""
    if isinstance(alpha, AroundPrior):
        return alpha.around_prior
    if is_ramp(alpha) and isinstance(alpha["from"], AroundPrior):
        return {**alpha, "from": alpha["from"].around_prior, "to": alpha["to"].around_prior}
    return None


def _ramp_of(node: Mapping[str, Any], value: Any) -> Any:
    """A value as the ramp that a template asks for; a number is one whose ends are equal."""
    if isinstance(value, dict):
        return {"shape": "linear", **value}
    return {"from": value, "to": value, "shape": next(ends(node.get("shape", "linear")))}


def _arrangements(loss: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The loss with the terms of a sum in every order: a template needn't hold them in the canonical one."""
    for parts in itertools.permutations(loss["sum"]) if "sum" in loss else ((),):
        yield {**loss, "sum": list(parts)} if parts else loss
