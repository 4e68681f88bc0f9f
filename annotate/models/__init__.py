"""What is compared (prompts, completions, comparisons), who compares (raters, judges), and what they said."""

from .assignments import Assignment
from .comparisons import Comparison, Lane
from .forms import Form
from .images import Image
from .judgements import JudgeCall, Judgement
from .prompts import Completion, Prompt
from .raters import Judge, Rater
from .reviews import Adjudication, Comment, Flag, Mention, Review
from .rubrics import Criterion, Rubric
from .sessions import Session, Trial

__all__ = [
    "Adjudication",
    "Assignment",
    "Comment",
    "Comparison",
    "Completion",
    "Criterion",
    "Flag",
    "Form",
    "Image",
    "Judge",
    "JudgeCall",
    "Judgement",
    "Lane",
    "Mention",
    "Prompt",
    "Rater",
    "Review",
    "Rubric",
    "Session",
    "Trial",
]
