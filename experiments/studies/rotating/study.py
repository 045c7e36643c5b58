"""The study on rotating images."""

from experiments import _rotating_summary as summary
from experiments._rotating_claims import claims_of_contexts, claims_of_forgetting, claims_table
from experiments._rotating_figures import draw_figure_4, draw_figure_5
from experiments.rotating import PRESETS
from experiments.runner.groups import groups_of
from experiments.runner.runs import Unmoved

STUDY = Unmoved(
    "rotating",
    PRESETS,
    {
        "accuracy": lambda records: summary.table(groups_of(records)),
        "forgetting": lambda records: claims_table(claims_of_forgetting(records)),
        "contexts": lambda records: claims_table(claims_of_contexts(records)),
        "inferred": lambda records: summary.inferred_table(groups_of(records)),
    },
    {"figure-4": draw_figure_4, "figure-5": draw_figure_5},
)
