"""A tree in numbers: what each stage holds, and how its columns vary together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bondwork.uncertainty.tree import ScenarioTree

#: Columns of a stage up to which all correlations are told.
MOST_CORRELATED = 30


def describe_tree(tree: ScenarioTree) -> dict[str, Any]:
    """Describe a tree as a JSON document: stages, nodes, probabilities, and the columns of each stage.

    Means and standard deviations are those of the tree's own law, correlations those of two columns of one
    stage; columns that do not vary have none, and a stage of more than `MOST_CORRELATED` columns tells none.

    Examples
    --------
    >>> from bondwork.uncertainty.tree import ScenarioTree
    >>> found = describe_tree(ScenarioTree.from_fan([[2.0, 1.0], [6.0, 5.0]], names=["demand", "price"]))
    >>> found["stages"][1]["columns"]["demand"]["mean"], found["stages"][1]["correlation"][0]["value"]
    (4.0, 1.0)
    """
    leaves = tree.probability[tree.leaves]
    stages = []
    for stage, values in enumerate(tree.values):
        weight = tree.probability[tree.nodes(stage)]
        children = (
            np.bincount(tree.parent[tree.nodes(stage)] - tree.nodes(stage - 1).start) if stage else None
        )
        mean = weight @ values
        spread = np.sqrt(weight @ (values - mean) ** 2)
        names = tree.names[stage]
        columns = {
            name: {
                "mean": float(mean[k] + 0.0),
                "sd": float(spread[k]),
                "low": float(values[:, k].min() + 0.0),
                "high": float(values[:, k].max() + 0.0),
            }
            for k, name in enumerate(names)
        }
        pairs = []
        if len(names) <= MOST_CORRELATED:
            centred = values - mean
            covariance = (centred * weight[:, None]).T @ centred
            pairs = [
                {
                    "between": [names[i], names[j]],
                    "value": float(np.clip(covariance[i, j] / (spread[i] * spread[j]), -1.0, 1.0)),
                }
                for i in range(len(names))
                for j in range(i + 1, len(names))
                if spread[i] > 0.0 and spread[j] > 0.0
            ]
        stages.append(
            {
                "stage": stage,
                "nodes": len(values),
                "least_children": None if children is None else int(children.min()),
                "most_children": None if children is None else int(children.max()),
                "columns": columns,
                "correlation": pairs,
            }
        )
    return {
        "nodes": len(tree),
        "scenarios": len(leaves),
        "least_probability": float(leaves.min()),
        "largest_probability": float(leaves.max()),
        "stages": stages,
        "sha256": tree.sha256,
    }
