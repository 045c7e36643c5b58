"""Verdicts on the paper's claims follow the stated rules."""

import pytest

from experiments.claims import VERDICTS, all_claims, claims_table, inequality_claim, value_claim
from experiments.tables import ROOT

WHERE = ("Figure 0", "A claim.")


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([], "not run"), ([91.0], "reproduced"), ([91.5], "differs"), ([85.0, 95.5], "reproduced")],
)
def test_a_value_is_reproduced_if_the_mean_is_within_the_tolerance(ours, verdict):
    assert value_claim(*WHERE, 90.0, ours, 1.0, "study/preset").verdict == verdict


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [([], "not run"), ([True, True], "reproduced"), ([True, False], "differs")],
)
def test_an_inequality_is_reproduced_if_it_holds_in_every_seed(holds, verdict):
    claim = inequality_claim(*WHERE, "larger", "2 against 1", holds, "study/preset")
    assert (claim.verdict, claim.n) == (verdict, len(holds))


def test_without_records_no_claim_is_run(tmp_path):
    assert {claim.verdict for claim in all_claims(tmp_path)} == {"not run"}


def test_the_records_judge_claims_of_every_figure_and_table():
    claims = all_claims(ROOT / "experiments" / "results")
    assert len(claims_table(claims).splitlines()) == 2 + len(claims)
    assert {claim.verdict for claim in claims} == set(VERDICTS)
    parts = " ".join(claim.part for claim in claims)
    assert all(part in parts for part in ("Table 1", "Figure 3, table", *FIGURES))


FIGURES = [f"Figure {number}" for number in range(2, 7)]
