# Firehose, by the real provider without an account.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

override_data {
  target = module.delivery.data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  name        = "archive"
  stream_arn  = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
  bucket_arn  = "arn:aws:s3:::archive"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "firehose" {
  command = plan

  module {
    source = "./modules/archive-delivery"
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.kinesis_source_configuration[0].kinesis_stream_arn == var.stream_arn
    error_message = "Firehose must read the stream by itself."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].prefix == "raw/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    error_message = "Raw objects must lie under day and hour of arrival."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].custom_time_zone == "UTC"
    error_message = "Days and hours must be those of UTC."
  }

  assert {
    condition     = startswith(aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].error_output_prefix, "delivery-errors/")
    error_message = "What Firehose cannot deliver must lie apart from raw/."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].compression_format == "GZIP" && aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].file_extension == ".gz"
    error_message = "Raw objects must be gzip, and say so."
  }

  assert {
    condition     = [for processor in aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].processing_configuration[0].processors : processor.type] == ["AppendDelimiterToRecord"]
    error_message = "Each document must end its line."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].kms_key_arn == var.kms_key_arn
    error_message = "Firehose must encrypt with the stack's key."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].cloudwatch_logging_options[0].enabled
    error_message = "Firehose must say what it cannot deliver."
  }

  assert {
    condition     = module.delivery.log_kms_key_arn == var.kms_key_arn && module.delivery.log_retention_days == 90
    error_message = "Firehose's log must be encrypted, and kept for 90 days."
  }

  assert {
    condition     = jsondecode(module.delivery.trust_json).Statement[0].Condition.StringEquals["sts:ExternalId"] == "123456789012"
    error_message = "Firehose may take the role for this account alone."
  }

  assert {
    condition = {
      for statement in jsondecode(module.delivery.policy_json).Statement :
      statement.Sid => { actions = toset(flatten([statement.Action])), resources = toset(flatten([statement.Resource])) }
      } == {
      ReadStream   = { actions = toset(["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"]), resources = toset([var.stream_arn]) }
      FindBucket   = { actions = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]), resources = toset(["arn:aws:s3:::archive"]) }
      WriteObjects = { actions = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/raw/*", "arn:aws:s3:::archive/delivery-errors/*"]) }
      UseStreamKey = { actions = toset(["kms:Decrypt"]), resources = toset([var.kms_key_arn]) }
      UseBucketKey = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
      WriteLog     = { actions = toset(["logs:PutLogEvents"]), resources = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/aws/kinesisfirehose/archive:log-stream:delivery"]) }
    }
    error_message = "Firehose may do these things and nothing else."
  }

  assert {
    condition = {
      for statement in jsondecode(module.delivery.policy_json).Statement : statement.Sid => statement.Condition.StringEquals if can(statement.Condition)
      } == {
      FindBucket   = { "s3:ResourceAccount" = "123456789012" }
      WriteObjects = { "s3:ResourceAccount" = "123456789012" }
      UseStreamKey = { "kms:ViaService" = "kinesis.eu-central-1.amazonaws.com" }
      UseBucketKey = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
    }
    error_message = "Firehose may write to this account's bucket alone, and use keys through their services alone."
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/archive"
    error_message = "The role must have the name by which others let it in."
  }
}

run "into_another_accounts_bucket" {
  command = plan

  module {
    source = "./modules/archive-delivery"
  }

  variables {
    bucket_account_id  = "222222222222"
    bucket_kms_key_arn = "arn:aws:kms:eu-central-1:222222222222:key/bucket"
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.raw.extended_s3_configuration[0].kms_key_arn == var.bucket_kms_key_arn
    error_message = "Objects must be encrypted with the bucket's key."
  }

  assert {
    condition     = module.delivery.log_kms_key_arn == var.kms_key_arn
    error_message = "The log must be encrypted with this account's key."
  }

  assert {
    condition = {
      for statement in jsondecode(module.delivery.policy_json).Statement : statement.Sid => flatten([statement.Resource]) if startswith(statement.Sid, "Use")
      } == {
      UseStreamKey = [var.kms_key_arn]
      UseBucketKey = [var.bucket_kms_key_arn]
    }
    error_message = "Each key must be usable for its own."
  }

  assert {
    condition = {
      for statement in jsondecode(module.delivery.policy_json).Statement :
      statement.Sid => statement.Condition.StringEquals["s3:ResourceAccount"] if can(statement.Condition.StringEquals["s3:ResourceAccount"])
    } == { FindBucket = "222222222222", WriteObjects = "222222222222" }
    error_message = "Firehose may write to the other account's bucket, as long as it is the other account's."
  }

  assert {
    condition = toset(one([
      for statement in jsondecode(module.delivery.policy_json).Statement : statement.Action if statement.Sid == "WriteObjects"
    ])) == toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"])
    error_message = "Firehose must be able to give the bucket's owner the object."
  }
}
