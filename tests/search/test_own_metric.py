"""A user's own metric in a sweep: named in the file, checked, measured, steered by, shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lossweep.dashboards.terminal.tables import FIGURES
from lossweep.search.conducting.plans import template_of
from lossweep.search.ledger import Ledger
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import segmentation
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.export import export_best
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml
from lossweep.spaces.schedules.schedule import LossSchedule

MODULE = "metrics_beside_the_sweep"
ERROR, FOUND, SHARE = f"{MODULE}:PixelError:minimize", f"{MODULE}:found", f"{MODULE}:share"
SWEEP = f"""\
name: own
seed: 3
data: {{source: scenes, train: 8, val: 4, test: 2, tile: 64}}
model: {{encoder: tu-test_resnet, options: {{encoder_depth: 3, decoder_channels: [16, 8, 8]}}}}
training: {{batch: 4, precision: float32}}
space:
  learning_rate: 1e-3
  phases:
    - losses: [{{term: cross_entropy}}]
      until: {{metric: "{FOUND}", at_least: 0.0}}
    - losses: [{{term: jaccard}}]
objective:
  metric: "{ERROR}"
  constraints:
    - {{metric: "{FOUND}", at_least: 0.0}}
  pilot: "{SHARE}"
measure:
  own: ["{SHARE}"]
pruning: {{metric: "{FOUND}:maximize", pruner: none}}
sampler: {{sampler: random}}
budget: {{trials: 2, epochs: 4}}
resources: {{runner: inline}}
"""
METRICS = """
class PixelError:
    direction = "minimize"
    def __call__(self, images):
        wrong = known = 0
        for truth, prediction in images:
            wrong += int(((truth != prediction) & (truth != 255)).sum())
            known += int((truth != 255).sum())
        return wrong / known

def found(images):
    pairs = list(images)
    hits = sum(int(((truth == 1) & (prediction == 1)).sum()) for truth, prediction in pairs)
    return hits / max(sum(int((truth == 1).sum()) for truth, _ in pairs), 1)

def share(images):
    pairs = list(images)
    return sum(int((prediction == 1).sum()) for _, prediction in pairs) / sum(p.size for _, p in pairs)
"""


@pytest.fixture(autouse=True)
def _metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{MODULE}.py").write_text(METRICS)
    sys.modules.pop(MODULE, None)
    monkeypatch.syspath_prepend(tmp_path)


def read(tmp_path: Path, *changes: tuple[str, str]) -> SweepSpec:
    text = SWEEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return SweepSpec.read(parse_yaml(text, "sweep.yaml"), tmp_path)


def test_whatever_a_file_names_is_measured_and_has_its_direction(tmp_path: Path) -> None:
    spec = read(tmp_path)
    assert template_of(spec).measure.own == (ERROR, FOUND, SHARE)
    assert spec.objective.directions == ("minimize",)
    assert spec.pruning.metric == FOUND


def test_every_wrong_path_is_told_with_its_key_and_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(
            tmp_path,
            (f'until: {{metric: "{FOUND}"', f'until: {{metric: "{MODULE}:fond"'),
            (f'  metric: "{ERROR}"', f'  metric: "{MODULE}:PixelError"'),
            (f'    - {{metric: "{FOUND}"', '    - {metric: "nowhere_at_all:found"'),
            (f'own: ["{SHARE}"]', f'own: ["{MODULE}:shares"]'),
        )
    told = {problem.key: (problem.line, str(problem)) for problem in raised.value.problems}
    assert {key: line for key, (line, _) in told.items()} == {
        "measure.own[0]": 18,
        "objective.metric": 13,
        "objective.constraints[0].metric": 15,
        "space.phases[0].until.metric": 10,
    }
    assert "did you mean 'share'?" in told["measure.own[0]"][1]
    assert f"name it {ERROR}" in told["objective.metric"][1]
    assert "there is no module 'nowhere_at_all'" in told["objective.constraints[0].metric"][1]


def test_a_path_that_is_none_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, (f'  metric: "{ERROR}"', f'  metric: "{FOUND}/vehicle"'))
    (problem,) = raised.value.problems
    assert (problem.line, problem.key) == (13, "objective.metric")
    assert "one's own metric is of all classes" in problem.message


def test_it_is_computed_before_any_training(tmp_path: Path) -> None:
    spec = read(tmp_path)
    broken = METRICS.replace("return wrong / known", "return wrong / 0")
    (tmp_path / f"{MODULE}.py").write_text(broken)
    sys.modules.pop(MODULE)
    with pytest.raises(UserError) as raised:
        segmentation(spec, Workspace.at(tmp_path / "runs"))
    (problem,) = raised.value.problems
    assert problem.key == "objective.metric"
    assert "computing it raised ZeroDivisionError" in problem.message


def test_a_schedules_line_names_it() -> None:
    line = f'jaccard @1e-3 until "{ERROR}"<=0.25 in 1..3 back >0.5 -> dice @1e-4 x2'
    schedule = LossSchedule.parse(line)
    assert LossSchedule.parse(str(schedule)) == schedule
    assert schedule.metrics == {ERROR}


@pytest.mark.slow
def test_a_sweep_is_steered_by_it(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "runs")
    history = run_sweep(read(tmp_path), workspace, (), on_signal=False)
    assert [trial.outcome for trial in history.trials] == [OutcomeKind.COMPLETED] * 2
    assert (history.metric, history.direction) == (ERROR, "minimize")
    for trial in history.trials:
        ends = [e for e in trial.evaluations if e.cycle_ended or e.finished]
        assert trial.score == min(e.metrics[ERROR] for e in ends)
        assert all({ERROR, FOUND, SHARE, *FIGURES} <= e.metrics.keys() for e in trial.evaluations)
        for e in trial.evaluations:
            assert e.metrics[FOUND] == pytest.approx(e.metrics["tuned_recall"], abs=1e-12)
    winner = history.winner()
    assert winner is not None
    assert winner.score == min(trial.score or 0.0 for trial in history.trials)
    assert export_best(history).provenance["scores"][ERROR] == pytest.approx(winner.score, abs=1e-6)


@pytest.mark.slow
def test_what_fails_later_fails_the_trial_by_name(tmp_path: Path) -> None:
    spec = read(tmp_path)
    later = METRICS.replace(
        "return wrong / known", "return wrong / known if known == 2 * 63 * 64 else float('nan')"
    )
    (tmp_path / f"{MODULE}.py").write_text(later)
    sys.modules.pop(MODULE)
    with pytest.raises(Exception, match="its value is nan"):
        run_sweep(spec, Workspace.at(tmp_path / "runs"), (), on_signal=False)
    ledger = Ledger(Workspace.at(tmp_path / "runs").database_url)
    history = ledger.history("own")
    ledger.close()
    assert {trial.outcome for trial in history.trials} == {OutcomeKind.FAILED}
    assert all(ERROR in trial.reason for trial in history.trials)
