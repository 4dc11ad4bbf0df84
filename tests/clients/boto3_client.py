"""What a client of SageMaker's does, run by an interpreter that has boto3: one answer, as JSON.

`python boto3_client.py URL ENDPOINT BODY`
"""

import json
import sys

import boto3
from botocore.config import Config

url, endpoint, body = sys.argv[1:]
client = boto3.client(
    "sagemaker-runtime",
    endpoint_url=url,
    region_name="eu-central-1",
    aws_access_key_id="nobody",
    aws_secret_access_key="nothing",  # noqa: S106 - signs a request that nobody checks
    config=Config(proxies={}, retries={"max_attempts": 1}),
)
try:
    answer = client.invoke_endpoint(
        EndpointName=endpoint,
        ContentType="application/json",
        Body=body,
        CustomAttributes="ours",
        InferenceId="1",
        TargetModel="none",
    )
    said = {
        "status": answer["ResponseMetadata"]["HTTPStatusCode"],
        "content_type": answer["ContentType"],
        "body": answer["Body"].read().decode(),
    }
except client.exceptions.ClientError as error:
    said = {"status": error.response["ResponseMetadata"]["HTTPStatusCode"], "error": str(error)}
print(json.dumps(said))  # noqa: T201 - what it is run for
