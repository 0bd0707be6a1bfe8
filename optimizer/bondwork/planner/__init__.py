"""The road held open over many rounds, inside someone else's program: `bondwork.Planner`."""
