"""The pages of annotate: a module for each."""
