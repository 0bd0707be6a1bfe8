"""Plans as the files that markets' own tools take."""
