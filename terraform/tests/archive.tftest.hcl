# Bucket and Firehose, by the real provider without an account.

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
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  bucket_name           = "archive"
  delivery_stream_name  = "archive"
  stream_arn            = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
  dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
  kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "bucket" {
  command = plan

  module {
    source = "./modules/archive"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "The bucket must keep versions."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket must be closed to the public in all four ways."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs must be off."
  }

  assert {
    condition = one([
      for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    ])
    error_message = "Objects must be encrypted with the stack's key."
  }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.bucket.json).Statement == [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::archive/*", "arn:aws:s3:::archive"]
      Principal = "*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
    error_message = "The bucket must refuse requests without TLS, and grant nothing."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "A bucket with readings in it must not be destroyed."
  }

  assert {
    condition     = !aws_s3_bucket.this.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Object Lock must be asked for."
  }

  assert {
    condition = jsonencode({
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => {
        status     = rule.status
        prefix     = rule.filter[0].prefix
        transition = [for transition in rule.transition : "${transition.storage_class} ${transition.days}"]
        noncurrent = one(rule.noncurrent_version_expiration[*].noncurrent_days)
        abort      = one(rule.abort_incomplete_multipart_upload[*].days_after_initiation)
        # Current objects never expire by themselves.
        expires = length(rule.expiration)
      }
      }) == jsonencode({
      raw-to-colder-storage              = { status = "Enabled", prefix = "raw/", transition = ["STANDARD_IA 90"], noncurrent = null, abort = null, expires = 0 }
      old-versions-and-abandoned-uploads = { status = "Enabled", prefix = "", transition = [], noncurrent = 90, abort = 7, expires = 0 }
    })
    error_message = "Raw objects must grow cold, old versions and abandoned uploads go, and nothing else expire."
  }

  assert {
    condition = (
      aws_s3_bucket_notification.failures.queue[0].queue_arn == var.dead_letter_queue_arn
      && aws_s3_bucket_notification.failures.queue[0].filter_prefix == "aws/lambda/"
      && contains(aws_s3_bucket_notification.failures.queue[0].events, "s3:ObjectCreated:*")
    )
    error_message = "The dead-letter queue must be told of Lambda's failure objects."
  }
}

run "object_lock" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    object_lock_days = 30
    object_lock_mode = "COMPLIANCE"
  }

  assert {
    condition = (
      aws_s3_bucket.this.object_lock_enabled
      && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].mode == "COMPLIANCE"
      && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].days == 30
    )
    error_message = "Object Lock must hold for the days asked for."
  }
}

run "firehose" {
  command = plan

  module {
    source = "./modules/archive"
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
    condition     = aws_cloudwatch_log_group.firehose.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.firehose.retention_in_days == 90
    error_message = "Firehose's log must be encrypted, and kept for 90 days."
  }

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.firehose_trust.json).Statement[0].Condition.StringEquals["sts:ExternalId"] == "123456789012"
    error_message = "Firehose may take the role for this account alone."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.firehose.json).Statement :
      statement.Sid => { actions = toset(flatten([statement.Action])), resources = toset(flatten([statement.Resource])) }
      } == {
      ReadStream   = { actions = toset(["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"]), resources = toset([var.stream_arn]) }
      FindBucket   = { actions = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]), resources = toset(["arn:aws:s3:::archive"]) }
      WriteObjects = { actions = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/raw/*", "arn:aws:s3:::archive/delivery-errors/*"]) }
      UseKey       = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
      WriteLog     = { actions = toset(["logs:PutLogEvents"]), resources = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/aws/kinesisfirehose/archive:log-stream:delivery"]) }
    }
    error_message = "Firehose may do these things and nothing else."
  }
}
