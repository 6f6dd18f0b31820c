"""A REST API as API Gateway makes it of the imported document, in front of a stream and a table that can be told to fail.

The document is the one that Terraform planned, so that models, validators, integrations and gateway responses are those
that are deployed; `.ci/terraform` leaves it in the file that STREAMGAUGE_API_DOCUMENT names, with `{"template": NAME}` in the
place of each mapping template. What AWS does between them stands here, after
https://docs.aws.amazon.com/apigateway/latest/developerguide/ (request validation, integration passthrough, gateway
responses) and the services' documented errors. Its messages are not AWS's: a test may look at statuses, at what is stored,
and at answers that templates make.
"""

import base64
import decimal
import json
import pathlib
import re
import urllib.parse

import jsonschema

from api_gateway import render

TEMPLATES = pathlib.Path(__file__).parents[2] / "modules" / "ingest" / "templates"
RECORD_BYTES_MAX = 1024 * 1024


class Refused(Exception):
    """An answer that API Gateway gives by itself."""

    def __init__(self, kind, message):
        super().__init__(kind)
        self.kind, self.message = kind, message


class Kinesis:
    """A stream that checks what Kinesis checks, and fails as it was told to."""

    def __init__(self, fates):
        self.fates, self.records = list(fates), []

    def _fate(self):
        return self.fates.pop(0) if self.fates else "stored"

    def _store(self, record):
        self.records.append((record["PartitionKey"], base64.b64decode(record["Data"])))
        return {"SequenceNumber": str(len(self.records)), "ShardId": "shardId-000000000000"}

    @staticmethod
    def _invalid(member):
        return 400, {"__type": "ValidationException", "message": f"1 validation error detected: Value at '{member}' failed to satisfy constraint"}

    def _check(self, record, place):
        if not 1 <= len(record["PartitionKey"]) <= 256:
            return self._invalid(f"{place}partitionKey")
        too_large = len(base64.b64decode(record["Data"])) + len(record["PartitionKey"]) > RECORD_BYTES_MAX
        return self._invalid(f"{place}data") if too_large else None

    def put_record(self, request):
        assert set(request) == {"StreamName", "PartitionKey", "Data"} and request["StreamName"] == "readings", request
        fate = self._fate()
        failures = {
            "throttled": (400, {"__type": "ProvisionedThroughputExceededException", "message": "Rate exceeded for shard"}),
            "unavailable": (500, {"__type": "InternalFailure"}),
            "refused": self._invalid("data"),
        }
        return failures.get(fate) or self._check(request, "") or (200, self._store(request))

    def put_records(self, request):
        assert set(request) == {"StreamName", "Records"} and request["StreamName"] == "readings", request
        if not 1 <= len(request["Records"]) <= 500:
            return self._invalid("records")
        for record in request["Records"]:
            assert set(record) == {"PartitionKey", "Data"}, record
            if refusal := self._check(record, "records.1.member."):
                return refusal
        codes = {"throttled": "ProvisionedThroughputExceededException", "unavailable": "InternalFailure"}
        entries = [
            {"ErrorCode": codes[fate], "ErrorMessage": "of the stream"} if fate in codes else self._store(record)
            for record in request["Records"] for fate in [self._fate()]
        ]
        return 200, {"FailedRecordCount": sum("ErrorCode" in entry for entry in entries), "Records": entries}


def get_item(item, request):
    assert set(request) == {"TableName", "Key"} and request["TableName"] == "device-statistics", request
    key = request["Key"]
    if not key["device_id"]["S"]:
        message = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: device_id"
        return 400, {"__type": "com.amazon.coral.validate#ValidationException", "message": message}
    there = item and item["device_id"] == key["device_id"] and item["item"] == key["item"]
    return 200, {"Item": item} if there else {}


