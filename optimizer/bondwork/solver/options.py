"""Options on their way to HiGHS: what callers may set, and every one that it refuses told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.solver.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    import highspy

    from bondwork.contracts import Options

    Value = bool | int | float | str

#: Options of HiGHS that are not for callers: they would make an answer mean something else (bounds that are
#: taken for none, costs for infinite), or write where results are written.
FORBIDDEN_OPTIONS = frozenset(
    {
        "objective_bound",
        "objective_target",
        "user_objective_scale",
        "user_bound_scale",
        "user_cost_scale",
        "infinite_bound",
        "infinite_cost",
        "large_matrix_value",
        "output_flag",
        "log_to_console",
        "log_file",
        "solution_file",
        "write_solution_to_file",
        "write_model_to_file",
        "write_model_file",
        "write_presolved_model_to_file",
        "write_presolved_model_file",
        "write_iis_model_file",
        "read_solution_file",
        "read_basis_file",
        "write_basis_file",
        "mip_improving_solution_file",
        "solve_relaxation",
    }
)

#: Presolve of HiGHS 1.13 to 1.16 drops rows that it still needs after it has enumerated the solutions of a
#: row of whole columns (HiGHS #3216): feasible programs are called infeasible, and best solutions are lost.
#: A bit of ``presolve_rule_off`` leaves that rule out.
ENUMERATION_RULE = 1 << 16

#: Largest value of options that decide which numbers of a program HiGHS drops: what a caller's scale makes of
#: the smallest numbers must stay. At ``small_matrix_value=1`` HiGHS 1.16 does not end.
LARGEST_VALUES = {"small_matrix_value": 1e-9}

_FORBIDDEN = "an option that changes neither the meaning of the answer nor where output goes"
_EXPECTED = "an option of HiGHS and a value that it takes"


def set_options(
    highs: highspy.Highs,
    own: Mapping[str, Value],
    given: Mapping[str, Value],
) -> None:
    """Set options, those that a caller gave last.

    Parameters
    ----------
    own
        Set by the project, in HiGHS's types.
    given
        By a caller, in whatever type was typed. They win over ``own``.

    Raises
    ------
    InvalidInput
        With every option that HiGHS does not know, that is not for callers, or whose value it refuses.
    """
    faults = [
        Fault(f"options.{name}", preview(given[name]), _FORBIDDEN)
        for name in given
        if name in FORBIDDEN_OPTIONS
    ]
    for name, value in own.items():
        if int(highs.setOptionValue(name, value)) != 0:
            faults.append(Fault(f"options.{name}", preview(value), _EXPECTED))
    for name, value in given.items():
        # HiGHS parses text for every type of option, but takes no whole number where it wants a fraction
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name in FORBIDDEN_OPTIONS:
            continue
        if not _takes(highs, name, text):
            faults.append(Fault(f"options.{name}", preview(value), _EXPECTED))
        elif name in LARGEST_VALUES and float(text) > LARGEST_VALUES[name]:
            expected = f"at most {LARGEST_VALUES[name]:g}: larger ones drop numbers of the program"
            faults.append(Fault(f"options.{name}", preview(value), expected))
    if faults:
        raise InvalidInput(faults)
    _, threads = highs.getOptionValue("threads")
    highs.setOptionValue("threads", thread_count(int(threads)))


def _takes(highs: highspy.Highs, name: str, text: str) -> bool:
    """Set an option; says whether HiGHS took what was meant.

    It takes whole numbers that are too large for it and makes others of them, and takes what is not a number.
    """
    if int(highs.setOptionValue(name, text)) != 0:
        return False
    _, held = highs.getOptionValue(name)
    if isinstance(held, bool | str):
        return True
    try:
        return float(text) == float(held)
    except ValueError:
        return False


def set_solve_options(highs: highspy.Highs, options: Options) -> None:
    """Set everything that `bondwork.contracts.Options` says about one solve.

    Raises
    ------
    InvalidInput
        See `set_options`.
    """
    own: dict[str, Value] = {
        "time_limit": float(max(options.time_limit, 0.0)),
        "mip_rel_gap": float(options.mip_rel_gap),
        "threads": int(options.threads),
        "random_seed": int(options.random_seed),
        "presolve_rule_off": ENUMERATION_RULE,
    }
    if options.mip_rel_gap == 0.0:
        own["mip_abs_gap"] = 0.0  # otherwise HiGHS stops at an absolute 1e-6 all the same
    set_options(highs, own, options.highs)
