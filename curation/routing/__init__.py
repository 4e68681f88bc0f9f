"""Routing: which open comparisons people should judge, under a budget, and why. Pure numpy."""

from curation.routing.features import FEATURES, Feature, Features, Item, extract
from curation.routing.policies import POLICIES, Decision, Policy, Selector, expected_error, selector, uncertainty
from curation.routing.simulation import Point, simulate

__all__ = [
    "FEATURES",
    "POLICIES",
    "Decision",
    "Feature",
    "Features",
    "Item",
    "Point",
    "Policy",
    "Selector",
    "expected_error",
    "extract",
    "selector",
    "simulate",
    "uncertainty",
]
