"""The market between operators and coprocessors: load incentives, and what else moves prices."""
