import numpy as np

from service.commands.demo.model import OUTPUTS, generate, train


def test_rows_keep_the_rules_of_the_contract() -> None:
    """Dates are dates, shares are shares, counts are not negative."""
    inputs, outputs = generate(months=15)
    assert inputs["month"].str.fullmatch(r"\d{4}-\d\d-01").all()
    assert (inputs["total_files"] > 0).all()
    assert inputs[["pct_pdf", "pct_docx", "pct_xlsx"]].sum(axis=1).max() <= 1 + 1e-9
    assert (inputs.drop(columns="month") >= 0).all(axis=None)
    assert list(outputs.columns) == list(OUTPUTS)


def test_the_same_seed_gives_the_same_model() -> None:
    """Tests may compare numbers."""
    one, inputs, _ = train(seed=3, months=4, n_trees=3)
    other, _, _ = train(seed=3, months=4, n_trees=3)
    assert np.array_equal(one.predict(inputs), other.predict(inputs))


def test_another_number_of_months_gives_another_model() -> None:
    """The two versions of the demo can be told apart by their answers."""
    one, inputs, _ = train(months=4, n_trees=3)
    other, _, _ = train(months=14, n_trees=3)
    assert not np.array_equal(one.predict(inputs), other.predict(inputs))


def test_the_year_has_a_season() -> None:
    """More is archived in December than in June."""
    inputs, outputs = generate(months=48)
    month = inputs["month"].str[5:7]
    by_month = outputs["archived_gb"].groupby(month).mean()
    assert by_month["12"] > 1.5 * by_month["06"]
