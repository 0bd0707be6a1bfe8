"""What other policies would have earned: logs played again, and a market to try them on."""
