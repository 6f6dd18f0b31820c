# The stream, by the real provider without an account.

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
  name        = "readings"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "defaults" {
  command = plan

  module {
    source = "./modules/stream"
  }

  assert {
    condition     = aws_kinesis_stream.this.encryption_type == "KMS" && aws_kinesis_stream.this.kms_key_id == var.kms_key_arn
    error_message = "Records must be encrypted with the stack's key."
  }

  assert {
    condition     = aws_kinesis_stream.this.retention_period == 168
    error_message = "The stream must keep records for seven days."
  }

  assert {
    condition     = aws_kinesis_stream.this.stream_mode_details[0].stream_mode == "ON_DEMAND" && aws_kinesis_stream.this.shard_count == null
    error_message = "The stream must be on demand by default, where it chooses its shards."
  }

  assert {
    condition     = length(aws_kinesis_stream_consumer.aggregator) == 0
    error_message = "Enhanced fan-out must be asked for."
  }
}

run "provisioned_with_enhanced_fan_out" {
  command = plan

  module {
    source = "./modules/stream"
  }

  variables {
    mode             = "PROVISIONED"
    shard_count      = 4
    enhanced_fan_out = true
  }

  assert {
    condition     = aws_kinesis_stream.this.shard_count == 4
    error_message = "A provisioned stream must have the shards asked for."
  }

  assert {
    condition     = length(aws_kinesis_stream_consumer.aggregator) == 1
    error_message = "There must be a consumer where enhanced fan-out is asked for."
  }
}

run "too_short_a_retention_is_refused" {
  command = plan

  module {
    source = "./modules/stream"
  }

  variables {
    retention_hours = 23
  }

  expect_failures = [var.retention_hours]
}
