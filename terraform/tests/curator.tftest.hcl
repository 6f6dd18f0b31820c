# The curator's function, mapping, Firehose, permissions and alarms, by the real provider without an account.

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

override_data {
  target = module.function.data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_data {
  target = module.delivery.data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  name                 = "curator"
  zip_path             = "tests/fixtures/function.zip"
  table_arn            = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
  change_stream_arn    = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics/stream/2026-01-01T00:00:00.000"
  delivery_stream_name = "curated"
  glue_database_name   = "streamgauge"
  glue_table_name      = "device_statistics"
  bucket_arn           = "arn:aws:s3:::archive"
  kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/test"
  alarm_actions        = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
}

run "mapping" {
  command = plan

  module {
    source = "./modules/curator"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.event_source_arn == var.change_stream_arn && aws_lambda_event_source_mapping.changes.enabled
    error_message = "The mapping must read the table's changes."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.starting_position == "TRIM_HORIZON"
    error_message = "The mapping must miss nothing while it is created."
  }

  assert {
    condition = [for filter in one(aws_lambda_event_source_mapping.changes.filter_criteria).filter : jsondecode(filter.pattern)] == [{
      eventName = ["INSERT", "MODIFY"]
      dynamodb  = { Keys = { item = { S = ["statistics"] } } }
    }]
    error_message = "Statistics alone may reach the function: neither ledger pages nor deletions."
  }

  assert {
    condition     = tolist(aws_lambda_event_source_mapping.changes.function_response_types) == tolist(["ReportBatchItemFailures"])
    error_message = "One row's failure must not fail the batch."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.bisect_batch_on_function_error
    error_message = "A batch whose invocation fails must be halved."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.maximum_retry_attempts == -1
    error_message = "A batch must be retried for as long as its age allows."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.maximum_record_age_in_seconds == 75600
    error_message = "A change must be given up to the bucket before the change stream forgets it."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.destination_config[0].on_failure[0].destination_arn == var.bucket_arn
    error_message = "What Lambda gives up must go to the bucket, whole."
  }

  assert {
    condition = {
      batch  = aws_lambda_event_source_mapping.changes.batch_size
      window = aws_lambda_event_source_mapping.changes.maximum_batching_window_in_seconds
      lanes  = aws_lambda_event_source_mapping.changes.parallelization_factor
    } == { batch = 1000, window = 10, lanes = 1 }
    error_message = "Batches must be large, to fill Firehose's records."
  }
}

run "every_setting_of_the_mapping_is_a_variable" {
  command = plan

  module {
    source = "./modules/curator"
  }

  variables {
    mapping_enabled                    = false
    starting_position                  = "LATEST"
    batch_size                         = 5
    maximum_batching_window_in_seconds = 6
    parallelization_factor             = 7
    maximum_retry_attempts             = 8
    maximum_record_age_in_seconds      = 90
  }

  assert {
    condition = {
      enabled = aws_lambda_event_source_mapping.changes.enabled
      start   = aws_lambda_event_source_mapping.changes.starting_position
      batch   = aws_lambda_event_source_mapping.changes.batch_size
      window  = aws_lambda_event_source_mapping.changes.maximum_batching_window_in_seconds
      lanes   = aws_lambda_event_source_mapping.changes.parallelization_factor
      retries = aws_lambda_event_source_mapping.changes.maximum_retry_attempts
      age     = aws_lambda_event_source_mapping.changes.maximum_record_age_in_seconds
    } == { enabled = false, start = "LATEST", batch = 5, window = 6, lanes = 7, retries = 8, age = 90 }
    error_message = "The mapping must take every variable."
  }
}

run "an_age_that_the_change_stream_does_not_keep_is_refused" {
  command = plan

  module {
    source = "./modules/curator"
  }

  variables {
    maximum_record_age_in_seconds = 86400
  }

  expect_failures = [var.maximum_record_age_in_seconds]
}

run "parquet_by_the_tables_schema" {
  command = plan

  module {
    source = "./modules/curator"
  }

  assert {
    condition = one(aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].data_format_conversion_configuration[0].schema_configuration).database_name == "streamgauge" && (
      one(aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].data_format_conversion_configuration[0].schema_configuration).table_name == "device_statistics"
    )
    error_message = "The Glue table must say which columns there are."
  }

  assert {
    condition     = length(aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].data_format_conversion_configuration[0].input_format_configuration[0].deserializer[0].open_x_json_ser_de) == 1
    error_message = "Rows must be read by OpenX, which takes their timestamps as they are."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].data_format_conversion_configuration[0].output_format_configuration[0].serializer[0].parquet_ser_de[0].compression == "SNAPPY"
    error_message = "Rows must become Parquet."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].prefix == "curated/device_statistics/dt=!{timestamp:yyyy-MM-dd}/" && aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].custom_time_zone == "UTC"
    error_message = "Objects must lie under the UTC day of delivery."
  }

  assert {
    condition     = startswith(aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].error_output_prefix, "delivery-errors/curated/")
    error_message = "What cannot be converted must lie apart from curated/."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].kms_key_arn == var.kms_key_arn
    error_message = "Objects must be encrypted with the stack's key."
  }

  assert {
    condition     = one(aws_kinesis_firehose_delivery_stream.curated.server_side_encryption).enabled && one(aws_kinesis_firehose_delivery_stream.curated.server_side_encryption).key_arn == var.kms_key_arn && one(aws_kinesis_firehose_delivery_stream.curated.server_side_encryption).key_type == "CUSTOMER_MANAGED_CMK"
    error_message = "Firehose must encrypt what it buffers with the stack's key."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].cloudwatch_logging_options[0].enabled
    error_message = "Firehose must say what it cannot deliver."
  }

  assert {
    condition     = module.delivery.log_kms_key_arn == var.kms_key_arn && module.delivery.log_retention_days == 90
    error_message = "Firehose's log must be encrypted, and kept for 90 days."
  }
}

