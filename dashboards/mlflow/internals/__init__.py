"""All that lossweep takes from MLflow without MLflow's having promised it; a test names each that changes."""
