"""The only door to HiGHS: a program goes in, why it stopped and what it holds come out.

No other part of the project imports highspy (a test sees to it), so that what is true of one version or
another, of its threads, its clock, its output and its words, is known in one place.

`bondwork.solver.solving` solves a program or its relaxation; `bondwork.solver.live` keeps a linear program
between solves; `bondwork.solver.files` reads what mpi-sppy is handed.
"""
