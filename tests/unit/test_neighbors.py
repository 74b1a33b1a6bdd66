"""The nearest uses of a word: which one is asked for, which sentences are drawn, what is compared, what senses say."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import micro
from lmcompare.config import Corpus
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import neighbors as experiment
from lmcompare.experiments.neighbors import Drawn, Source, Sums, cut, draw, find, layers_of
from lmcompare.experiments.senses import senses_of
from lmcompare.progress import Progress
from lmcompare.text.words import WORD
from lmcompare.types import Example
from lmcompare.word_vectors import TASK
from tests.unit.test_extract import bert, elmo, gpt, gpt_lstm, static

PLAYS = [
    "the play was on at the theater.",
    "we saw the play at the theater!",
    "Play the game with me.",
    "they play a game near us.",
    "a game is a game.",
    "the theater was far, and a game near.",
    "we saw the theater and the game.",
    "the displays are far.",
]


def run(model: Path, corpus: Path, **how: Any) -> dict[str, Any]:
    asked = {"word": "play", "context": "I saw the play at the theater."} | how
    return experiment.neighbors(str(model), corpus=str(corpus), progress=Progress(), **asked)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "plays.txt"
    path.write_text("\n".join(PLAYS[:4]) + "\n\n" + "\n".join(PLAYS[4:]) + "\n" + PLAYS[0] + "\n")
    return path


def test_the_word_is_found_as_it_is_written_and_else_in_any_case() -> None:
    asked = cut("Play the play, said the Player; don't PLAY.")
    assert [asked.text[a:b] for a, b in asked.spans] == list(asked.words)
    assert find(asked, "play", 1) == 2
    assert find(asked, "Play", 1) == 0
    assert find(asked, "pLay", 3) == asked.words.index("PLAY")
    assert asked.words[find(asked, "n't", 1)] == "n't"
    for word, nth, words in (
        ("plays", 1, "is not in --context, whose words are: Play the play , said"),
        ("play", 2, "--nth 2: --context holds 'play' 1 time$"),
        ("pLay", 4, "3 times"),
        ("don't", 1, "is 2 words here: do n't"),
        ("", 1, "is not a word"),
        ("the play", 1, "2 words"),
    ):
        with pytest.raises(UserError, match=words):
            find(asked, word, nth)


def test_layers_by_name_and_number() -> None:
    assert [layers_of(text, 2) for text in ("top", "mix", "0", "-1", "-3")] == [[2], [0, 1, 2], [0], [2], [0]]
    for text in ("3", "-4", "last", "1.0", "--1", ""):
        with pytest.raises(UserError, match="give 'top', 'mix'"):
            layers_of(text, 2)


def test_the_draw_is_even_keyed_and_the_same_in_any_order() -> None:
    texts = [f"sentence {n}" for n in range(200)]

    def drawn(order: list[str], seed: int) -> list[str]:
        found = Drawn(20, seed)
        for text in order:
            found.offer(text, lambda text=text: cut(text))  # type: ignore[misc]
        return [sentence.text for sentence in found.all()]

    first = drawn(texts, 1)
    assert len(set(first)) == 20
    assert drawn(texts[::-1] + texts, 1) == first
    assert drawn(texts, 2) != first
    halves = [sum(texts.index(text) < 100 for text in drawn(texts, seed)) for seed in range(40)]
    assert 9 < np.mean(halves) < 11 and min(halves) < 9 and max(halves) > 11
    assert set(drawn(texts[:5], 1)) == set(texts[:5])


def test_what_is_drawn_holds_the_word_and_is_not_the_sentence_itself(corpus: Path) -> None:
    text = experiment.source(Corpus(path=str(corpus)))
    found = draw(text, cut(PLAYS[1]), "play", 100, 1, None)
    assert {s.text for s in found.uses} == {PLAYS[0], PLAYS[2], PLAYS[3]}
    assert found.holding == 4  # one of them stands there twice
    assert {s.document for s in found.uses} == {1}
    assert {s.text for s in found.others} == set(PLAYS)
    assert len(draw(text, cut("x"), "play", 2, 1, None).uses) == 2


@pytest.mark.parametrize("layer", ["top", "mix", "0"])
@pytest.mark.parametrize("make", [bert, gpt, gpt_lstm, elmo])
def test_scores_are_the_cosines_of_the_words_own_vectors(
    corpus: Path, tmp_path: Path, make: Any, layer: str
) -> None:
    backend = make()
    backend.save(tmp_path / "m")
    told = run(tmp_path / "m", corpus, layer=layer)

    def vector(sentence: str, place: list[int]) -> torch.Tensor:
        words = WORD.findall(sentence)
        (view,) = backend.views(TASK, Example("", (), words=tuple(words)), 40)
        layers = torch.stack(backend.encoder(backend.stack([view])))[:, 0]
        at = [m.span() for m in WORD.finditer(sentence)].index(tuple(place))  # type: ignore[arg-type]
        x_LD = layers[:, view.words[at]].detach()
        return x_LD.mean(0) if layer == "mix" else x_LD[-1] if layer == "top" else x_LD[0]

    query = vector(told["context"], told["place"])
    assert {row["sentence"] for row in told["nearest"]} == set(PLAYS[:4])
    for row in told["nearest"]:
        assert row["sentence"][slice(*row["place"])].lower() == "play"
        score = torch.cosine_similarity(query, vector(row["sentence"], row["place"]), dim=0)
        assert row["score"] == pytest.approx(float(score), abs=2e-4)
    scores = [row["score"] for row in told["nearest"]]
    assert scores == sorted(scores, reverse=True)
    if layer == "top":
        assert told["nearest"][0]["sentence"] == PLAYS[1]  # the same sentence but for one word
        assert not told["same_everywhere"]
    assert told["senses"] is None and told["uses"] == 4 and told["holding"] == 5


def test_one_vector_a_word_says_so_and_finds_its_neighbors(corpus: Path, tmp_path: Path) -> None:
    """A file of vectors, where it is known which words are near `play`."""
    vectors = {
        "play": (1, 0, 0),
        "game": (0.9, 0.1, 0),
        "theater": (0.8, 0, 0.3),
        "the": (0, 1, 0),
        "we": (0, 1, 1),
    }
    path = tmp_path / "v.txt"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in vectors.items()))
    told = run(path, corpus)
    assert told["backend"] == "static" and told["same_everywhere"] is True
    assert {row["score"] for row in told["nearest"]} == {1.0}
    assert [row["word"] for row in told["words"]][:2] == ["game", "theater"]
    assert "play" not in {row["word"].lower() for row in told["words"]}
    assert told["words"][0]["score"] == pytest.approx(0.9 / np.hypot(0.9, 0.1), abs=1e-4)
    assert told["words"][0]["uses"] == 6


def test_a_word_needs_some_uses_and_a_letter() -> None:
    sums = Sums()
    sums.add(["a", "a", "b", "b", "b", ".", ".", "."], np.eye(8, 3, dtype=np.float32) + 1)
    assert [row["word"] for row in sums.nearest(np.ones(3), "c", 5, None)] == ["b"]
    assert sums.nearest(np.ones(3), "B", 5, None) == []


def test_what_cannot_be_asked(corpus: Path, tmp_path: Path) -> None:
    static().save(tmp_path / "m")
    with pytest.raises(DataError, match="no other sentence of this corpus holds the word 'zebra'"):
        run(tmp_path / "m", corpus, word="zebra", context="a zebra")
    with pytest.raises(UserError, match="give --corpus PATH or --corpus micro"):
        experiment.neighbors(str(tmp_path / "m"), word="a", context="a", progress=Progress())
    with pytest.raises(DataError, match="no such file"):
        run(tmp_path / "m", tmp_path / "none.txt")


def test_a_run_of_ours_brings_its_corpus_along(corpus: Path, tmp_path: Path) -> None:
    bert().save(tmp_path / "r" / "model")
    config = {"backend": {"name": "bert"}, "corpus": {"path": str(corpus)}}
    (tmp_path / "r" / "run.json").write_text(json.dumps({"config": config}))
    asked = {"word": "play", "context": "a play", "progress": Progress()}
    told = experiment.neighbors(str(tmp_path / "r"), **asked)
    assert told["corpus"] == "plays" and told["holding"] == 5
    other = tmp_path / "other.txt"
    other.write_text("I play it.\nNo more.\n")
    assert experiment.neighbors(str(tmp_path / "r"), corpus=str(other), **asked)["holding"] == 1
    own = {"path": "micro", "documents": 7, "world": 2}
    (tmp_path / "r" / "run.json").write_text(json.dumps({"config": config | {"corpus": own}}))
    for name in ("", "micro"):
        found = experiment.corpus_of(str(tmp_path / "r"), name)
        assert len(list(found.documents())) == 7 and found.world.seed == 2


def test_the_company_of_a_word_tells_its_sense_as_the_documents_were_made() -> None:
    world = micro.world(0)
    told = wrong = 0
    senses = {d: senses_of(world.words, d.noun.one) for d in world.words.doubles.items}
    for number, document in enumerate(world.documents(400)):
        topic = world.words.topics.draw(random.Random(f"documents/0/0/{number}"))
        words = [word for sentence in document for word in WORD.findall(sentence)]
        for double, found in senses.items():
            if found is not None and double.noun.one in words:
                sense = found.of_text(words)
                told += sense is not None
                wrong += sense is not None and double.senses[sense].topic is not topic
    assert told > 200 and wrong == 0
    assert senses_of(world.words, "the") is None
    double = world.words.doubles.items[0]
    found = senses_of(world.words, double.noun.many)
    assert found is not None and found.names[0].endswith(double.senses[0].field.kind.one)
    assert found.of_word(double.noun.one) is None and found.of_text(["the", double.noun.one]) is None
    for number, sense in enumerate(double.senses):
        assert found.of_word(sense.field.deed.verbs[0].ed) == number


def test_agreement_counts_the_nearest_and_all() -> None:
    world = micro.world(0)
    double = world.words.doubles.items[0]
    noun = double.noun.one
    verbs = [sense.field.deed.verbs[0].ed for sense in double.senses]
    documents = [[f"{name} {verbs[s]} the {noun}."] for s, name in ((0, "a"), (1, "b"), (1, "c"), (1, "d"))]
    senses = senses_of(world.words, noun)
    assert senses is not None
    text = Source("micro", lambda: iter(documents), "", world)
    asked = cut(f"x {verbs[1]} the {noun}.")
    found = draw(text, asked, noun, 10, 1, senses)
    assert sorted(s.sense for s in found.uses if s.sense is not None) == [0, 1, 1, 1]
    uses = [(sentence, 3) for sentence in found.uses]
    nearest = [{"sense": 1}, {"sense": 1}, {"sense": 0}, {"sense": None}]
    assert experiment.agreement(senses, asked, uses, nearest) == {
        "names": senses.names, "context": 1, "same": 0.6667, "chance": 0.75,
    }  # fmt: skip
    unclear = experiment.agreement(senses, cut(f"the {noun}."), uses, nearest)
    assert unclear["context"] is None and unclear["same"] is None and unclear["chance"] is None
