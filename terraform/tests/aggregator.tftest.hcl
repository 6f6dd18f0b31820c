# Function, mapping and permissions, by the real provider without an account.

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

variables {
  name                  = "aggregator"
  zip_path              = "tests/fixtures/function.zip"
  stream_arn            = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
  table_name            = "device-statistics"
  table_arn             = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
  dead_letter_queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters"
  dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
  archive_bucket_name   = "archive"
  archive_bucket_arn    = "arn:aws:s3:::archive"
  kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "mapping" {
  command = plan

  module {
    source = "./modules/aggregator"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.event_source_arn == var.stream_arn && aws_lambda_event_source_mapping.stream.enabled
    error_message = "The mapping must read the stream."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.starting_position == "TRIM_HORIZON"
    error_message = "The mapping must miss nothing while it is created."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.maximum_retry_attempts == -1
    error_message = "A batch must be retried until it succeeds."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.maximum_record_age_in_seconds == -1
    error_message = "No record may be given up for its age."
  }

  assert {
    condition     = tolist(aws_lambda_event_source_mapping.stream.function_response_types) == tolist(["ReportBatchItemFailures"])
    error_message = "One device's failure must not fail the batch."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.bisect_batch_on_function_error
    error_message = "A batch whose invocation fails must be halved."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.batch_size == 1000
    error_message = "A batch must be of 1000 records."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.maximum_batching_window_in_seconds == 1
    error_message = "A batch must wait for a second."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.parallelization_factor == 1
    error_message = "A shard must have one batch at once by default."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.tumbling_window_in_seconds == 0
    error_message = "Lambda must keep no state."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.destination_config[0].on_failure[0].destination_arn == var.archive_bucket_arn
    error_message = "What Lambda gives up must go to the bucket, whole."
  }
}

run "every_setting_of_the_mapping_is_a_variable" {
  command = plan

  module {
    source = "./modules/aggregator"
  }

  variables {
    stream_consumer_arn                = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings/consumer/aggregator:1"
    mapping_enabled                    = false
    starting_position                  = "LATEST"
    batch_size                         = 5
    maximum_batching_window_in_seconds = 6
    parallelization_factor             = 7
    bisect_batch_on_function_error     = false
    maximum_retry_attempts             = 8
    maximum_record_age_in_seconds      = 90
    tumbling_window_in_seconds         = 10
    function_response_types            = []
  }

  assert {
    condition = {
      source  = aws_lambda_event_source_mapping.stream.event_source_arn
      enabled = aws_lambda_event_source_mapping.stream.enabled
      start   = aws_lambda_event_source_mapping.stream.starting_position
      batch   = aws_lambda_event_source_mapping.stream.batch_size
      window  = aws_lambda_event_source_mapping.stream.maximum_batching_window_in_seconds
      lanes   = aws_lambda_event_source_mapping.stream.parallelization_factor
      bisect  = aws_lambda_event_source_mapping.stream.bisect_batch_on_function_error
      retries = aws_lambda_event_source_mapping.stream.maximum_retry_attempts
      age     = aws_lambda_event_source_mapping.stream.maximum_record_age_in_seconds
      tumble  = aws_lambda_event_source_mapping.stream.tumbling_window_in_seconds
      types   = aws_lambda_event_source_mapping.stream.function_response_types == null
      } == {
      source  = var.stream_consumer_arn
      enabled = false
      start   = "LATEST"
      batch   = 5
      window  = 6
      lanes   = 7
      bisect  = false
      retries = 8
      age     = 90
      tumble  = 10
      types   = true
    }
    error_message = "The mapping must take every variable."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement : statement.Resource if statement.Sid == "ReadStreamByConsumer"
    ] == [var.stream_consumer_arn]
    error_message = "The function must be let read by the consumer."
  }
}

run "permissions" {
  command = plan

  module {
    source = "./modules/aggregator"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement :
      statement.Sid => { actions = toset(flatten([statement.Action])), resources = toset(flatten([statement.Resource])) }
      } == {
      ReadStream             = { actions = toset(["kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]), resources = toset([var.stream_arn]) }
      CountOnce              = { actions = toset(["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem"]), resources = toset([var.table_arn]) }
      SendDeadLetters        = { actions = toset(["sqs:SendMessage"]), resources = toset([var.dead_letter_queue_arn]) }
      KeepDeadLetters        = { actions = toset(["s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/dead-letters/*", "arn:aws:s3:::archive/aws/lambda/*"]) }
      FindFailureDestination = { actions = toset(["s3:ListBucket"]), resources = toset([var.archive_bucket_arn]) }
      UseKey                 = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
      UseArchiveKey          = { actions = toset(["kms:Decrypt", "kms:GenerateDataKey"]), resources = toset([var.kms_key_arn]) }
    }
    error_message = "The function may do these things and nothing else."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement :
      statement.Sid => toset(flatten([statement.Condition.StringEquals["kms:ViaService"]])) if can(statement.Condition.StringEquals["kms:ViaService"])
      } == {
      UseKey        = toset([for service in ["dynamodb", "kinesis", "sqs"] : "${service}.eu-central-1.amazonaws.com"])
      UseArchiveKey = toset(["s3.eu-central-1.amazonaws.com"])
    }
    error_message = "Keys may be used through the four services alone."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement :
      statement.Sid => statement.Condition.StringEquals["s3:ResourceAccount"] if can(statement.Condition.StringEquals["s3:ResourceAccount"])
    } == { KeepDeadLetters = "123456789012", FindFailureDestination = "123456789012" }
    error_message = "Dead letters may go to this account's bucket alone."
  }

  # The list of what may name every resource: X-Ray, which has none to name.
  assert {
    condition = [
      for statement in concat(jsondecode(data.aws_iam_policy_document.function.json).Statement, jsondecode(output.runtime_policy_json).Statement) :
      toset(flatten([statement.Action])) if contains(flatten([statement.Resource]), "*")
    ] == [toset(["xray:PutTraceSegments", "xray:PutTelemetryRecords"])]
    error_message = "Tracing alone may name every resource."
  }

  assert {
    condition = alltrue([
      for statement in concat(jsondecode(data.aws_iam_policy_document.function.json).Statement, jsondecode(output.runtime_policy_json).Statement) :
      alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])
    ])
    error_message = "Every action must be named."
  }

  assert {
    condition = one([
      for statement in jsondecode(output.runtime_policy_json).Statement : statement.Resource if statement.Sid == "WriteLog"
    ]) == "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/aggregator:*"
    error_message = "The function may write its own log alone."
  }
}

run "an_archive_in_another_account" {
  command = plan

  module {
    source = "./modules/aggregator"
  }

  variables {
    archive_account_id  = "222222222222"
    archive_kms_key_arn = "arn:aws:kms:eu-central-1:222222222222:key/archive"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement : statement.Sid => statement.Resource if startswith(statement.Sid, "Use")
      } == {
      UseKey        = var.kms_key_arn
      UseArchiveKey = var.archive_kms_key_arn
    }
    error_message = "The function must have the use of both keys."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.function.json).Statement :
      statement.Sid => statement.Condition.StringEquals["s3:ResourceAccount"] if can(statement.Condition.StringEquals["s3:ResourceAccount"])
    } == { KeepDeadLetters = "222222222222", FindFailureDestination = "222222222222" }
    error_message = "Dead letters may go to the other account's bucket, as long as it is the other account's."
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/aggregator"
    error_message = "The role must be this account's, and known before it is there."
  }
}
