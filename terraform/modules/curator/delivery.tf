# Firehose turns the rows, JSON by the function, into Parquet by the Glue table's schema. A repeated row is harmless: who
# reads takes each device and revision once.

locals {
  glue_arn = "arn:${data.aws_partition.current.partition}:glue:${local.arn_place}"
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
    role_arn    = module.delivery.role_arn
    kms_key_arn = module.delivery.bucket_kms_key_arn
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
      log_group_name  = module.delivery.log_group_name
      log_stream_name = module.delivery.log_stream_name
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
        role_arn      = module.delivery.role_arn
      }
    }
  }

  # Its role is there before it, and lets it.
  depends_on = [module.delivery]
}

module "delivery" {
  source = "../delivery"

  name               = var.delivery_stream_name
  source_policy_json = data.aws_iam_policy_document.schema.json
  folders            = ["curated", "delivery-errors/curated"]
  bucket_arn         = var.bucket_arn
  bucket_account_id  = var.bucket_account_id
  bucket_kms_key_arn = var.bucket_kms_key_arn
  kms_key_arn        = var.kms_key_arn
  log_retention_days = var.log_retention_days
}

data "aws_iam_policy_document" "schema" {
  statement {
    sid     = "ReadSchema"
    actions = ["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"]
    resources = [
      "${local.glue_arn}:catalog",
      "${local.glue_arn}:database/${var.glue_database_name}",
      "${local.glue_arn}:table/${var.glue_database_name}/${var.glue_table_name}",
    ]
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
