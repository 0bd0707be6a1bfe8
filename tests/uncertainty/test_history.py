import numpy as np
import pytest

from bondwork.uncertainty.history import OutcomeHistory, read_history
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.sampling import sample_outcomes


def write(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_history_file_becomes_rates_by_name(tmp_path):
    rows = ["1,cp-1,4,1", "1,cp-2,1,0", "2,cp-1,1,1", "2,cp-1,3,0", "3,cp-2,2,2"]
    history = read_history(write(tmp_path, "\n".join(["round,executor,done,failed", *rows, ""])))
    assert history.done.tolist() == [[4, 1], [4, 0], [0, 2]]
    # A round without work counts with the mean of the others.
    assert history.rates(["cp-2", "cp-1"]).tolist() == [[0.0, 0.25], [0.5, 0.25], [1.0, 0.25]]


def test_executors_without_history_are_refused_or_independent_as_asked():
    history = OutcomeHistory.from_rows([("1", "cp-1", 2, 2), ("2", "cp-1", 2, 0)])
    with pytest.raises(ValueError, match="nothing of cp-2, op-1"):
        history.rates(["op-1", "cp-1", "cp-2"])
    rates = history.rates(["cp-1", "op-1"], missing="independent")
    law = OutcomeLaw.of([0, 0, 1, 1], 0.7)
    table = sample_outcomes(law, 40_000, seed=0, method="bootstrap", history=rates).dense()
    assert np.mean(table[:, 0] & table[:, 1]) == pytest.approx(0.3**2 * 2, abs=0.01)
    assert np.mean(table[:, 2] & table[:, 3]) == pytest.approx(0.3**2, abs=0.01)
    with pytest.raises(ValueError, match="'ignore', expected"):
        history.rates(["cp-1"], missing="ignore")


def test_all_faults_of_a_file_are_listed_with_their_lines(tmp_path):
    path = write(tmp_path, "round,executor,done,failed\n1,cp-1,4,5\n1,cp-1\n\n2,cp-1,-1,0\n2,cp-1,3,1\n")
    with pytest.raises(ValueError, match=r"(?s)line 2: .*line 3: found 2 fields.*line 5: "):
        read_history(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'line 1: found ""'),
        ("a,b\n", 'line 1: found "a,b"'),
        ("round,executor,done,failed\n", "no rows"),
        ("round,executor,done,failed\n1,cp,3,1\n", "1 round, expected at least 2"),
        ("round,executor,done,failed\n,cp,3,1\n2,,3,1\n", "(?s)line 2: found an empty round.*empty executor"),
        ('{"format": "bondwork.history/2", "outcomes": []}', r"(?s)\$.format: .*\$.outcomes: "),
        (
            '{"format": "bondwork.history/1", "outcomes": '
            '[{"round": "1", "executor": "a", "done": 1, "failed": 2}, '
            '{"round": "1", "executor": "a", "done": 1, "failed": 3}]}',
            r"(?s)outcomes\[0\].failed.*outcomes\[1\].failed",
        ),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_history(write(tmp_path, text))


def test_impossible_histories_are_refused():
    with pytest.raises(ValueError, match="between 0 and done"):
        OutcomeHistory(("a",), np.array([[1]]), np.array([[2]]))
    with pytest.raises(ValueError, match="expected \\(rounds, executors\\)"):
        OutcomeHistory(("a",), np.array([[1]]), np.array([1]))
    with pytest.raises(ValueError, match="at least one round"):
        OutcomeHistory((), np.zeros((0, 0), dtype=int), np.zeros((0, 0), dtype=int))
