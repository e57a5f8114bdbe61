"""Several processes as one service: a supervisor owns the ports, workers take the callbacks in."""
