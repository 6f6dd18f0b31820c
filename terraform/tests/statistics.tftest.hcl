# The table, by the real provider without an account.

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

run "table" {
  command = plan

  module {
    source = "./modules/statistics"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/test"
  }

  assert {
    condition = {
      name  = aws_dynamodb_table.this.name
      keys  = [aws_dynamodb_table.this.hash_key, aws_dynamodb_table.this.range_key]
      types = { for attribute in aws_dynamodb_table.this.attribute : attribute.name => attribute.type }
      } == {
      name  = "device-statistics"
      keys  = ["device_id", "item"]
      types = { device_id = "S", item = "S" }
    }
    error_message = "The table must be the contract's."
  }

  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST"
    error_message = "The table must be on demand."
  }

  assert {
    condition     = aws_dynamodb_table.this.point_in_time_recovery[0].enabled
    error_message = "The table must be recoverable to any point in time."
  }

  assert {
    condition     = aws_dynamodb_table.this.ttl[0].enabled && aws_dynamodb_table.this.ttl[0].attribute_name == "expires_at"
    error_message = "Ledger pages must expire by expires_at."
  }

  assert {
    condition     = aws_dynamodb_table.this.stream_enabled && aws_dynamodb_table.this.stream_view_type == "NEW_IMAGE"
    error_message = "The table's changes must be streamed with their new image."
  }

  assert {
    condition     = aws_dynamodb_table.this.server_side_encryption[0].enabled && aws_dynamodb_table.this.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "Items must be encrypted with the stack's key."
  }

  assert {
    condition     = aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "The table must refuse to be deleted."
  }
}
