"""Absolute rules that end a diverging trial, each with its evidence. No torch here."""

from lossweep.trainers.guards.rule import Evidence, Rehearsal, Rule, Step
from lossweep.trainers.guards.watch import Guards, build_guards

__all__ = ["Evidence", "Guards", "Rehearsal", "Rule", "Step", "build_guards"]
