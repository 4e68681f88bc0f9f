"""What is compared (prompts, completions, comparisons), who compares (raters, judges), and what they said."""

from .assignments import Assignment
from .comparisons import Comparison
from .forms import Form
from .judgements import JudgeCall, Judgement
from .prompts import Completion, Prompt
from .raters import Judge, Rater
from .rubrics import Criterion, Rubric

__all__ = [
    "Assignment",
    "Comparison",
    "Completion",
    "Criterion",
    "Form",
    "Judge",
    "JudgeCall",
    "Judgement",
    "Prompt",
    "Rater",
    "Rubric",
]
