"""A cluster is looked at before a sweep is written down for it."""

from __future__ import annotations

import pytest

from lossweep.search.running.tune import reaching
from lossweep.search.running.tune.reaching import check_cluster
from lossweep.search.sweep_spec import ResourceSpec
from lossweep.spaces.files.errors import UserError


@pytest.mark.parametrize(
    ("gpus", "nodes", "refused"),
    [
        (0.5, [{"CPU": 8.0}, {"CPU": 4.0}], True),
        (1.0, [], True),
        (1.0, [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 0.5}], False),  # it may grow
        (0.0, [{"CPU": 8.0}], False),
        (None, [{"CPU": 8.0}], False),
    ],
)
def test_trials_that_hold_gpus_need_a_cluster_that_has_any(
    gpus: float | None, nodes: list[dict[str, float]], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "nodes_of", lambda address: nodes)
    resources = ResourceSpec(gpus_per_trial=gpus)
    if not refused:
        check_cluster("auto", resources)
        return
    with pytest.raises(UserError, match=r"resources.gpus_per_trial: the cluster has no GPU") as error:
        check_cluster("auto", resources)
    assert len(str(error.value).splitlines()) == 1


def test_a_sweep_that_trains_in_its_driver_needs_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(reaching, "nodes_of")
    check_cluster("auto", ResourceSpec(runner="inline"))
