"""Which guards watch a trial, with their thresholds, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    AfterValidator,
    ConfigDict,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    create_model,
    model_serializer,
    model_validator,
)

from lossweep.spaces.discovery import defined_in
from lossweep.spaces.files.canonical import tidied
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.guards import rules
from lossweep.trainers.guards.rule import Rule

RULES: Final[tuple[type[Rule[Any, Any]], ...]] = defined_in(rules, Rule)
"""The guards of lossweep's own; what is worst comes first."""

_OWN_KEYS: Final[dict[str, JsonValue]] = {
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$": {
        "type": ["object", "null"],
        "description": "your own guard, by import path, with its thresholds",
    }
}
_Own = dict[str, dict[str, Annotated[JsonValue, AfterValidator(tidied)]] | None]
_OWN: Final[TypeAdapter[_Own]] = TypeAdapter(_Own)

if TYPE_CHECKING:
    _Thresholds = Frozen
else:
    _Thresholds = create_model(
        "_Thresholds",
        __base__=Frozen,
        **{rule.name: (rule.spec_type | None, rule.spec_type()) for rule in RULES},
    )


class GuardSpec(_Thresholds):
    """Every guard with its thresholds; each may be switched off by giving null.

    A user's own guard stands among them by its import path: ``my_module:MyGuard: {patience: 3}``. It is not
    imported here: `trainers.guards.own` does.
    """

    model_config = ConfigDict(json_schema_extra={"patternProperties": _OWN_KEYS})

    _own: _Own = PrivateAttr(default_factory=dict)

    @property
    def own(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters of the user's own guards that are switched on, by import path, in its order."""
        return {path: values for path, values in sorted(self._own.items()) if values is not None}

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[GuardSpec]) -> GuardSpec:
        if not isinstance(data, dict):
            return handler(data)
        spec = handler({key: value for key, value in data.items() if ":" not in key})
        spec._own = _OWN.validate_python({key: data[key] for key in data if ":" in key})
        return spec

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**handler(self), **self._own}
