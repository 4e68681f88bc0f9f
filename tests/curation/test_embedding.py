"""An embedding run gives every text and comparison of a project its vector, once, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from annotate.models import Comparison
from curation.handlers import embedding
from curation.models import ComparisonVector, CompletionVector, Encoder, ProjectEncoder, PromptVector
from curation.services import retrieving, verbs
from models_rt import encoders
from tests.build import make_comparison, make_project, make_run
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db
D = 4


class Letters:
    """Counts of a, e, i and of everything: an encoder that a reader can follow, and that knows what it was asked."""

    fingerprint, dimension = "letters/1", D

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stop_after: int | None = None

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise RuntimeError("the machine went away")
        self.asked += texts
        rows = [[text.count("a"), text.count("e"), text.count("i"), 1 + len(text) / 8] for text in texts]
        table = np.array(rows, np.float32)
        return table / np.linalg.norm(table, axis=1, keepdims=True)

    def truncated(self, texts: Sequence[str]) -> int:
        return 0


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    made = Letters()
    monkeypatch.setattr(encoders, "load", lambda spec, **_: made)
    return made


def embed(project: Project) -> dict[str, Any]:
    result: dict[str, Any] = verbs.run_here("embed", project, {}).result
    return result


def two() -> Project:
    """Two prompts; the first has three completions in two comparisons."""
    project = make_project("p")
    make_comparison(project, "one", prompt="what is a cat", a="an animal", b="a tree")
    make_comparison(project, "two", prompt="what is a cat", a="an animal", b="i see")
    make_comparison(project, "three", prompt="why", a="because", b="see")
    return project


def test_every_text_and_every_comparison_gets_one_vector(letters: Letters) -> None:
    project = two()
    assert embed(project) == {
        "encoder": "minilm", "dimension": D, "prompts": 2, "completions": 5, "comparisons": 3,
    }  # fmt: skip
    assert sorted(letters.asked) == sorted(["what is a cat", "why", "an animal", "a tree", "i see", "because", "see"])
    assert ProjectEncoder.objects.get(project=project).encoder.fingerprint == "letters/1"


def test_a_comparisons_vector_is_the_direction_of_its_prompt_and_the_mean_of_its_completions(letters: Letters) -> None:
    project = two()
    embed(project)
    stored = ComparisonVector.objects.get(comparison__external_id="one").vector
    p, a, b = letters.encode(["what is a cat", "an animal", "a tree"])
    expected = p + (a + b) / 2
    assert stored == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)  # halves have ten bits


def test_what_has_a_vector_is_not_embedded_again(letters: Letters) -> None:
    project = two()
    embed(project)
    before = len(letters.asked)
    make_comparison(project, "four", prompt="why", a="because", b="i am")
    assert {k: v for k, v in embed(project).items() if isinstance(v, int) and k != "dimension"} == {
        "prompts": 0, "completions": 1, "comparisons": 1,
    }  # fmt: skip
    assert letters.asked[before:] == ["i am"]


def test_a_run_that_was_killed_goes_on(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BATCH", 2)
    project = two()
    letters.stop_after = 4
    with pytest.raises(RuntimeError, match="went away"):
        embed(project)
    assert not ProjectEncoder.objects.exists()  # no search among half of them
    assert CompletionVector.objects.count() == 2
    letters.stop_after = None
    embed(project)
    assert (PromptVector.objects.count(), CompletionVector.objects.count()) == (2, 5)
    assert len(letters.asked) == 7  # none twice


def test_a_worker_that_lost_its_lease_writes_nothing(letters: Letters) -> None:
    project = two()
    run = make_run(project, kind="embed", params={"encoder": "minilm"})
    execution = ledger.claim(run.pk)
    assert execution is not None
    Run.objects.filter(pk=run.pk).update(attempt=9)
    with pytest.raises(ledger.LeaseLost):
        embedding.run(execution)
    assert not PromptVector.objects.exists()


def test_a_comparison_whose_texts_were_exchanged_gets_another_vector(letters: Letters) -> None:
    project = two()
    embed(project)
    one, other = (Comparison.objects.get(external_id=name) for name in ("one", "three"))
    Comparison.objects.filter(pk=one.pk).update(
        prompt=other.prompt, completion_a=other.completion_a, completion_b=other.completion_b
    )
    assert embed(project)["comparisons"] == 1
    same = ComparisonVector.objects.filter(comparison__in=[one, other]).values_list("vector", flat=True)
    assert len({tuple(vector) for vector in same}) == 1


def test_another_encoder_stands_beside_the_first_and_takes_over_once_it_is_through(letters: Letters) -> None:
    project = two()
    embed(project)
    letters.fingerprint, letters.stop_after = "letters/2", len(letters.asked)
    with pytest.raises(RuntimeError):
        embed(project)
    assert retrieving.encoder_of(project) == Encoder.objects.get(fingerprint="letters/1")
    letters.stop_after = None
    embed(project)
    assert retrieving.encoder_of(project) == Encoder.objects.get(fingerprint="letters/2")
    assert ComparisonVector.objects.count() == 6


def test_vectors_are_read_back_in_blocks_as_they_were_stored(letters: Letters) -> None:
    project = two()
    assert list(retrieving.embedded(project)) == []
    embed(project)
    (block,) = retrieving.embedded(project)
    assert block.prompt.dtype == np.float16
    at = block.comparison.tolist().index(Comparison.objects.get(external_id="one").pk)
    expected = letters.encode(["what is a cat", "an animal", "a tree"])
    assert np.array([block.prompt[at], block.a[at], block.b[at]]) == pytest.approx(expected, abs=1e-3)
    (some,) = retrieving.embedded(project, [int(block.comparison[at])])
    assert some.comparison.tolist() == [block.comparison[at]]


@pytest.mark.django_db(transaction=True)
def test_an_index_is_made_once_there_are_many(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "INDEX_FROM", 2)
    monkeypatch.setattr(retrieving, "FEW", 0)  # and is searched
    project = two()
    embed(project)
    embed(project)
    one = Comparison.objects.get(external_id="one").pk
    names = [Comparison.objects.get(pk=s.comparison).external_id for s in retrieving.similar(project, [one], 2)]
    assert names == ["two", "three"]


@pytest.mark.django_db(transaction=True)
def test_vectors_too_wide_for_an_index_are_searched_without(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = letters.encode
    monkeypatch.setattr(letters, "encode", lambda texts, **_: np.pad(narrow(texts), ((0, 0), (0, 4_096 - D))))
    monkeypatch.setattr(letters, "dimension", 4_096, raising=False)
    monkeypatch.setattr(embedding, "INDEX_FROM", 2)
    monkeypatch.setattr(retrieving, "FEW", 0)
    project = two()
    embed(project)
    one = Comparison.objects.get(external_id="one").pk
    names = [Comparison.objects.get(pk=s.comparison).external_id for s in retrieving.similar(project, [one], 2)]
    assert names == ["two", "three"]


def test_a_project_without_texts_embeds_none(letters: Letters) -> None:
    assert embed(make_project())["comparisons"] == 0


def test_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="minilm"):
        verbs.run_here("embed", two(), {"encoder": "word2vec"})


def test_over_rest_no_folder_of_the_machine_is_an_encoder() -> None:
    with pytest.raises(Invalid, match="hub id"):
        verbs.start("embed", make_project(), {"encoder": "hf:/etc"}, by=None)


@pytest.mark.slow
def test_the_packaged_encoder_finds_what_means_the_same() -> None:
    project = make_project("p")
    texts = {
        "cat": ("How do I feed my cat?", "Give it meat.", "Give it fish."),
        "kitten": ("What should a kitten eat?", "Meat.", "Milk is bad for it."),
        "tax": ("How do I file my taxes?", "Use the form.", "Ask an accountant."),
    }
    for name, (prompt, a, b) in texts.items():
        make_comparison(project, name, prompt=prompt, a=a, b=b)
    embed(project)
    (nearest, *_) = retrieving.similar(project, [Comparison.objects.get(external_id="cat").pk], 2)
    assert Comparison.objects.get(pk=nearest.comparison).external_id == "kitten"
