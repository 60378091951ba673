"""The environment of the processes of Ray: the driver's, without what may hold one of its secrets."""

from __future__ import annotations

import os
import re
import secrets
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from lossweep.search.workspace import DATABASE_VARIABLE

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TQDM": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    "TUNE_WARN_THRESHOLD_S": "1000000000",
}
"""No console output, no usage reports, no snapshots of its own: the study is the only state."""

HIDDEN = "LOSSWEEP_HIDDEN"
"""Variable that names, to the process that joins a cluster, what the workers there are not to see."""

_STORES = re.compile(rf"{DATABASE_VARIABLE}|(MLFLOW|DATABRICKS|OPTUNA|PG|POSTGRES|MYSQL).*", re.IGNORECASE)
"""Variables by which the driver's own stores are reached, whatever they hold."""

_OBJECT_STORES = re.compile("(AWS|AZURE|GOOGLE|GCS)_.*", re.IGNORECASE)

_SECRET_WORDS = re.compile(
    "APIKEY|AUTH|COOKIE|CREDENTIALS?|DSN|KEYS?|PASS|PASSFILE|PASSPHRASE|PASSWD|PASSWORD|PAT|PWD|SECRETS?|TOKENS?"
)
"""A variable with one of these in its name holds a secret, or the way to one."""

_SECRET_VALUE = re.compile(
    r"://[^/?#\s]*@"  # whoever stands before the host of a URL
    r"|\b(password|passwd|passphrase|pwd|secret|token|api_?key|access_?key)\s*=",
    re.IGNORECASE,
)


def may_hold_secret(name: str, value: str) -> bool:
    """Whether an environment variable may hold a password, a token or a way to the driver's stores."""
    words = name.upper().split("_")
    named = any(map(_SECRET_WORDS.fullmatch, words)) and name != "PWD"
    return bool(named or _STORES.fullmatch(name) or _SECRET_VALUE.search(value))


def cluster_environment(
    environment: Mapping[str, str], threads: int, private: bool, passed: Iterable[str] = ()
) -> dict[str, str]:
    """Return the environment of the process that runs Ray, which a private cluster's workers inherit.

    Args:
        environment: the driver's.
        threads: of the numeric libraries in each worker of a private cluster.
        private: whether this starts a cluster; one that runs elsewhere is joined with the user's own token.
        passed: variables that workers get although they look like secrets.
    """
    kept = set(passed) - {DATABASE_VARIABLE}
    ours = {
        name: value
        for name, value in environment.items()
        if name in kept or (name.startswith("RAY_") and not private) or not may_hold_secret(name, value)
    }
    if not private:  # whose workers have the environment of its nodes, and write checkpoints by it
        dropped = {name for name in environment.keys() - ours.keys() if not _OBJECT_STORES.fullmatch(name)}
        ours[HIDDEN] = ",".join(sorted({DATABASE_VARIABLE, *dropped}))
    ours |= QUIET
    ours["PYTHONPATH"] = os.pathsep.join(_added_to_path())
    if private:
        # Two torch processes with two threads each on two cores are 4x slower than with one each.
        ours |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        mode = environment.get("RAY_AUTH_MODE", "token")
        ours["RAY_AUTH_MODE"] = mode
        ours.pop("RAY_ADDRESS", None)
        if mode == "token":  # made for this cluster, whatever others the user has a token for
            ours["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return ours


def _added_to_path() -> list[str]:
    """Where this process finds modules beyond Python's own folders: users' modules are found there, too."""
    own = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
    entries = (os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100  # the empty one is the cwd
    others = (entry for entry in entries if own.isdisjoint((entry, os.path.dirname(entry))))  # noqa: PTH120
    return [entry for entry in others if Path(entry).exists()]
