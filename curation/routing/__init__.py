"""Routing: which open comparisons people should judge, under a budget, and why. Pure numpy."""

from curation.routing.features import FEATURES, Feature, Features, Item, extract
from curation.routing.gain import GainModel
from curation.routing.overlap import Evidence, Source
from curation.routing.policies import (
    PERSON,
    POLICIES,
    Decision,
    Policy,
    Selector,
    expected_error,
    selector,
    uncertainty,
)
from curation.routing.simulation import Point, simulate

__all__ = [
    "FEATURES",
    "PERSON",
    "POLICIES",
    "Decision",
    "Evidence",
    "Feature",
    "Features",
    "GainModel",
    "Item",
    "Point",
    "Policy",
    "Selector",
    "Source",
    "expected_error",
    "extract",
    "selector",
    "simulate",
    "uncertainty",
]
