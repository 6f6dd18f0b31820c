"""The emulator's services, by their own HTTP interfaces: nothing of ours stands between."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

from .failure import Failure
from .oracle import Record
from .stack import REGION

# The protocol of each service whose calls are JSON: what its actions are prefixed by, and its JSON's version.
PROTOCOLS = {
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "dynamodbstreams": ("DynamoDBStreams_20120810", "1.0"),
    "kinesis": ("Kinesis_20131202", "1.1"),
    "sqs": ("AmazonSQS", "1.0"),
}
MAPPINGS = "/2015-03-31/event-source-mappings"


class Services:
    """Calls of the services at `endpoint`. An emulator checks no signature, but reads the service's name from it."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def request(self, service, method, path, headers, body):
        credential = f"test/20260101/{REGION}/{service}/aws4_request"
        headers = {**headers, "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}
        request = urllib.request.Request(f"{self.endpoint}{path}", data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Failure(f"{service} answers {error.code}: {error.read()[:500].decode(errors='replace')}") from error
        except OSError as error:
            raise Failure(f"{service} gives no answer: {error}") from error

    def call(self, service, action, **members):
        """The answer of a call whose request and answer are JSON."""
        prefix, version = PROTOCOLS[service]
        headers = {"X-Amz-Target": f"{prefix}.{action}", "Content-Type": f"application/x-amz-json-{version}"}
        answer = self.request(service, "POST", "/", headers, json.dumps(members).encode())
        return json.loads(answer or b"{}")

    # Kinesis

    def put_record(self, stream, partition_key, data):
        encoded = base64.b64encode(data).decode()
        return self.call("kinesis", "PutRecord", StreamName=stream, PartitionKey=partition_key, Data=encoded)

    def records(self, stream):
        """Every record of the stream, each shard's in order."""
        records = []
        for shard in self.call("kinesis", "ListShards", StreamName=stream)["Shards"]:
            start = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = self.call("kinesis", "GetShardIterator", **start)["ShardIterator"]
            while iterator:
                page = self.call("kinesis", "GetRecords", ShardIterator=iterator, Limit=10000)
                for record in page["Records"]:
                    data, arrived_ns = base64.b64decode(record["Data"]), int(record["ApproximateArrivalTimestamp"] * 10**9)
                    records.append(Record(shard["ShardId"], record["SequenceNumber"], record["PartitionKey"], data, arrived_ns))
                iterator = page.get("NextShardIterator") if page["Records"] else None
        return records

    # DynamoDB

    def items(self, table):
        """Every item of the table; numbers and texts as text, without their types."""
        items, start = [], {}
        while True:
            page = self.call("dynamodb", "Scan", TableName=table, ConsistentRead=True, **start)
            items += [{name: plain(value) for name, value in item.items()} for item in page["Items"]]
            if not page.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def changes(self, stream_arn):
        """Every change that the table's stream holds, in order, as Lambda hands it over."""
        changes = []
        for shard in self.call("dynamodbstreams", "DescribeStream", StreamArn=stream_arn)["StreamDescription"]["Shards"]:
            start = {"StreamArn": stream_arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = self.call("dynamodbstreams", "GetShardIterator", **start)["ShardIterator"]
            while iterator:
                page = self.call("dynamodbstreams", "GetRecords", ShardIterator=iterator)
                changes += [{**record, "eventSourceARN": stream_arn} for record in page["Records"]]
                iterator = page.get("NextShardIterator") if page["Records"] else None
        return changes

    # Lambda

    def event_source_mapping(self, function):
        query = urllib.parse.urlencode({"FunctionName": function})
        [mapping] = json.loads(self.request("lambda", "GET", f"{MAPPINGS}/?{query}", {}, None))["EventSourceMappings"]
        return mapping

    def set_mapping_enabled(self, uuid, enabled):
        self.request("lambda", "PUT", f"{MAPPINGS}/{uuid}", {}, json.dumps({"Enabled": enabled}).encode())

    def invoke(self, function, event):
        path = f"/2015-03-31/functions/{urllib.parse.quote(function)}/invocations"
        return json.loads(self.request("lambda", "POST", path, {}, json.dumps(event).encode()))

    # SQS

    def messages(self, queue_url):
        """Every message of the queue: body, and attributes as text. Looked at, not taken: each is soon visible again."""
        messages = {}
        while True:
            ask = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 20, "MessageAttributeNames": ["All"]}
            found = self.call("sqs", "ReceiveMessage", **ask).get("Messages", [])
            if not found:
                break
            for message in found:
                attributes = {name: value.get("StringValue") for name, value in message.get("MessageAttributes", {}).items()}
                messages[message["MessageId"]] = (message["Body"], attributes, message["ReceiptHandle"])
        for _, _, receipt in messages.values():
            self.call("sqs", "ChangeMessageVisibility", QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=0)
        return [(body, attributes) for body, attributes, _ in messages.values()]

    # S3

    def keys(self, bucket, prefix):
        keys, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
            answer = self.request("s3", "GET", f"/{bucket}?{urllib.parse.urlencode(query)}", {}, None)
            listing = xml.etree.ElementTree.fromstring(answer)
            keys += [key.text for key in listing.findall("{*}Contents/{*}Key")]
            token = listing.findtext("{*}NextContinuationToken")
            if not token:
                return keys

    def object(self, bucket, key):
        return self.request("s3", "GET", f"/{bucket}/{urllib.parse.quote(key)}", {}, None)


def plain(value):
    """An attribute's value without its type."""
    (kind, content), = value.items()
    if kind == "NULL":
        return None
    return {name: plain(member) for name, member in content.items()} if kind == "M" else content
