"""What it may cost: risk measures of the loss, one per file."""
