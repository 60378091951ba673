"""Whole sweeps without training: made-up learning curves and planted faults through the real conductor."""
