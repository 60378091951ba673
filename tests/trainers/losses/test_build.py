"""Building losses from data: weights, names, imported losses, and what users get wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import (
    KNOWN_TERMS,
    Compound,
    CrossEntropy,
    EffectiveNumberWeights,
    Focal,
    FrequencyWeights,
    ImportedLoss,
    Jaccard,
    WeightedCrossEntropy,
    WeightedTerm,
)
from lossweep.trainers.losses import build_loss, check_importable, class_weights, rehearse
from lossweep.trainers.losses.term import build_term

FIVE = ClassPrior(names=("a", "b", "c", "d", "e"), frequencies=(0.5, 0.25, 0.2, 0.05, 0.0))


def test_frequency_weights_are_relative_to_the_commonest_class():
    weights = class_weights(FrequencyWeights(power=1.0, cap=8.0), FIVE)
    torch.testing.assert_close(weights, torch.tensor([1.0, 2.0, 2.5, 8.0, 1.0]).double())
    root = class_weights(FrequencyWeights(power=0.5), FIVE)
    torch.testing.assert_close(root[:4], torch.tensor([1.0, 2.0, 2.5, 10.0]).double().sqrt())
    assert (class_weights(FrequencyWeights(power=0.0), FIVE) == 1).all()


def test_effective_number_weights_run_from_equal_to_inverse_frequency():
    assert (class_weights(EffectiveNumberWeights(beta=0.0), FIVE) == 1).all()
    nearly = class_weights(EffectiveNumberWeights(beta=1 - 1e-9), FIVE)
    torch.testing.assert_close(nearly[:4], torch.tensor([1.0, 2.0, 2.5, 10.0]).double(), rtol=1e-6, atol=0)
    # n = 10, 5, 4, 1 pixels of the rarest class's size (Cui et al., eq. 4).
    half = class_weights(EffectiveNumberWeights(beta=0.5, cap=1.9), FIVE)
    expected = (1 - 0.5**10) / torch.tensor([1 - 0.5**10, 1 - 0.5**5, 1 - 0.5**4, 0.5])
    torch.testing.assert_close(half[:4], expected.clamp(max=1.9).double())


@pytest.mark.parametrize("rule", [FrequencyWeights(power=2.0), EffectiveNumberWeights(beta=0.99)])
def test_a_class_that_never_occurs_weighs_1(rule):
    assert class_weights(rule, FIVE)[4] == 1
    never = ClassPrior(names=("a", "b"), frequencies=(0.0, 0.0))
    assert (class_weights(rule, never) == 1).all()


def test_given_weights_must_fit_the_classes(two):
    assert class_weights((1.0, 4.0), two).tolist() == [1.0, 4.0]
    with pytest.raises(UserError, match=r"one weight a class.*3 weights.*2 weights, for background, vehicle"):
        build_loss(WeightedCrossEntropy(weights=(1.0, 2.0, 3.0)), two)
    with pytest.raises(UserError, match="one weight a class"):
        build_loss(Focal(weights=(1.0, 2.0, 3.0)), two)


def test_a_class_of_weight_0_counts_nowhere(four):
    logits, target = torch.randn(1, 4, 3, 3), torch.full((1, 3, 3), 3)
    loss = build_loss(WeightedCrossEntropy(weights=(1.0, 1.0, 1.0, 0.0)), four)
    assert loss(logits.requires_grad_(), target) == 0
    loss(logits, target).backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("weights", [(1e4, 1e-3), (1e-3, 1e4)])
def test_very_different_weights_keep_their_digits(two, weights):
    logits = torch.linspace(-2, 2, 8).view(1, 1, 2, 4)
    for label in (0, 1):
        target = torch.full((1, 2, 4), label)
        weighted = build_loss(Focal(gamma=0.5, weights=weights), two)(logits, target)
        torch.testing.assert_close(weighted, build_loss(Focal(gamma=0.5), two)(logits, target))


def test_parts_are_named_weighted_and_sum_to_the_loss(two):
    parts = (
        WeightedTerm(weight=2.0, loss=Focal(gamma=1.0)),
        WeightedTerm(loss=Focal(gamma=3.0)),
        WeightedTerm(weight=0.5, loss=Jaccard()),
    )
    loss = build_loss(Compound(sum=parts), two)
    logits, target = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4))
    named = loss.parts(logits, target)
    assert list(named) == ["focal", "focal#2", "jaccard"]
    torch.testing.assert_close(loss(logits, target), sum(named.values()))
    torch.testing.assert_close(named["jaccard"], 0.5 * build_loss(Jaccard(), two)(logits, target))
    assert list(build_loss(Jaccard(), two).parts(logits, target)) == ["jaccard"]


def test_it_computes_in_float32_under_autocast(two):
    logits, target = 30 * torch.randn(1, 1, 16, 16), torch.randint(0, 2, (1, 16, 16))
    loss = build_loss(Compound(sum=(WeightedTerm(loss=CrossEntropy()), WeightedTerm(loss=Jaccard()))), two)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(logits, target)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(logits, target), rtol=0, atol=0)


def test_shapes_that_do_not_fit_are_refused(two, four):
    with pytest.raises(ValueError, match=r"1 channel\(s\), but got 4"):
        build_loss(Jaccard(), two)(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"target \(N, H, W\)"):
        build_loss(Jaccard(), four)(torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2))


def test_no_loss_has_state_to_save(four):
    loss = build_loss(WeightedCrossEntropy(weights=FrequencyWeights(power=0.5)), four)
    assert not loss.state_dict()
    assert not list(loss.parameters())


USERS = """
import torch
from torch import nn

