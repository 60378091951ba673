"""What a training follows from beside its seed, as a file tells it, and in what another training differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from lossweep.spaces.files.canonical import key_of
from lossweep.trainers.own_code import with_code
from lossweep.trainers.plan import TrialPlan

_WORDS: Final = {
    "model": "settings of the model",
    "training": "training settings",
    "crops": "crops or augmentation",
}
"""What is compared by a digest."""


def setting_of(plan: TrialPlan, data: str) -> dict[str, Any]:
    """Return what decides how a plan trains, its seed left out: plain data, without a path or a secret.

    Settings stand as digests of what differs from the defaults: they may name files, such as those of a
    model's options.

    Args:
        plan: of the training.
        data: the fingerprint of what it trains on.
    """
    code = plan.code if plan.code is not None else with_code(plan).code
    return {
        "schedule": str(plan.schedule.with_budget(None)),
        "epochs": plan.epochs,
        "data": data,
        "model": _digest(plan.model),
        "training": _digest(plan.training, without={"graphs"}),  # they replay the same kernels
        "crops": _digest(plan.data, only={"classes", "tile", "crops", "augment"}),
        **({"code": dict(code)} if code else {}),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in what a training differs from an earlier one, a few words each; empty where in nothing.

    Args:
        then: from `setting_of`, perhaps read back from a file.
        now: likewise.
    """
    found = []
    if then.get("schedule") != now["schedule"]:
        found.append(f"the schedule {now['schedule']} (then {then.get('schedule')})")
    if then.get("epochs") != now["epochs"]:
        epochs = int(now["epochs"])
        found.append(f"{epochs} epoch{'s' * (epochs > 1)} (then {then.get('epochs')})")
    if then.get("data") != now["data"]:
        found.append(f"data {_short(now['data'])} (then {_short(then.get('data'))})")
    found += [f"other {words}" for key, words in _WORDS.items() if then.get(key) != now[key]]
    own, its = then.get("code", {}), now.get("code", {})
    found += [f"other code of {path}" for path in sorted({*own, *its}) if own.get(path) != its.get(path)]
    return tuple(found)


def _digest(settings: BaseModel, only: set[str] | None = None, without: set[str] | None = None) -> str:
    # Of the defaults a later version has more.
    return key_of(settings.model_dump(mode="json", include=only, exclude=without, exclude_defaults=True))[:16]


def _short(fingerprint: object) -> str:
    return str(fingerprint)[:19]
