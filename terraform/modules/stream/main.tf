# The stream of readings, between what posts them and what reads them.

resource "aws_kinesis_stream" "this" {
  name             = var.name
  retention_period = var.retention_hours
  shard_count      = var.mode == "PROVISIONED" ? var.shard_count : null
  encryption_type  = "KMS"
  kms_key_id       = var.kms_key_arn

  stream_mode_details {
    stream_mode = var.mode
  }
}

resource "aws_kinesis_stream_consumer" "aggregator" {
  count = var.enhanced_fan_out ? 1 : 0

  name       = "aggregator"
  stream_arn = aws_kinesis_stream.this.arn
}
