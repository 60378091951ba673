"""Which schedule next, and where it runs: the conductor over one Optuna study, the ledger and the runners."""
