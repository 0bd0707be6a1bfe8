"""Features of a round with each other: all pairs, and triples by seed, against brute force over all policies.

What is here
------------
`definitions.md`  what features mean together
`records`   a round's JSON document as plain records in exact fractions
`laws`      probabilities of outcomes: closed forms, or tables that are handed over as data
`rooms`     what holds at one node: collateral, stake, capacity, time, expected losses
`moments`   what a second stage may do; load curves
`tails`     losses of whole paths and the limits on them
`oracle`    the best value of all policies that use observed outcomes of what was chosen
`features`  features, each a function that puts itself into a tiny round so that it binds
`refused`   the one table of what a solve refuses today
`judging`   a round with some features solved and compared

Nothing but `judging` imports the package; it hands scenarios over where a round is solved on a sample. The
definitions are those of docs/model.md, recourse.md, replicas.md, risk.md, load.md and horizon.md, and what
they mean together.

How to run one pair or triple
-----------------------------
As a test, by the names of the features in any order:

    pytest tests/composition -k "periods and replicas"

By hand, from `tests`:

    from composition.judging import judge, round_of
    judge(("periods", "replicas"), seed=3)     # AssertionError with the document where they disagree
    document = round_of(("periods", "replicas"), seed=3)

and for a document of one's own `composition.oracle.best_value(document)`.

Whoever makes a refused pair work takes its entry out of `refused.REFUSED`; every pair and triple that was
refused by it is then solved and compared. A refusal that is in no entry fails, and so does an entry of which
the round is not refused any more.

What the oracle is
------------------
A policy decides at every moment (now, its second stage, each period, its second stage) by what was seen of
what it chose. Values are worked out backwards. What ties nodes together, the measures of tails, becomes a sum
over leaves once a threshold is fixed: CVaR is the least over t of t + E[max(L - t, 0)] / (1 - level), so a
limit on it holds exactly if for one of finitely many t a sum over leaves is small enough. So a node is worth
a set of pairs (value, sums), of which none is as good as another in all; at the root the best within all
limits is taken.
"""