class Brier(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
    def forward(self, logits, target):
        labelled = target != 255
        return self.scale * ((logits[:, 0].sigmoid() - target.clamp(max=1)) ** 2)[labelled].mean()

def factory(power):
    return lambda logits, target: (logits[:, 0] ** power).mean()

def not_scalar():
    return lambda logits, target: logits

def a_number():
    return lambda logits, target: 0.5

def detached():
    return lambda logits, target: logits.detach().mean()

def blind():
    constant = torch.ones((), requires_grad=True)
    return lambda logits, target: constant * 2

def takes_255_for_a_class():
    return lambda logits, target: torch.nn.functional.one_hot(target, 2).float().mean() * logits.mean()

def infinite():
    return lambda logits, target: logits.log().mean()

def raises():
    raise RuntimeError("built on a Sunday")

def several_images():
    def loss(logits, target):
        if len(logits) == 1:
            raise IndexError("of a single image")
        return logits.square().mean()
    return loss

def nothing():
    return None

NUMBER = 3
"""


@pytest.fixture
def users(tmp_path, monkeypatch):
    (tmp_path / "losses_of_a_user.py").write_text(USERS)
    (tmp_path / "broken_losses.py").write_text("raise RuntimeError('no such device')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "losses_of_a_user"


def test_an_imported_loss_is_called_with_logits_and_target(two, users):
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 3, 3), torch.randint(0, 2, (2, 3, 3))
    target[0, 0] = 255
    imported = ImportedLoss(term=f"{users}:Brier", parameters={"scale": 2.0})
    loss = build_loss(imported, two)
    kept = target != 255
    expected = 2 * ((logits[:, 0].sigmoid() - target.clamp(max=1)) ** 2)[kept].mean()
    torch.testing.assert_close(loss(logits.bfloat16().float(), target.byte()), expected, rtol=0.05, atol=0.01)
    torch.testing.assert_close(loss(logits, target), expected)
    assert any(
        isinstance(module, nn.Module) and type(module).__name__ == "Brier" for module in loss.modules()
    )
    compound = Compound(sum=(WeightedTerm(loss=Jaccard()), WeightedTerm(weight=3.0, loss=imported)))
    named = build_loss(compound, two).parts(logits, target)
    torch.testing.assert_close(named[f"{users}:Brier"], 3 * expected)


def test_a_factory_may_return_any_callable(two, users):
    loss = build_loss(ImportedLoss(term=f"{users}:factory", parameters={"power": 2}), two)
    logits: Tensor = torch.full((1, 1, 2, 2), 3.0)
    assert loss(logits, torch.zeros(1, 2, 2)) == 9


@pytest.mark.parametrize(
    ("term", "parameters", "message"),
    [
        ("no_such_module:Loss", {}, r"there is no module 'no_such_module'.*PYTHONPATH"),
        ("broken_losses:Loss", {}, r"importing broken_losses raised RuntimeError: no such device"),
        ("losses_of_a_user:Brie", {}, r"has no 'Brie'.*did you mean 'Brier'\?"),
        ("losses_of_a_user:NUMBER", {}, r"can't be called.*found int"),
        (
            "losses_of_a_user:Brier",
            {"scales": 2},
            r"unexpected keyword.*'scales'.*found scales; allowed: scale",
        ),
        ("losses_of_a_user:factory", {}, r"missing a required argument: 'power'.*allowed: power"),
    ],
)
def test_what_is_wrong_with_an_imported_loss_is_told(two, users, term, parameters, message):
    loss = ImportedLoss(term=term, parameters=parameters)
    (problem,) = check_importable(loss)
    with pytest.raises(UserError, match=message) as caught:
        build_loss(loss, two)
    assert caught.value.problems == (problem,)


def test_a_sound_imported_loss_has_no_problems(users):
    assert check_importable(ImportedLoss(term=f"{users}:Brier", parameters={"scale": 1.0})) == []


def test_an_imported_loss_must_be_callable_and_give_a_scalar(two, users):
    with pytest.raises(UserError, match="did not return a loss; found NoneType"):
        build_loss(ImportedLoss(term=f"{users}:nothing"), two)
    for name, got in (("not_scalar", r"\(1, 1, 2, 2\)"), ("a_number", "float")):
        loss = build_loss(ImportedLoss(term=f"{users}:{name}"), two)
        with pytest.raises(UserError, match=f"must return a scalar tensor, but got {got}"):
            loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Brie", "has no 'Brie'"),
        ("nothing", "did not return a loss"),
        ("not_scalar", "must return a scalar"),
        ("a_number", "but got float"),
        ("detached", "its value has no gradient"),
        ("blind", "does not depend on the logits"),
        ("takes_255_for_a_class", "raised RuntimeError: Class values must be smaller than num_classes"),
        ("infinite", "not finite"),
        ("raises", "raised RuntimeError: built on a Sunday"),
    ],
)
def test_a_rehearsal_tells_what_computing_would(two, users, name, message):
    (problem,) = rehearse(ImportedLoss(term=f"{users}:{name}"), two)
    assert message in problem.message
    assert problem.key == "term"


def test_a_loss_is_rehearsed_on_every_size_of_pass(two, users):
    several = ImportedLoss(term=f"{users}:several_images")
    assert rehearse(several, two, passes=(4, 2)) == []
    (problem,) = rehearse(several, two, passes=(4, 1))
    assert problem.message == (
        "computing it raised IndexError: of a single image (on 1 crop a pass, as when memory is short)"
    )


def test_a_sound_loss_passes_its_rehearsal(two, four, users):
    assert rehearse(ImportedLoss(term=f"{users}:Brier"), two) == []
    assert rehearse(ImportedLoss(term=f"{users}:factory", parameters={"power": 2}), four) == []


@pytest.mark.parametrize("term", [*KNOWN_TERMS, ImportedLoss])
def test_every_term_has_what_builds_it(term: type) -> None:
    assert build_term.dispatch(term) is not build_term.dispatch(object)


def test_a_term_that_nothing_builds_is_named() -> None:
    class Unbuilt:
        pass

    with pytest.raises(TypeError, match="builds Unbuilt"):
        build_term(Unbuilt(), ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1)))
