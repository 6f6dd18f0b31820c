# The Lambda that counts, and the mapping that feeds it.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  archive_account_id = coalesce(var.archive_account_id, data.aws_caller_identity.current.account_id)
}

module "function" {
  source = "../lambda"

  function_name                     = var.name
  description                       = "Counts readings: Kinesis batch -> statistics, or dead letter"
  zip_path                          = var.zip_path
  architecture                      = var.architecture
  memory_size_mb                    = var.memory_size_mb
  timeout_seconds                   = var.timeout_seconds
  reserved_concurrent_executions    = var.reserved_concurrent_executions
  provisioned_concurrent_executions = var.provisioned_concurrent_executions
  log_retention_days                = var.log_retention_days
  kms_key_arn                       = var.kms_key_arn
  policy_json                       = data.aws_iam_policy_document.function.json

  # The binary reads an empty variable as an unset one.
  environment = {
    STATISTICS_TABLE         = var.table_name
    DEAD_LETTER_QUEUE_URL    = var.dead_letter_queue_url
    ARCHIVE_BUCKET           = var.archive_bucket_name
    DEAD_LETTER_BYTES_MAX    = tostring(var.dead_letter_bytes_max)
    METRICS_NAMESPACE        = var.metrics_namespace
    LEDGER_MODE              = var.ledger_mode
    LEDGER_RETENTION_DAYS    = var.ledger_retention_days == null ? "" : tostring(var.ledger_retention_days)
    FUTURE_TOLERANCE_SECONDS = tostring(var.future_tolerance_seconds)
    CONCURRENCY              = tostring(var.concurrency)
  }
}

resource "aws_lambda_event_source_mapping" "stream" {
  function_name                      = module.function.alias_arn
  event_source_arn                   = coalesce(var.stream_consumer_arn, var.stream_arn)
  enabled                            = var.mapping_enabled
  starting_position                  = var.starting_position
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.maximum_batching_window_in_seconds
  parallelization_factor             = var.parallelization_factor
  bisect_batch_on_function_error     = var.bisect_batch_on_function_error
  maximum_retry_attempts             = var.maximum_retry_attempts
  maximum_record_age_in_seconds      = var.maximum_record_age_in_seconds
  tumbling_window_in_seconds         = var.tumbling_window_in_seconds
  function_response_types            = var.function_response_types

  destination_config {
    on_failure {
      # The bucket, because SQS would be told of the batch but not what was in it.
      destination_arn = var.archive_bucket_arn
    }
  }
}

data "aws_iam_policy_document" "function" {
  statement {
    sid = "ReadStream"
    actions = [
      "kinesis:DescribeStream",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetRecords",
      "kinesis:GetShardIterator",
      "kinesis:ListShards",
    ]
    resources = [var.stream_arn]
  }

  dynamic "statement" {
    for_each = var.stream_consumer_arn[*]

    content {
      sid       = "ReadStreamByConsumer"
      actions   = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]
      resources = [statement.value]
    }
  }

  # Transactions are authorised by the actions of their parts.
  statement {
    sid       = "CountOnce"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem"]
    resources = [var.table_arn]
  }

  statement {
    sid       = "SendDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [var.dead_letter_queue_arn]
  }

  # Dead letters by the function, whole failed batches by the mapping in its name.
  statement {
    sid     = "KeepDeadLetters"
    actions = ["s3:PutObject"]
    resources = [
      "${var.archive_bucket_arn}/dead-letters/*",
      "${var.archive_bucket_arn}/aws/lambda/*",
    ]

    # Who takes over the name of a bucket that was deleted must not be sent what it got.
    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.archive_account_id]
    }
  }

  statement {
    sid       = "FindFailureDestination"
    actions   = ["s3:ListBucket"]
    resources = [var.archive_bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.archive_account_id]
    }
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for service in ["dynamodb", "kinesis", "sqs"] : "${service}.${data.aws_region.current.name}.amazonaws.com"]
    }
  }

  statement {
    sid       = "UseArchiveKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [coalesce(var.archive_kms_key_arn, var.kms_key_arn)]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }
}
