import pytest

from rlhf.data.sources.rt_polarity import SentimentClassifier

TRAIN = [("a good film", 1), ("a good cast", 1), ("a bad film", 0), ("a bad cast", 0)]


def test_score_is_the_log_odds_of_good():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    judge = SentimentClassifier(TRAIN, [("good", 1), ("bad", 0), ("bad film", 1)])
    texts, labels = zip(*TRAIN, strict=True)
    words = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=4.0, max_iter=1000).fit(words.fit_transform(texts), labels)
    bad, good = model.predict_log_proba(words.transform(["a good plot"]))[0]
    assert judge(["a"], [" good plot"]) == pytest.approx([good - bad])
    assert judge(["a", "a"], [" film", " cast"]) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert judge.heldout_accuracy == pytest.approx(2 / 3)
