"""Collecting judgements from people (and keeping those of judges): what is compared, who compares, what they said."""
