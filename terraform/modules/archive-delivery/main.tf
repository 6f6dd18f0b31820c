# Firehose reads the stream by itself: a reading is archived whatever the aggregator does. It lives in the stream's
# account and region; the bucket may be another account's.

data "aws_region" "current" {}

resource "aws_kinesis_firehose_delivery_stream" "raw" {
  name        = var.name
  destination = "extended_s3"

  kinesis_source_configuration {
    kinesis_stream_arn = var.stream_arn
    role_arn           = module.delivery.role_arn
  }

  extended_s3_configuration {
    bucket_arn         = var.bucket_arn
    role_arn           = module.delivery.role_arn
    kms_key_arn        = module.delivery.bucket_kms_key_arn
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
      log_group_name  = module.delivery.log_group_name
      log_stream_name = module.delivery.log_stream_name
    }

    processing_configuration {
      enabled = true

      # One document a line: bodies come without a newline.
      processors {
        type = "AppendDelimiterToRecord"
      }
    }
  }

  # Its role is there before it, and lets it.
  depends_on = [module.delivery]
}

module "delivery" {
  source = "../delivery"

  name               = var.name
  source_policy_json = data.aws_iam_policy_document.stream.json
  folders            = ["raw", "delivery-errors"]
  bucket_arn         = var.bucket_arn
  bucket_account_id  = var.bucket_account_id
  bucket_kms_key_arn = var.bucket_kms_key_arn
  kms_key_arn        = var.kms_key_arn
  log_retention_days = var.log_retention_days
}

data "aws_iam_policy_document" "stream" {
  statement {
    sid       = "ReadStream"
    actions   = ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"]
    resources = [var.stream_arn]
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
}

moved {
  from = aws_cloudwatch_log_group.firehose
  to   = module.delivery.aws_cloudwatch_log_group.this
}

moved {
  from = aws_cloudwatch_log_stream.firehose
  to   = module.delivery.aws_cloudwatch_log_stream.this
}

moved {
  from = aws_iam_role.firehose
  to   = module.delivery.aws_iam_role.this
}

moved {
  from = aws_iam_role_policy.firehose
  to   = module.delivery.aws_iam_role_policy.this
}
