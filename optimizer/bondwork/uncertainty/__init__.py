"""What may happen: laws, dependence, sampling, scenario trees, reduction and distances (MODEL 3).

The public names of the room; each is loaded when it is first used.

>>> from bondwork.uncertainty import Lognormal, reduce_tree, sample_fan
>>> reduce_tree(sample_fan({"price": Lognormal(10.0, 0.3)}, 64, seed=0), branching=[4]).tree.stages
2
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bondwork.uncertainty.bootstrap import with_history as with_history
    from bondwork.uncertainty.counts import NegativeBinomial as NegativeBinomial
    from bondwork.uncertainty.counts import Outage as Outage
    from bondwork.uncertainty.counts import Poisson as Poisson
    from bondwork.uncertainty.counts import WorkOverrun as WorkOverrun
    from bondwork.uncertainty.dependence import Dependence as Dependence
    from bondwork.uncertainty.distance import nested_distance as nested_distance
    from bondwork.uncertainty.distance import tree_wasserstein as tree_wasserstein
    from bondwork.uncertainty.distance import wasserstein as wasserstein
    from bondwork.uncertainty.distance import wasserstein_to_law as wasserstein_to_law
    from bondwork.uncertainty.history import OutcomeHistory as OutcomeHistory
    from bondwork.uncertainty.history import read_history as read_history
    from bondwork.uncertainty.law_json import law_from_json as law_from_json
    from bondwork.uncertainty.law_json import law_to_json as law_to_json
    from bondwork.uncertainty.laws import Beta as Beta
    from bondwork.uncertainty.laws import Bootstrap as Bootstrap
    from bondwork.uncertainty.laws import Constant as Constant
    from bondwork.uncertainty.laws import Law as Law
    from bondwork.uncertainty.laws import Lognormal as Lognormal
    from bondwork.uncertainty.laws import Normal as Normal
    from bondwork.uncertainty.laws import Uniform as Uniform
    from bondwork.uncertainty.laws import Values as Values
    from bondwork.uncertainty.outcomes import OutcomeLaw as OutcomeLaw
    from bondwork.uncertainty.outcomes import OutcomeSample as OutcomeSample
    from bondwork.uncertainty.overruns import sample_loads as sample_loads
    from bondwork.uncertainty.points import uniforms as uniforms
    from bondwork.uncertainty.quantizer import quantize as quantize
    from bondwork.uncertainty.reduction import redistribute as redistribute
    from bondwork.uncertainty.reduction import reduce_scenarios as reduce_scenarios
    from bondwork.uncertainty.sampling import RoundSample as RoundSample
    from bondwork.uncertainty.sampling import sample_outcomes as sample_outcomes
    from bondwork.uncertainty.sampling import sample_round as sample_round
    from bondwork.uncertainty.tree import ScenarioTree as ScenarioTree
    from bondwork.uncertainty.tree import TreeError as TreeError
    from bondwork.uncertainty.tree_io import read_tree as read_tree
    from bondwork.uncertainty.tree_io import write_tree as write_tree
    from bondwork.uncertainty.tree_making import make_tree as make_tree
    from bondwork.uncertainty.tree_making import tree_of_round as tree_of_round
    from bondwork.uncertainty.tree_reduction import reduce_paths as reduce_paths
    from bondwork.uncertainty.tree_reduction import reduce_tree as reduce_tree
    from bondwork.uncertainty.tree_sampling import sample_fan as sample_fan
    from bondwork.uncertainty.tree_sampling import sample_tree as sample_tree
    from bondwork.uncertainty.tree_statistics import describe_tree as describe_tree
    from bondwork.uncertainty.tree_text import draw_tree as draw_tree
    from bondwork.uncertainty.tree_text import summarize_tree as summarize_tree

#: Public names by the module that they live in.
_NAMES = {
    "bootstrap": ("with_history",),
    "counts": ("NegativeBinomial", "Outage", "Poisson", "WorkOverrun"),
    "dependence": ("Dependence",),
    "distance": ("nested_distance", "tree_wasserstein", "wasserstein", "wasserstein_to_law"),
    "history": ("OutcomeHistory", "read_history"),
    "law_json": ("law_from_json", "law_to_json"),
    "laws": ("Beta", "Bootstrap", "Constant", "Law", "Lognormal", "Normal", "Uniform", "Values"),
    "outcomes": ("OutcomeLaw", "OutcomeSample"),
    "overruns": ("sample_loads",),
    "points": ("uniforms",),
    "quantizer": ("quantize",),
    "reduction": ("reduce_scenarios", "redistribute"),
    "sampling": ("RoundSample", "sample_outcomes", "sample_round"),
    "tree": ("ScenarioTree", "TreeError"),
    "tree_io": ("read_tree", "write_tree"),
    "tree_making": ("make_tree", "tree_of_round"),
    "tree_reduction": ("reduce_paths", "reduce_tree"),
    "tree_sampling": ("sample_fan", "sample_tree"),
    "tree_statistics": ("describe_tree",),
    "tree_text": ("draw_tree", "summarize_tree"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
