# Firehose turns the rows, JSON by the function, into Parquet by the Glue table's schema. A repeated row is harmless: who
# reads takes each device and revision once.

locals {
  delivery_role_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.delivery_stream_name}"
  log_group_name    = "/aws/kinesisfirehose/${var.delivery_stream_name}"
  log_stream_name   = "delivery"
  log_stream_arn    = "arn:${data.aws_partition.current.partition}:logs:${local.arn_place}:log-group:${local.log_group_name}:log-stream:${local.log_stream_name}"
  glue_arn          = "arn:${data.aws_partition.current.partition}:glue:${local.arn_place}"
}

resource "aws_kinesis_firehose_delivery_stream" "curated" {
  name        = var.delivery_stream_name
  destination = "extended_s3"

  server_side_encryption {
    enabled  = true
    key_type = "CUSTOMER_MANAGED_CMK"
    key_arn  = var.kms_key_arn
  }

  extended_s3_configuration {
    bucket_arn  = var.bucket_arn
    role_arn    = aws_iam_role.firehose.arn
    kms_key_arn = local.bucket_kms_key_arn
    # Parquet compresses by itself.
    compression_format = "UNCOMPRESSED"
    buffering_size     = var.buffering_size_mb
    buffering_interval = var.buffering_interval_seconds
    # By delivery, in UTC.
    prefix              = "curated/device_statistics/dt=!{timestamp:yyyy-MM-dd}/"
    error_output_prefix = "delivery-errors/curated/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
    custom_time_zone    = "UTC"

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.firehose.name
      log_stream_name = aws_cloudwatch_log_stream.firehose.name
    }

    data_format_conversion_configuration {
      input_format_configuration {
        deserializer {
          open_x_json_ser_de {}
        }
      }

      output_format_configuration {
        serializer {
          parquet_ser_de {
            compression = "SNAPPY"
          }
        }
      }

      schema_configuration {
        catalog_id    = data.aws_caller_identity.current.account_id
        region        = data.aws_region.current.name
        database_name = var.glue_database_name
        table_name    = var.glue_table_name
        version_id    = "LATEST"
        role_arn      = aws_iam_role.firehose.arn
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
  name               = var.delivery_stream_name
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
    sid     = "ReadSchema"
    actions = ["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"]
    resources = [
      "${local.glue_arn}:catalog",
      "${local.glue_arn}:database/${var.glue_database_name}",
      "${local.glue_arn}:table/${var.glue_database_name}/${var.glue_table_name}",
    ]
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
      "${var.bucket_arn}/curated/*",
      "${var.bucket_arn}/delivery-errors/curated/*",
    ]

    # Who takes over the name of a bucket that was deleted must not be sent what it got.
    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
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
