# Firehose reads the stream by itself: a reading is archived whatever the aggregator does. It lives in the stream's
# account and region; the bucket may be another account's.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  bucket_account_id  = coalesce(var.bucket_account_id, data.aws_caller_identity.current.account_id)
  bucket_kms_key_arn = coalesce(var.bucket_kms_key_arn, var.kms_key_arn)

  # From names rather than attributes, so that a plan shows the policies whole before anything is there.
  role_arn        = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.name}"
  log_group_name  = "/aws/kinesisfirehose/${var.name}"
  log_stream_name = "delivery"
  log_stream_arn  = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:${local.log_group_name}:log-stream:${local.log_stream_name}"
}

resource "aws_kinesis_firehose_delivery_stream" "raw" {
  name        = var.name
  destination = "extended_s3"

  kinesis_source_configuration {
    kinesis_stream_arn = var.stream_arn
    role_arn           = aws_iam_role.firehose.arn
  }

  extended_s3_configuration {
    bucket_arn         = var.bucket_arn
    role_arn           = aws_iam_role.firehose.arn
    kms_key_arn        = local.bucket_kms_key_arn
    compression_format = "GZIP"
    file_extension     = ".gz"
    buffering_size     = var.buffering_size_mb
    buffering_interval = var.buffering_interval_seconds
    # By arrival, in UTC: a device's clock must not create partitions.
    prefix              = "raw/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    error_output_prefix = "delivery-errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
    custom_time_zone    = "UTC"

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.firehose.name
      log_stream_name = aws_cloudwatch_log_stream.firehose.name
    }

    processing_configuration {
      enabled = true

      # One document a line: bodies come without a newline.
      processors {
        type = "AppendDelimiterToRecord"
      }
    }
  }

  depends_on = [aws_iam_role_policy.firehose]
}

resource "aws_cloudwatch_log_group" "firehose" {
  #checkov:skip=CKV_AWS_338: how long logs are kept is the user's choice; they hold no readings and nothing that is needed for a year
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_cloudwatch_log_stream" "firehose" {
  name           = local.log_stream_name
  log_group_name = aws_cloudwatch_log_group.firehose.name
}

resource "aws_iam_role" "firehose" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.firehose_trust.json
}

resource "aws_iam_role_policy" "firehose" {
  name   = "deliver"
  role   = aws_iam_role.firehose.id
  policy = data.aws_iam_policy_document.firehose.json
}

data "aws_iam_policy_document" "firehose_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "firehose" {
  statement {
    sid       = "ReadStream"
    actions   = ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"]
    resources = [var.stream_arn]
  }

  statement {
    sid       = "FindBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  # Into another account's bucket Firehose writes with an ACL that gives the bucket's owner the object.
  statement {
    sid = "WriteObjects"
    actions = concat(
      ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
      local.bucket_account_id == data.aws_caller_identity.current.account_id ? [] : ["s3:PutObjectAcl"],
    )
    resources = [
      "${var.bucket_arn}/raw/*",
      "${var.bucket_arn}/delivery-errors/*",
    ]

    # Who takes over the name of a bucket that was deleted must not be sent what it got.
    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  statement {
    sid       = "UseStreamKey"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["kinesis.${data.aws_region.current.name}.amazonaws.com"]
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

  statement {
    sid       = "WriteLog"
    actions   = ["logs:PutLogEvents"]
    resources = [local.log_stream_arn]
  }
}
