"""What every room needs and none owns: nothing here knows what a round is."""
