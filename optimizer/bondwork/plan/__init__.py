"""What is decided: the plan, its explanation and its independent check."""
