"""What is asked: one round, checked at the boundary, as arrays behind it."""
