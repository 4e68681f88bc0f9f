"""Pure statistics on arrays: aggregation, agreement, intervals, bias, calibration. No Django, no clock."""

from curation.stats.aggregation import Aggregate, dawid_skene, entropy, majority, plurality
from curation.stats.agreement import krippendorff_alpha, pairwise_agreement
from curation.stats.bias import SideBias, side_bias
from curation.stats.calibration import Calibration, ece
from curation.stats.intervals import Estimate, bootstrap_ratio, wilson, wilson_bounds
from curation.stats.votes import CLASSES, TIE, A, B, Combined, K, Reading, Votes, combine_readings

__all__ = [
    "CLASSES",
    "TIE",
    "A",
    "Aggregate",
    "B",
    "Calibration",
    "Combined",
    "Estimate",
    "K",
    "Reading",
    "SideBias",
    "Votes",
    "bootstrap_ratio",
    "combine_readings",
    "dawid_skene",
    "ece",
    "entropy",
    "krippendorff_alpha",
    "majority",
    "pairwise_agreement",
    "plurality",
    "side_bias",
    "wilson",
    "wilson_bounds",
]
