"""Absolute rules that end a diverging trial, a file per rule, each with its evidence. No torch here."""

from lossweep.trainers.guards.watch import Guards, build_guards

__all__ = ["Guards", "build_guards"]
