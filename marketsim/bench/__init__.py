"""Known answers: the simulator against theory, the statistics against themselves."""