def as_imported(schema):
    """A model as API Gateway holds bodies to it: without minItems and maxItems, which it does not enforce when imported."""
    if isinstance(schema, list):
        return [as_imported(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: as_imported(part) for name, part in schema.items() if name not in ("minItems", "maxItems")}
    if isinstance(made.get("pattern"), str):
        # `$` is the end of the text in ECMA 262, and may stand before a last line break in Python.
        made["pattern"] = re.sub(r"\$$", r"\\Z", made["pattern"])
    return made


class RestApi:
    def __init__(self, document, key, fates=(), item=None):
        self.document, self.key, self.item, self.stream = document, key, item, Kinesis(fates)
        self.schemas = as_imported(document["components"]["schemas"])

    def handle(self, method, path, query="", headers=None, body=""):
        """Status, headers and text of the answer."""
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        try:
            return self._operate(method, path, query, headers, body)
        except Refused as refused:
            return self._gateway_response(refused)

    def _operate(self, method, path, query, headers, body):
        operation = self.document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            raise Refused("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
        if operation["security"] and headers.get("x-api-key") != self.key:
            raise Refused("INVALID_API_KEY", "Forbidden")
        parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        validator = self.document["x-amazon-apigateway-request-validators"][operation["x-amazon-apigateway-request-validator"]]
        # A body without a type is taken for JSON.
        kind = (headers.get("content-type") or "application/json").split(";")[0].strip().lower()
        if validator["validateRequestParameters"]:
            self._check_parameters(operation, parameters)
        if validator["validateRequestBody"]:
            self._check_body(operation, kind, body)
        integration = operation["x-amazon-apigateway-integration"]
        template = integration["requestTemplates"].get(kind)
        if template is None:
            assert integration["passthroughBehavior"] == "never", "a body would become the service's own request"
            raise Refused("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
        request = self._render(template, body, parameters).json()
        return self._answer(operation, integration, *self._serve(integration, request))

    @staticmethod
    def _check_parameters(operation, parameters):
        for parameter in operation["parameters"]:
            # An empty value counts as none.
            if parameter["required"] and not parameters.get(parameter["name"]):
                raise Refused("BAD_REQUEST_PARAMETERS", f"Missing required request parameters: [{parameter['name']}]")

    def _check_body(self, operation, kind, body):
        content = operation.get("requestBody", {}).get("content", {})
        # A type without a model is not checked.
        if kind not in content:
            return
        name = content[kind]["schema"]["$ref"].rsplit("/", 1)[1]
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": self.schemas}}
        try:
            # Numbers are compared as decimals: the double nearest to 1e100 is greater than the bound.
            document = json.loads(body, parse_float=decimal.Decimal, parse_constant=lambda constant: 1 / 0)
        except (ValueError, ZeroDivisionError):
            raise Refused("BAD_REQUEST_BODY", "Invalid request body") from None
        if not jsonschema.Draft4Validator(schema).is_valid(document):
            raise Refused("BAD_REQUEST_BODY", "Invalid request body")

    def _serve(self, integration, request):
        if integration["type"] == "mock":
            return request["statusCode"], {}
        service = integration["uri"].rsplit(":", 1)[1]
        return {
            "action/PutRecord": self.stream.put_record,
            "action/PutRecords": self.stream.put_records,
            "action/GetItem": lambda request: get_item(self.item, request),
        }[service](request)

    def _answer(self, operation, integration, status, served):
        # The key is a pattern over the service's status; `default` takes the rest.
        patterns = [pattern for pattern in integration["responses"] if pattern != "default" and re.fullmatch(pattern, str(status))]
        response = integration["responses"][patterns[0] if patterns else "default"]
        made = self._render(response["responseTemplates"]["application/json"], json.dumps(served), {})
        answered = int(made.status or response["statusCode"])
        assert str(answered) in operation["responses"], f"{answered} is no status of the operation"
        return answered, {name.lower(): value for name, value in made.headers.items()}, made.text

    @staticmethod
    def _render(template, body, parameters):
        return render(TEMPLATES / f"{template['template']}.vtl", body, parameters)

    def _gateway_response(self, refused):
        responses = self.document["x-amazon-apigateway-gateway-responses"]
        response = responses.get(refused.kind) or responses["DEFAULT_4XX"]
        text = response["responseTemplates"]["application/json"]
        # The first comes as a JSON string, the second as it is.
        text = text.replace("$context.error.messageString", json.dumps(refused.message))
        text = text.replace("$context.error.validationErrorString", refused.message)
        headers = {name.rsplit(".", 1)[1].lower(): value.strip("'") for name, value in response.get("responseParameters", {}).items()}
        return int(response["statusCode"]), headers, text
