"""Tiebreak: human-preference data, from comparisons to reward models.

Nothing is imported here: `tiebreak.client` works where neither Django nor Celery is installed.
"""

__version__ = "0.1.0"
