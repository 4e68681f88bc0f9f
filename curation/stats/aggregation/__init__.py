"""From votes to a consensus: one contract, many models of how raters err (see `methods`)."""

from curation.stats.aggregation.contract import Aggregate, Aggregator, entropy, posterior_of, update_one
from curation.stats.aggregation.counting import majority, plurality
from curation.stats.aggregation.dawid_skene import dawid_skene
from curation.stats.aggregation.methods import METHODS, Method, aggregate

__all__ = [
    "METHODS",
    "Aggregate",
    "Aggregator",
    "Method",
    "aggregate",
    "dawid_skene",
    "entropy",
    "majority",
    "plurality",
    "posterior_of",
    "update_one",
]
