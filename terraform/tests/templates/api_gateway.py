"""What API Gateway gives to a mapping template: $input, $util, $context, $stageVariables.

The engine is airspeed-ext, LocalStack's, made to behave as API Gateway's does. This file adds the variables of
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
as far as the templates use them; strings have the methods of Java's that they call.
"""

import base64
import json
import re

import airspeed


class JavaString(str):
    """A string with java.lang.String's methods; only those the templates call."""

    def matches(self, pattern):
        return re.fullmatch(pattern, self, re.ASCII) is not None

    def contains(self, part):
        return part in self

    def replaceAll(self, pattern, replacement):
        # The templates' patterns mean the same in Java and Python.
        return JavaString(re.sub(pattern, replacement, self))


class JavaList(list):
    def size(self):
        return len(self)


def java(value):
    """JSON as the templates see it."""
    if isinstance(value, dict):
        return {name: java(member) for name, member in value.items()}
    if isinstance(value, list):
        return JavaList(java(item) for item in value)
    return JavaString(value) if isinstance(value, str) else value


class Input:
    def __init__(self, body, parameters):
        self.body = JavaString(body)
        self._document = json.loads(body) if body else {}
        self._parameters = parameters

    def _find(self, path):
        found = self._document
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
            try:
                found = found[int(index)] if index else found[name]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def path(self, path):
        return java(self._find(path))

    def json(self, path):
        return JavaString(json.dumps(self._find(path), ensure_ascii=False))

    def params(self, name):
        return JavaString(self._parameters.get(name, ""))


class Util:
    @staticmethod
    def base64Encode(text):
        return base64.b64encode(text.encode()).decode()


class Answer:
    """What a template made: its text, and what it overrode, each at most once as API Gateway demands."""

    def __init__(self, text, overrides):
        self.text = text
        self.status = overrides.get("status")
        self.headers = overrides["header"]

    def json(self):
        return json.loads(self.text, parse_constant=lambda name: 1 / 0)


class Once(dict):
    def __setitem__(self, name, value):
        if name in self:
            raise AssertionError(f"{name} overridden twice")
        super().__setitem__(name, value)


def render(template, body="", parameters=None):
    overrides = Once()
    dict.__setitem__(overrides, "header", Once())
    variables = {
        "input": Input(body, parameters or {}),
        "util": Util,
        "context": {"responseOverride": overrides},
        "stageVariables": {"stream_name": "readings", "table_name": "device-statistics"},
    }
    with open(template, encoding="utf-8") as file:
        text = airspeed.Template(JavaString(file.read())).merge(variables)
    return Answer(text, overrides)
