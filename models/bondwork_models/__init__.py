"""The formulations: one model of a round in three modelling languages, one file each."""
