output "bucket_name" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "The bucket's ARN."
  value       = aws_s3_bucket.this.arn
}

output "delivery_stream_name" {
  description = "The Firehose stream's name."
  value       = aws_kinesis_firehose_delivery_stream.raw.name
}

output "delivery_stream_arn" {
  description = "The Firehose stream's ARN, known once it is active."
  value       = aws_kinesis_firehose_delivery_stream.raw.arn
}

output "bucket_policy_json" {
  description = "Who may not do what with the bucket."
  value       = data.aws_iam_policy_document.bucket.json
}

output "firehose_policy_json" {
  description = "What Firehose may do."
  value       = data.aws_iam_policy_document.firehose.json
}
