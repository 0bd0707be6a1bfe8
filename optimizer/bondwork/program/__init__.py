"""The program in matrix form, its scaling, its bounds and the door to HiGHS."""
