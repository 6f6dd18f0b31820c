"""Holds the rules that every policy of every module has to keep.

  terraform test -json -verbose | python policies.py MODULES

reads what the tests planned. A policy that no test plans whole is a finding too, so that a new module cannot pass unseen:
the plans of a module MODULE are those of tests/MODULE.tftest.hcl.
"""

import json
import pathlib
import re
import sys

# What may name every resource, because there is nothing to name.
EVERY_RESOURCE = {frozenset({"xray:PutTraceSegments", "xray:PutTelemetryRecords"})}
# AWS's own policies that may be attached; these name every resource too.
ATTACHED = {"AmazonAPIGatewayPushToCloudWatchLogs"}

IDENTITY = {"aws_iam_role_policy", "aws_iam_policy"}
# In the policy of a key, `*` is that key.
KEY = {"aws_kms_key"}


def listed(value):
    return value if isinstance(value, list) else [value]


def named(resource):
    """Whether an ARN names its service and the beginning of its resource."""
    parts = resource.split(":", 5)
    return len(parts) == 6 and "*" not in "".join(parts[:5]) and not parts[5].startswith("*")


def identity_findings(statement):
    actions, resources = listed(statement.get("Action", [])), listed(statement.get("Resource", []))
    if "NotAction" in statement or "NotResource" in statement:
        yield "says what is excepted rather than what is allowed"
    if not actions or any("*" in action for action in actions):
        yield f"does not name its actions: {actions}"
    if "*" in resources and frozenset(actions) not in EVERY_RESOURCE:
        yield f"names every resource: {actions}"
    for resource in resources:
        if resource != "*" and not named(resource):
            yield f"does not name its resource: {resource}"


def resource_findings(kind, statement):
    principal, resources = statement.get("Principal"), listed(statement.get("Resource", []))
    if principal == "*" or "*" in [name for names in principal.values() for name in listed(names)]:
        yield "lets in anybody"
    elif "Service" in principal and "Condition" not in statement:
        yield f"lets in a service for anybody: {principal}"
    for resource in resources:
        if not (named(resource) or resource == "*" and kind in KEY):
            yield f"does not name its resource: {resource}"


def trust_findings(statement):
    if set(statement["Principal"]) != {"Service"} or listed(statement["Action"]) != ["sts:AssumeRole"]:
        yield f"lets in more than a service: {statement}"


def statement_findings(kind, attribute, statement):
    # A denial takes away, whatever it names.
    if statement["Effect"] == "Deny":
        return []
    if attribute == "assume_role_policy":
        return trust_findings(statement)
    return identity_findings(statement) if kind in IDENTITY else resource_findings(kind, statement)


def declared(module):
    """The policies of a module's text: (type, name, attribute)."""
    for path in sorted(module.glob("*.tf")):
        blocks = re.split(r'^resource "(\w+)" "(\w+)" \{\n', path.read_text(), flags=re.M)
        for kind, name, text in zip(blocks[1::3], blocks[2::3], blocks[3::3]):
            for attribute in re.findall(r"^  (policy|assume_role_policy|policy_arn|managed_policy_arns)\s*=", text.split("\n}\n")[0], re.M):
                yield kind, name, attribute


def planned(lines):
    """What the tests planned: (test file, address in the module that was tested, type, name, attribute, text)."""
    for line in lines:
        said = json.loads(line)
        if said["type"] != "test_plan":
            continue
        for change in said["test_plan"].get("resource_changes", []):
            for attribute in ("policy", "assume_role_policy", "policy_arn"):
                text = (change["change"].get("after") or {}).get(attribute)
                if text is not None:
                    yield said["@testfile"], change["address"], change["type"], change["name"], attribute, text


def findings(modules, lines):
    seen, used = set(), set()
    for test, address, kind, name, attribute, text in planned(lines):
        if not address.startswith("module."):
            seen.add((pathlib.Path(test).name.removesuffix(".tftest.hcl"), kind, name, attribute))
        if attribute == "policy_arn":
            used.add(attached := text.rsplit("/", 1)[-1])
            if attached not in ATTACHED:
                yield f"{test}: {address}: attaches {attached}"
            continue
        for statement in listed(json.loads(text)["Statement"]):
            used.add(frozenset(listed(statement.get("Action", []))))
            for finding in statement_findings(kind, attribute, statement):
                yield f"{test}: {address}: {statement.get('Sid', attribute)} {finding}"
    for module in sorted(modules.iterdir()):
        for kind, name, attribute in declared(module):
            if (module.name, kind, name, attribute) not in seen:
                yield f"{module.name}: {kind}.{name}: no plan of tests/{module.name}.tftest.hcl shows its {attribute}"
    for exception in (EVERY_RESOURCE | ATTACHED) - used:
        yield f"an exception that nothing needs: {exception}"


def main():
    found = sorted(set(findings(pathlib.Path(sys.argv[1]), sys.stdin)))
    print("\n".join(found) or "every policy of every module names its actions, resources and principals")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
