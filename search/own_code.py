"""Which parts of a sweep are the user's own code, and which of them have changed since a driver last ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lossweep.search.choices import own_metrics
from lossweep.search.sampling.hub import HUB
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.losses.terms import imported_terms
from lossweep.spaces.metric_names import OWN
from lossweep.trainers.data.specs.imported import ImportSource
from lossweep.trainers.own_code import own_parts
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.source_code import source_digest


def own_code(spec: SweepSpec) -> dict[str, str]:
    """Return the digest of the source of each of a sweep's own parts, by import path, as it is now.

    Those whose source cannot be found, such as a sampler from OptunaHub, are left out.
    """
    digests = {path: source_digest(path) for path in sorted(set(_paths(spec)))}
    return {path: digest for path, digest in digests.items() if digest}


def _paths(spec: SweepSpec) -> Iterator[str]:
    named = (
        spec.model.architecture,
        spec.sampler.sampler,
        spec.controls.sampler.sampler,
        spec.pruning.pruner,
    )
    yield from (name for name in named if ":" in name and not name.startswith(HUB))
    yield from spec.guards.own
    if isinstance(spec.data, ImportSource):
        yield spec.data.function
    for _, name in own_metrics(spec.measure, spec.objective, spec.pruning, spec.space):
        if found := OWN.fullmatch(name):
            yield found["path"]
    yield from (loss.term for _, loss in spec.space.imported_losses())
    for schedule in (*spec.controls.baselines.values(), *spec.former_winners):
        yield from (term.term for phase in schedule.phases for term in imported_terms(phase.loss))


def code_of(plan: TrialPlan, code: Mapping[str, str]) -> dict[str, str]:
    """Return what of a sweep's own code a trial trains by."""
    return {path: code[path] for path in own_parts(plan) if path in code}


def change_words(
    before: Mapping[str, str], now: Mapping[str, str], begun_anew: Mapping[int, Sequence[str]]
) -> str:
    """Say in one line which parts have changed since a driver last ran, and what follows; empty if none has.

    Args:
        before: the digests then.
        now: the digests of the same parts.
        begun_anew: by number, the trials that had begun with parts that changed, and which parts.
    """
    changed = {path for path, digest in now.items() if before.get(path, digest) != digest}
    changed |= {path for paths in begun_anew.values() for path in paths}
    if not changed:
        return ""
    what = "no unfinished trial had begun with it"
    if begun_anew:
        what = f"begun trials begin anew as new ones: {', '.join(map(str, sorted(begun_anew)))}"
    return f"The code of {', '.join(sorted(changed))} has changed since the sweep last ran; {what}."
