"""Custom models of many kinds, logged from this file as code; the config's `kind` chooses one."""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    import pandas as pd
    from mlflow.pyfunc.model import PythonModel


class Zoo(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """A model that answers by one of the functions below."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer as the kind does."""
        return KINDS[context.model_config["kind"]](model_input, params)


def risk(rows: pd.DataFrame, _params: Any) -> pd.DataFrame:
    """Score a patient of the diabetes data by hand."""
    score = 150 + 900 * rows["bmi"] + 500 * rows["bp"] - 20 * (rows["sex"] > 0)
    return pd.DataFrame({"score": score, "band": score.map(lambda s: "high" if s > 150 else "low")})


def demeaned(rows: pd.DataFrame, _params: Any) -> Any:
    """Answer how far each row is from the mean of those it came with: not row-wise."""
    return (rows["bmi"] - rows["bmi"].mean()).to_numpy()


def optional(rows: pd.DataFrame, _params: Any) -> pd.DataFrame:
    """Use what is there: a note, a count and a discount may be missing."""
    discount = rows["discount"].fillna(0.0)
    notes = rows["note"].map(lambda note: "-" if pd.isna(note) else str(note).upper())
    return pd.DataFrame(
        {"price": rows["price"] * (1 - discount), "note": notes, "has_count": rows["count"].notna()}
    )


def with_params(rows: pd.DataFrame, params: Any) -> pd.DataFrame:
    """Answer by rows and parameters."""
    answers = rows["a"] * params["factor"] + params["shift"]
    return pd.DataFrame({"y": answers, "unit": params["unit"]})


def moments(rows: pd.DataFrame, _params: Any) -> pd.DataFrame:
    """Answer a moment, a truth and a number to moments and truths."""
    return pd.DataFrame(
        {
            "next day": rows["when"] + pd.Timedelta(days=1),
            "shut": ~rows["open"],
            "hour": rows["when"].dt.hour,
        }
    )


def forecast(rows: pd.DataFrame, _params: Any) -> pd.DataFrame:
    """Answer three steps ahead of each row, the last of which nobody knows."""
    steps = [1.0, 2.0, float("nan")]
    return pd.DataFrame({"y": [a + step for a in rows["a"] for step in steps]})


KINDS = {
    "risk": risk,
    "demeaned": demeaned,
    "optional": optional,
    "params": with_params,
    "moments": moments,
    "forecast": forecast,
}

mlflow.models.set_model(Zoo())
