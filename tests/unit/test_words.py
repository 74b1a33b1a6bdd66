"""Words, their numbers and their spelling."""

from pathlib import Path

import numpy as np
import pytest

from lmcompare.errors import ModelError, UserError
from lmcompare.text.words import FAR, FILL, LONGEST, SPECIALS, Words, spelling, train_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", "The cat sat ."),
        ("Don't they? It's 3.14, isn't it...", "Do n't they ? It 's 3.14 , is n't it ..."),
        ("U.S. state-of-the-art (1,000)", "U . S . state-of-the-art ( 1,000 )"),
        ("naïve — “Größe”", "naïve — “ Größe ”"),
        ("a <unk> </s> b", "a <unk> </s> b"),
        ("", ""),
    ],
)
def test_how_a_text_is_split(text: str, words: str) -> None:
    tokenizer = Words(SPECIALS)
    ids, spans = tokenizer.encode_offsets(text)
    assert tokenizer.decode(ids) == words == " ".join(text[s:e] for s, e in spans)


def test_numbers_fall_with_frequency_and_strangers_have_the_same_number_everywhere() -> None:
    tokenizer = train_words(["b b b a a c", "a b z"], size=5)
    assert tokenizer.forms == [*SPECIALS, "b", "a", "c", "z"]
    assert tokenizer.vocabulary == 5
    assert tokenizer.targets(np.array(tokenizer.encode("b z stranger"))).tolist() == [3, 2, 2]
    (number,) = tokenizer.encode("stranger")
    assert number >= FAR and number == Words(SPECIALS).encode("stranger")[0]
    assert tokenizer.form(number) == "stranger"


def test_spelling_is_bytes_between_marks() -> None:
    row = spelling("né")
    assert row[:6].tolist() == [258, ord("n"), 0xC3, 0xA9, 259, FILL] and len(row) == LONGEST
    assert spelling("x" * 60)[-1] == 259  # cut to 48 bytes, the markers kept
    assert spelling("<S>")[:3].tolist() == [258, 256, 259]
    assert spelling("</S>")[:3].tolist() == [258, 257, 259]


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no words\.txt"):
        Words.load(tmp_path)
    train_words(["a b"], size=9).save(tmp_path)
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(ModelError, match=r"words\.txt"):
        Words.load(tmp_path)
    (tmp_path / "words.txt").write_bytes(b"<S>\n</S>\n<UNK>\n\xff\n")
    with pytest.raises(ModelError, match="UTF-8"):
        Words.load(tmp_path)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(UserError, match="no words"):
        train_words(["", "  "])
