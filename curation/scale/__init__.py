"""Past one machine: curation by partition over the Parquet of a version, with the pure functions of one process.

A partition is a Parquet file, or some row groups of it, whose rows carry all votes of their comparisons. What a fit
needs of a partition is a table of a few numbers for each rater, so partitions stay where they are and only such tables
travel. Who calls the functions on the partitions is an `engine`: this process, or the workers of a Dask cluster.
"""

from curation.scale.engine import Dask, Engine, Here
from curation.scale.fitting import Fitted, dawid_skene
from curation.scale.partitions import Part, partitions
from curation.scale.repeating import repeating
from curation.scale.repeating_vectors import repeating_vectors
from curation.scale.scoring import curate

__all__ = [
    "Dask",
    "Engine",
    "Fitted",
    "Here",
    "Part",
    "curate",
    "dawid_skene",
    "partitions",
    "repeating",
    "repeating_vectors",
]
