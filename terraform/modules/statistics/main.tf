# The table: one item of statistics a device, and the ledger pages of what was counted.

resource "aws_dynamodb_table" "this" {
  name                        = var.table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "device_id"
  range_key                   = "item"
  deletion_protection_enabled = var.deletion_protection
  # What changed, for those who follow it.
  stream_enabled   = true
  stream_view_type = "NEW_IMAGE"

  attribute {
    name = "device_id"
    type = "S"
  }

  attribute {
    name = "item"
    type = "S"
  }

  # Only ledger pages carry it, and only where a retention is set.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
}
