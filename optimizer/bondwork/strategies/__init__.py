"""How to decide: one strategy per file."""
