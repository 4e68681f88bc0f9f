"""What pages show: each function answers one page with small records, in as many queries for many rows as for few.

Callers have checked the permission: a function takes the project and starts every query from it.
"""
