"""What MLflow has not promised, name by name: an upgrade that changes one fails here, and says which."""

from __future__ import annotations

import inspect
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

import histories
import pytest

from lossweep.dashboards.mlflow.internals import locations, names, tables
from lossweep.dashboards.mlflow.internals.view_state import TAG_PREFIX, WORKFLOW, view_query
from lossweep.dashboards.mlflow.outage import is_outage
from lossweep.dashboards.mlflow.store import quiet_mlflow
from lossweep.dashboards.mlflow.system_metrics import start_recorder
from lossweep.dashboards.mlflow.views import saved_views

quiet_mlflow()

TAGS = {
    "MLFLOW_PARENT_RUN_ID": names.PARENT_TAG,
    "MLFLOW_RUN_NAME": names.RUN_NAME_TAG,
    "MLFLOW_RUN_NOTE": names.NOTE_TAG,
    "MLFLOW_DATASET_CONTEXT": names.CONTEXT_TAG,
}
OTHERS = ("DO_NOT_TRACK", "GIT_PYTHON_REFRESH", "MLFLOW_BACKEND_STORE_URI")
"""Variables that are not MLflow's, or that are an option of its command line."""
VARIABLES = sorted({*names.QUIET, *names.server_environment("")} - set(OTHERS))


@pytest.mark.parametrize("name", TAGS)
def test_the_tag_is_still_called_so(name: str) -> None:
    from mlflow.utils import mlflow_tags

    assert getattr(mlflow_tags, name) == TAGS[name]


@pytest.mark.parametrize("name", VARIABLES)
def test_the_environment_variable_is_still_read(name: str) -> None:
    from mlflow import environment_variables

    assert getattr(environment_variables, name).name == name


def test_the_server_still_takes_its_store_from_the_environment() -> None:
    from mlflow.cli import server

    assert "MLFLOW_BACKEND_STORE_URI" in [parameter.envvar for parameter in server.params]


@pytest.mark.parametrize("name", [name for name in names.LOGGERS if name.startswith("mlflow.")])
def test_the_logger_is_still_one_of_mlflows_modules(name: str) -> None:
    import importlib

    importlib.import_module(name)
    assert logging.getLogger(name).level == logging.WARNING


@pytest.mark.parametrize("code", sorted(names.REFUSALS))
def test_the_error_code_still_exists(code: str) -> None:
    from mlflow.protos.databricks_pb2 import ErrorCode

    assert code in ErrorCode.keys()  # noqa: SIM118 # a protobuf enumeration is no mapping


def test_the_store_is_still_made_from_an_address_and_a_folder() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    assert list(inspect.signature(SqlAlchemyStore).parameters)[:2] == ["db_uri", "default_artifact_root"]


def test_the_monitor_is_still_made_and_ended_so() -> None:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    parameters = inspect.signature(SystemMetricsMonitor).parameters
    assert {"run_id", "sampling_interval", "resume_logging", "tracking_uri"} <= set(parameters)
    assert callable(SystemMetricsMonitor.start)
    assert callable(SystemMetricsMonitor.finish)


@cache
def page_scripts() -> str:
    import mlflow

    scripts = Path(mlflow.__file__).parent.joinpath("server", "js", "build", "static", "js").glob("*.js")
    return "\n".join(path.read_text(encoding="utf-8") for path in scripts)


def keys(value: object) -> Iterator[str]:
    """All keys of nested data."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def view_names() -> list[str]:
    """Every name that a saved view and its link use."""
    found = {TAG_PREFIX, *WORKFLOW, *WORKFLOW.values(), names.KIND_TAG, names.MACHINE_LEARNING}
    found |= {part.partition("=")[0] for part in view_query("x", "TABLE").split("&")}
    for value in saved_views(histories.sweep()).values():
        envelope = json.loads(value)
        found |= {*envelope, *keys(json.loads(envelope["state"]))}
    return sorted(found)


@pytest.mark.parametrize("name", view_names())
def test_the_page_still_knows_the_views_name(name: str) -> None:
    assert name in page_scripts()


@pytest.mark.slow
def test_without_the_store_the_tables_are_made_in_the_public_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def changed(database: Path, artifacts: Path) -> None:
        raise AttributeError("engine")

    monkeypatch.setattr(tables, "_by_store", changed)
    monkeypatch.chdir(tmp_path)
    tables.make_tables(tmp_path / "new.db", tmp_path / "artifacts")
    (tmp_path / "new.db").rename(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"], "and nothing beside them"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("real"))
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def test_without_the_monitor_a_sweep_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.system_metrics import system_metrics_monitor

    monkeypatch.delattr(system_metrics_monitor, "SystemMetricsMonitor")
    assert start_recorder("run", "sqlite://") is None
    assert "no system metrics" in caplog.text


def test_the_kinds_of_stores_are_still_those() -> None:
    from mlflow import environment_variables
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    ours = {"", "file", *names.SERVERS, *names.DATABASES, *names.ELSEWHERE, *names.MODELS_ONLY}
    assert set(_tracking_store_registry._registry) == ours
    assert environment_variables.MLFLOW_ALLOW_FILE_STORE.name == names.ALLOW_FOLDERS


def test_a_database_of_another_version_is_still_refused_in_those_words(store: str) -> None:
    import sqlite3
    from contextlib import closing

    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as opened:
        assert tables.Tables.of(opened).version == tables.schema_wanted()
        with opened:
            opened.execute("UPDATE alembic_version SET version_num = 'older'")
        assert tables.Tables.of(opened).version == "older"
    with pytest.raises(MlflowException, match=names.OUTDATED) as refused:
        SqlAlchemyStore(store, "")  # type: ignore[no-untyped-call] # of MLflow
    assert not is_outage(refused.value)


def test_the_tables_still_hold_the_locations_of_artifacts(mlflow_template: Path) -> None:
    with closing(sqlite3.connect(mlflow_template)) as database:
        for table, column in locations.LOCATIONS:
            assert column in {row[1] for row in database.execute(f"PRAGMA table_info({table})")}, table


def test_the_client_still_remembers_locations_by_run() -> None:
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache["run"] = object()
    locations.forget_locations()
    assert not utils._artifact_repos_cache


ALIASES = ["champion", "a-b_2", "latest", "Latest", "v1", "V20", "v", "", "a b", "a@b", "é"]


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_are_what_mlflow_takes(alias: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    try:
        validation._validate_model_alias_name(alias)
        validation._validate_model_alias_name_reserved(alias)
    except MlflowException:
        assert names.alias_problem(alias) is not None
    else:
        assert names.alias_problem(alias) is None


@pytest.mark.parametrize("name", ["small", "small.v2", "two words", "a/b", "a:b", "", " ", ".", ".."])
def test_names_of_registered_models_are_what_mlflow_takes(name: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    try:
        validation._validate_model_name(name)
    except MlflowException:
        assert names.registered_name_problem(name) is not None
    else:
        assert names.registered_name_problem(name) is None
