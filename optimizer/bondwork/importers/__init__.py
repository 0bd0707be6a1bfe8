"""Foreign files in, rounds out."""
