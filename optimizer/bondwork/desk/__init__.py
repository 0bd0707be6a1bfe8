"""What a planner at a desk does: look at the next best plans, and bring a plan of one's own."""
