"""The fleet: pools, workers, scaling policies and decisions, the control loop and its runtimes."""
