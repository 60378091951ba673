"""The service: sweeps as jobs of a Ray cluster, from a client that has its address alone."""
