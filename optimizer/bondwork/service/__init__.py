"""bondwork over HTTP: solve, verify, compare and jobs, each in a process of its own."""
