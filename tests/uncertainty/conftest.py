import numpy as np
import pytest

from bondwork.problem.instance import (
    Claims,
    Commitments,
    Coprocessors,
    Instance,
    Offers,
    Operators,
    Tasks,
    Uncertainty,
)


@pytest.fixture
def round_instance():
    """Two operators, two coprocessors, three tasks; one self-execution, one commitment, one uncertain p."""
    inf = np.inf
    return Instance(
        name="small",
        currency="unit",
        decimals=6,
        now=0.0,
        resources=(),
        operators=Operators(("op-1", "op-2"), np.full(2, inf), np.zeros((2, 0))),
        coprocessors=Coprocessors(
            ids=("cp-1", "cp-2"),
            capacity=np.zeros((2, 0)),
            free_collateral=np.full(2, inf),
            outage_probability=np.array([0.1, 0.0]),
            serial=np.zeros(2, dtype=bool),
            free_at=np.zeros(2),
            load_curve=(None, None),
        ),
        tasks=Tasks(
            ids=("t-1", "t-2", "t-0"),
            minimum_collateral=np.zeros(3),
            deadline=np.full(3, inf),
            required=np.zeros(3, dtype=bool),
            unassigned_cost=np.zeros(3),
            replicas=np.ones(3, dtype=np.int64),
            quorum=np.ones(3, dtype=np.int64),
        ),
        claims=Claims(
            np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([12.0, 5.0, 9.0]), np.array([30.0, 8.0, 10.0])
        ),
        offers=Offers(
            ids=("t-1/cp-1", "t-1/cp-2", "t-2/op-2"),
            task=np.array([0, 0, 1]),
            operator=np.array([0, 0, 1]),
            claim=np.array([0, 0, 1]),
            coprocessor=np.array([0, 1, -1]),
            stage=np.ones(3, dtype=np.int64),
            bid=np.array([5.0, 4.0, 0.6]),
            collateral=np.array([25.0, 20.0, 0.0]),
            success_probability=np.array([0.85, 0.9, 0.99]),
            concentration=np.array([inf, 40.0, inf]),
            duration=np.full(3, 600.0),
            work=np.zeros((3, 0)),
        ),
        commitments=Commitments(
            ids=("k-1",),
            task=np.array([2]),
            operator=np.array([0]),
            claim=np.array([2]),
            coprocessor=np.array([0]),
            collateral=np.array([10.0]),
            work=np.zeros((1, 0)),
            success_probability=np.array([0.8]),
            release_at=np.array([600.0]),
        ),
        uncertainty=Uncertainty(common=0.05, coprocessor=0.3, scenarios=2048, seed=5),
    )
