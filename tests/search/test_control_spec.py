"""The user's own baselines in a sweep file: schedules, with training settings of their own or the sweep's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from small_sweeps import spec

from lossweep.search.conducting.plans import template_of
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.plan import TrainingSpec

LINE = "cross_entropy @0.01 x3"


def read(folder: Path, **changes: object) -> SweepSpec:
    path = folder / "sweep.yaml"
    plain = spec(training={"batch": 2, "weight_decay": 0.5}).model_dump(mode="json") | changes
    path.write_text(yaml.safe_dump(plain))
    return SweepSpec.load(path)


def test_settings_of_its_own_are_put_over_those_of_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "today.yaml").write_text("phases: [{loss: {term: dice}, learning_rate: 0.1, epochs: 9}]")
    own = {
        "today": {"schedule": "today.yaml", "training": {"optimizer": "sgd", "momentum": 0.8}},
        "plain": LINE,
        "bare": {"schedule": LINE},
    }
    sweep = read(tmp_path, controls={"search": False, "own": own})
    assert {name: str(each) for name, each in sweep.controls.baselines.items()} == {
        "today": "dice @0.1 x9 | 4 epochs",
        "plain": f"{LINE} | 4 epochs",
        "bare": f"{LINE} | 4 epochs",
    }
    trained = TrainingSpec(batch=2, weight_decay=0.5, optimizer="sgd", momentum=0.8)
    assert sweep.controls.trainings == {"today": trained}
    template = template_of(sweep)
    schedule = sweep.controls.baselines["today"]
    assert template.plan(0, 1, schedule, control="today").training == trained
    assert template.plan(0, 1, schedule, control="plain").training == sweep.training
    assert template.plan(0, 1, schedule).training == sweep.training
    stored = SweepSpec.model_validate(yaml.safe_load(yaml.safe_dump(sweep.model_dump(mode="json"))))
    assert stored == sweep, "what is stored is resolved, and reads back the same"


def test_a_list_names_baselines_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "today.yaml").write_text("phases: [{loss: {term: dice}, learning_rate: 0.1, epochs: 9}]")
    assert list(read(tmp_path, controls=["today.yaml"]).controls.baselines) == ["today"]


def test_mistakes_in_them_are_named(tmp_path: Path) -> None:
    own = {"a": {"schedule": LINE, "training": {"optimiser": "sgd"}}, "b": {"schedule": LINE, "traning": {}}}
    with pytest.raises(UserError) as raised:
        read(tmp_path, controls={"own": own})
    keys = {problem.key for problem in raised.value.problems}
    assert keys == {"controls.own.a.training.optimiser", "controls.own.b.traning"}
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        read(tmp_path, controls={"own": {"a": {"schedule": "nowhere.yaml"}}})


def test_former_winners_are_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(
        "phases: [{loss: {term: dice}, learning_rate: 0.1, epochs: 9}]\nepochs: 9"
    )
    sweep = read(tmp_path, warm_start=["best.yaml", LINE])
    assert [str(each) for each in sweep.former_winners] == ["dice @0.1 x9 | 9 epochs", LINE]
    with pytest.raises(UserError, match=r"warm_start\[0\]"):
        read(tmp_path, warm_start=["weighted_ce(weights=[1, 2, 3]) @1e-3 x4"])


def test_an_editor_is_told_of_both_forms_of_a_baseline() -> None:
    forms = SweepSpec.model_json_schema()["$defs"]["ControlSpec"]["properties"]["own"]["additionalProperties"]
    assert {each.get("type") or each["$ref"].rpartition("/")[2] for each in forms["anyOf"]} == {
        "string",
        "LossSchedule",
        "Baseline",
    }
