"""The embedded suite: the same everywhere, nothing of the tasks in the documents, labels as declared."""

import itertools
import re
import time

import pytest

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.micro import MAKERS, World, world
from lmcompare.micro.documents import held_out
from lmcompare.micro.lexicon import CLOSED, lexicon

NAMES = [f"micro.{name}" for name in MAKERS]


@pytest.fixture(scope="module")
def small() -> World:
    return world(0)


def sentences_of(example) -> list[str]:
    texts = (*example.texts, *example.options, " ".join(example.words).replace(" .", "."))
    return [
        part
        for text in texts
        for part in re.findall(r"[^.?]+[.?]", text.replace(". ", ".\n").replace("\n", ""))
    ]


def test_documents_are_the_same_however_many_are_asked_for(small):
    first = list(small.documents(5))
    assert first == list(itertools.islice(World(0).documents(50), 5))
    assert first != list(small.documents(5, seed=1))
    assert first != list(World(1).documents(5))


def test_documents_are_a_few_short_sentences(small):
    for document in small.documents(300):
        assert 2 <= len(document) <= 14
        for sentence in document:
            assert sentence[-1] in ".?"
            assert 1 <= len(sentence.split()) <= 16


def test_documents_come_fast(small):
    start = time.process_time()
    count = sum(len(document) for document in small.documents(5000))
    assert count / (time.process_time() - start) > 10_000  # a slow machine makes some 100,000 a second


def test_no_task_sentence_stands_in_a_document(small):
    written = {sentence for document in small.documents(10_000) for sentence in document}
    asked = {
        sentence
        for name, split in itertools.product(MAKERS, ("train", "dev", "test"))
        for example in small.examples(name, split, 200)
        for sentence in sentences_of(example)
    }
    assert len(asked) > 5000
    assert all(held_out(sentence) for sentence in asked)
    assert not asked & written


@pytest.mark.parametrize("name", MAKERS)
def test_splits_share_no_example(small, name):
    parts = [small.examples(name, split, 200) for split in ("train", "dev", "test")]
    contents = [{(e.texts, e.options, e.words) for e in part} for part in parts]
    assert [len(content) for content in contents] == [200] * 3
    for a, b in itertools.combinations(contents, 2):
        assert not a & b


@pytest.fixture(scope="module")
def written(small):
    """Every word of a corpus of the demo's size."""
    return {w for document in small.documents(40_000) for s in document for w in re.findall(r"\w+", s)}


@pytest.mark.parametrize("name", MAKERS)
def test_training_examples_show_part_of_the_words_that_documents_show(small, written, name):
    def seen(split: str, count: int) -> set[str]:
        examples = small.examples(name, split, count)
        return {word for e in examples for s in sentences_of(e) for word in re.findall(r"\w+", s)} - CLOSED

    train, test = seen("train", 400), seen("test", 400)
    assert len(train) < 0.75 * len(test)
    assert len(test - train) > 0.4 * len(test)
    assert len(test - written) < 0.02 * len(test)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_registered_and_says_what_it_is(name):
    task = registry.tasks.build({"name": name, "train": 30}, None)
    assert task.name == name
    assert task.report == "test"
    assert registry.tasks.about(name)
    for split, count in (("train", 30), ("dev", 200), ("test", 400)):
        examples = task.load(split)
        assert len(examples) == count
        assert len({example.id for example in examples}) == count
        for example in examples:
            check_label(task, example)


def check_label(task, example) -> None:
    label = example.label
    if task.kind == "classify":
        assert label in task.labels and len(example.texts) == task.texts
    elif task.kind == "score":
        assert isinstance(label, float) and 0 <= label <= 5 and len(example.texts) == task.texts
    elif task.kind == "choice":
        assert len(set(example.options)) == 4 and 0 <= label < 4
    elif task.kind == "tags":
        assert len(label) == len(example.words) and set(label) <= set(task.labels)
    else:
        ((start, end),) = label
        answer = example.texts[1][start:end]
        assert answer and answer == answer.strip() and re.search(rf"\b{answer}\b", example.texts[1])


@pytest.mark.parametrize("name", ["acceptability", "sentiment", "entailment", "paraphrase", "sense"])
def test_labels_are_balanced(small, name):
    labels = [example.label for example in small.examples(name, "test", 400)]
    for label in set(labels):
        assert labels.count(label) / len(labels) > 0.7 / len(set(labels))


def test_every_form_has_one_reading_but_the_doubles():
    words = lexicon(3)
    nouns = [n for t in words.topics.items for f in t.fields for c in f.things.items for n in c.nouns]
    twice = {noun for noun in nouns if nouns.count(noun) > 1}
    assert twice == {double.noun for double in words.doubles.items}
    for double in words.doubles.items:
        assert double.senses[0].topic is not double.senses[1].topic


def test_the_probe_tells_a_fitting_word_from_a_wrong_one(small):
    for what, text, fitting, unfitting in small.probe(100):
        assert what and text.count("___") == 1
        assert fitting != unfitting


def test_unknown_names_are_user_errors(small):
    with pytest.raises(UserError, match="sentiment"):
        small.examples("sentimant", "dev", 1)
    with pytest.raises(UserError, match="dev"):
        small.examples("sentiment", "devel", 1)
