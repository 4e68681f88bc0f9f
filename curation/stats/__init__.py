"""Pure statistics on arrays: aggregation, agreement, intervals, bias, calibration. No Django, no clock."""

from curation.stats.aggregation import (
    METHODS,
    Aggregate,
    aggregate,
    dawid_skene,
    entropy,
    majority,
    plurality,
    posterior_of,
    update_one,
)
from curation.stats.agreement import krippendorff_alpha, pairwise_agreement
from curation.stats.bias import SideBias, side_bias
from curation.stats.calibration import Calibration, ece
from curation.stats.intervals import Estimate, bootstrap_ratio, wilson, wilson_bounds
from curation.stats.votes import CLASSES, TIE, A, B, Combined, K, Pairs, Reading, Votes, checked_pairs, combine_readings

__all__ = [
    "CLASSES",
    "METHODS",
    "TIE",
    "A",
    "Aggregate",
    "B",
    "Calibration",
    "Combined",
    "Estimate",
    "K",
    "Pairs",
    "Reading",
    "SideBias",
    "Votes",
    "aggregate",
    "bootstrap_ratio",
    "checked_pairs",
    "combine_readings",
    "dawid_skene",
    "ece",
    "entropy",
    "krippendorff_alpha",
    "majority",
    "pairwise_agreement",
    "plurality",
    "posterior_of",
    "side_bias",
    "update_one",
    "wilson",
    "wilson_bounds",
]