run "permissions" {
  command = plan

  module {
    source = "./modules/curator"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement :
      statement.Sid => { actions = toset(flatten([statement.Action])), resources = toset(flatten([statement.Resource])) }
      } == {
      ReadChanges            = { actions = toset(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]), resources = toset([var.change_stream_arn]) }
      FindChanges            = { actions = toset(["dynamodb:ListStreams"]), resources = toset(["${var.table_arn}/stream/*"]) }
      DeliverRows            = { actions = toset(["firehose:PutRecordBatch"]), resources = toset(["arn:aws:firehose:eu-central-1:123456789012:deliverystream/curated"]) }
      KeepFailures           = { actions = toset(["s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/aws/lambda/*"]) }
      FindFailureDestination = { actions = toset(["s3:ListBucket"]), resources = toset([var.bucket_arn]) }
      UseTableKey            = { actions = toset(["kms:Decrypt"]), resources = toset([var.kms_key_arn]) }
      UseBucketKey           = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
    }
    error_message = "The function may do these things and nothing else."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement : statement.Sid => statement.Condition.StringEquals if can(statement.Condition)
      } == {
      KeepFailures           = { "s3:ResourceAccount" = "123456789012" }
      FindFailureDestination = { "s3:ResourceAccount" = "123456789012" }
      UseTableKey            = { "kms:ViaService" = "dynamodb.eu-central-1.amazonaws.com" }
      UseBucketKey           = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
    }
    error_message = "Failures may go to this account's bucket alone, and keys be used through their services alone."
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
      ReadSchema = {
        actions = toset(["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"])
        resources = toset([
          "arn:aws:glue:eu-central-1:123456789012:catalog",
          "arn:aws:glue:eu-central-1:123456789012:database/streamgauge",
          "arn:aws:glue:eu-central-1:123456789012:table/streamgauge/device_statistics",
        ])
      }
      FindBucket   = { actions = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]), resources = toset(["arn:aws:s3:::archive"]) }
      WriteObjects = { actions = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/curated/*", "arn:aws:s3:::archive/delivery-errors/curated/*"]) }
      UseBucketKey = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
      WriteLog     = { actions = toset(["logs:PutLogEvents"]), resources = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/aws/kinesisfirehose/curated:log-stream:delivery"]) }
    }
    error_message = "Firehose may do these things and nothing else."
  }

  assert {
    condition = {
      for statement in jsondecode(module.delivery.policy_json).Statement : statement.Sid => statement.Condition.StringEquals if can(statement.Condition)
      } == {
      FindBucket   = { "s3:ResourceAccount" = "123456789012" }
      WriteObjects = { "s3:ResourceAccount" = "123456789012" }
      UseBucketKey = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
    }
    error_message = "Firehose may write to this account's bucket alone, and use the key through S3 alone."
  }

  assert {
    condition     = output.delivery_role_arn == "arn:aws:iam::123456789012:role/curated"
    error_message = "The role must have the name by which others let it in."
  }
}

run "into_another_accounts_bucket" {
  command = plan

  module {
    source = "./modules/curator"
  }

  variables {
    bucket_account_id  = "222222222222"
    bucket_kms_key_arn = "arn:aws:kms:eu-central-1:222222222222:key/bucket"
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.curated.extended_s3_configuration[0].kms_key_arn == var.bucket_kms_key_arn && one(aws_kinesis_firehose_delivery_stream.curated.server_side_encryption).key_arn == var.kms_key_arn
    error_message = "Objects must be encrypted with the bucket's key, and the buffer with this account's."
  }

  assert {
    condition = {
      for statement in concat(jsondecode(data.aws_iam_policy_document.function.json).Statement, jsondecode(module.delivery.policy_json).Statement) :
      statement.Sid => statement.Resource... if startswith(statement.Sid, "Use")
      } == {
      UseTableKey  = [var.kms_key_arn]
      UseBucketKey = [var.bucket_kms_key_arn, var.bucket_kms_key_arn]
    }
    error_message = "Each key must be usable for its own."
  }

  assert {
    condition = toset([
      for statement in concat(jsondecode(data.aws_iam_policy_document.function.json).Statement, jsondecode(module.delivery.policy_json).Statement) :
      "${statement.Sid} ${statement.Condition.StringEquals["s3:ResourceAccount"]}" if can(statement.Condition.StringEquals["s3:ResourceAccount"])
    ]) == toset(["KeepFailures 222222222222", "FindFailureDestination 222222222222", "FindBucket 222222222222", "WriteObjects 222222222222"])
    error_message = "Both may write to the other account's bucket, as long as it is the other account's."
  }

  assert {
    condition = contains(one([
      for statement in jsondecode(module.delivery.policy_json).Statement : statement.Action if statement.Sid == "WriteObjects"
    ]), "s3:PutObjectAcl")
    error_message = "Firehose must be able to give the bucket's owner the object."
  }
}

run "alarms" {
  command = plan

  module {
    source = "./modules/curator"
  }

  assert {
    condition = jsonencode({
      for watched, alarm in aws_cloudwatch_metric_alarm.this : watched => join(" ", [alarm.namespace, alarm.metric_name, alarm.statistic, alarm.threshold, join(",", values(alarm.dimensions))])
      }) == jsonencode({
      iterator-age        = "AWS/Lambda IteratorAge Maximum 3600000 curator"
      errors              = "AWS/Lambda Errors Sum 0 curator"
      throttles           = "AWS/Lambda Throttles Sum 0 curator"
      failure-destination = "AWS/Lambda DestinationDeliveryFailures Sum 0 curator"
      unreadable          = "Streamgauge UnreadableItems Sum 0 curator"
      freshness           = "AWS/Firehose DeliveryToS3.DataFreshness Maximum 900 curated"
      conversion          = "AWS/Firehose FailedConversion.Records Sum 0 curated"
    })
    error_message = "Every alarm must watch its metric."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.comparison_operator == "GreaterThanThreshold" && alarm.treat_missing_data == "notBreaching" && alarm.evaluation_periods == 1 && tolist(alarm.alarm_actions) == var.alarm_actions
    ])
    error_message = "One period over the threshold must be enough, silence must be no alarm, and those who asked be told."
  }
}
