"""What guides to serving an MLflow model with FastAPI have their readers write."""

import os

import mlflow
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = mlflow.pyfunc.load_model(os.environ["BENCH_MODEL"])


class Instance(BaseModel):
    """A row."""

    month: str
    total_files: int
    avg_file_size_mb: float
    largest_file_mb: float
    pct_pdf: float
    pct_docx: float
    pct_xlsx: float
    archive_frequency_per_day: float
    storage_saved_gb: float
    deleted_files_count: int
    tenant_count: int
    site_count: int


class PredictRequest(BaseModel):
    """Rows."""

    instances: list[Instance]


class Prediction(BaseModel):
    """What is forecast for a row."""

    archived_gb: float
    savings_gb: float


class PredictResponse(BaseModel):
    """A prediction for each row."""

    predictions: list[Prediction]


@app.post("/predict")
def predict(request: PredictRequest) -> PredictResponse:
    """Predict."""
    frame = pd.DataFrame([instance.model_dump() for instance in request.instances])
    predictions = model.predict(frame)
    return PredictResponse(
        predictions=[
            Prediction(archived_gb=archived_gb, savings_gb=savings_gb)
            for archived_gb, savings_gb in predictions
        ]
    )
