"""Many rounds, one after the other: a network of operators and coprocessors, simulated under any policy."""
