"""A suite of sweeps in MLflow: a run of its own with the table; each sweep has its runs as always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lossweep.dashboards.mlflow.content import ROLE_TAG
from lossweep.dashboards.mlflow.outage import reaching
from lossweep.dashboards.mlflow.store import EXPERIMENT, quiet_mlflow

SUITE_TAG: Final = "lossweep.suite"


def log_suite(
    name: str,
    sweeps: Sequence[str],
    sentence: str,
    page: str,
    figures: Mapping[str, Any],
    tracking_uri: str,
    experiment: str = EXPERIMENT,
) -> str:
    """Write a suite's table into MLflow, in place of an earlier one of the same name; return the run's id.

    Args:
        name: of the suite.
        sweeps: their names.
        sentence: what it found.
        page: the table as HTML.
        figures: the table as data.
        tracking_uri: the store that has the sweeps' runs.
        experiment: the project's experiment, which the sweeps have made.

    Raises:
        UserError: when the store can't be reached.
        LookupError: it has no such experiment.
    """
    quiet_mlflow()
    import mlflow

    with reaching(tracking_uri):
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise LookupError(f"there is no experiment {experiment}")
        known = client.search_runs([found.experiment_id], f"tags.`{SUITE_TAG}` = '{name}'")
        tags = {SUITE_TAG: name, ROLE_TAG: "suite", "sweeps": ", ".join(sweeps)}
        run = known[0] if known else client.create_run(found.experiment_id, tags=tags, run_name=name)
        run_id = str(run.info.run_id)
        for key, value in {**tags, "mlflow.note.content": sentence}.items():
            client.set_tag(run_id, key, value)
        client.log_text(run_id, page, "suite.html")
        client.log_dict(run_id, dict(figures), "suite.json")
        client.set_terminated(run_id)
        return run_id
