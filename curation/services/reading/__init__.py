"""What pages show: each function answers one page with small frozen records, in a number of queries that no data changes.

Callers have checked the permission: a function takes the project and starts every query from it.
"""
