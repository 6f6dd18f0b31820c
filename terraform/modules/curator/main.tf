# The Lambda that follows the table's changes, and the mapping that feeds it. What it makes of them goes through a Firehose
# stream of its own (delivery.tf) into the archive's bucket, as Parquet.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  bucket_account_id  = coalesce(var.bucket_account_id, data.aws_caller_identity.current.account_id)
  bucket_kms_key_arn = coalesce(var.bucket_kms_key_arn, var.kms_key_arn)

  # From names rather than attributes, so that a plan shows the policies whole before anything is there.
  arn_place           = "${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}"
  delivery_stream_arn = "arn:${data.aws_partition.current.partition}:firehose:${local.arn_place}:deliverystream/${var.delivery_stream_name}"
}

module "function" {
  source = "../lambda"

  function_name                  = var.name
  description                    = "Follows the statistics: change stream -> rows of the curated data"
  zip_path                       = var.zip_path
  architecture                   = var.architecture
  memory_size_mb                 = var.memory_size_mb
  timeout_seconds                = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrent_executions
  log_retention_days             = var.log_retention_days
  kms_key_arn                    = var.kms_key_arn
  policy_json                    = data.aws_iam_policy_document.function.json

  environment = {
    CURATED_DELIVERY_STREAM = var.delivery_stream_name
    METRICS_NAMESPACE       = var.metrics_namespace
  }
}

resource "aws_lambda_event_source_mapping" "changes" {
  function_name                      = module.function.alias_arn
  event_source_arn                   = var.change_stream_arn
  enabled                            = var.mapping_enabled
  starting_position                  = var.starting_position
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.maximum_batching_window_in_seconds
  parallelization_factor             = var.parallelization_factor
  bisect_batch_on_function_error     = true
  maximum_retry_attempts             = var.maximum_retry_attempts
  maximum_record_age_in_seconds      = var.maximum_record_age_in_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  # Neither ledger pages nor deletions are rows. What is filtered out is not paid for.
  filter_criteria {
    filter {
      pattern = jsonencode({
        eventName = ["INSERT", "MODIFY"]
        dynamodb  = { Keys = { item = { S = ["statistics"] } } }
      })
    }
  }

  destination_config {
    on_failure {
      # The bucket, because SQS would be told of the batch but not what was in it, and the change stream forgets it.
      destination_arn = var.bucket_arn
    }
  }

  # Firehose has to be there for the first batch.
  depends_on = [aws_kinesis_firehose_delivery_stream.curated]
}

data "aws_iam_policy_document" "function" {
  statement {
    sid       = "ReadChanges"
    actions   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
    resources = [var.change_stream_arn]
  }

  statement {
    sid       = "FindChanges"
    actions   = ["dynamodb:ListStreams"]
    resources = ["${var.table_arn}/stream/*"]
  }

  statement {
    sid       = "DeliverRows"
    actions   = ["firehose:PutRecordBatch"]
    resources = [local.delivery_stream_arn]
  }

  # Whole failed batches, by the mapping in the function's name.
  statement {
    sid       = "KeepFailures"
    actions   = ["s3:PutObject"]
    resources = ["${var.bucket_arn}/aws/lambda/*"]

    # Who takes over the name of a bucket that was deleted must not be sent what it got.
    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  statement {
    sid       = "FindFailureDestination"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  statement {
    sid       = "UseTableKey"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["dynamodb.${data.aws_region.current.name}.amazonaws.com"]
    }
  }

  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.bucket_kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }
}
