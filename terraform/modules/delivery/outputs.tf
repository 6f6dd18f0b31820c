output "role_arn" {
  description = "Firehose's role, known before the role is there."
  value       = local.role_arn
}

output "bucket_kms_key_arn" {
  description = "The key that objects are encrypted with."
  value       = local.bucket_kms_key_arn
}

output "log_group_name" {
  description = "Firehose's log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_stream_name" {
  description = "The log's one stream."
  value       = aws_cloudwatch_log_stream.this.name
}

output "log_retention_days" {
  description = "How long the log is kept."
  value       = aws_cloudwatch_log_group.this.retention_in_days
}

output "log_kms_key_arn" {
  description = "The key of the log."
  value       = aws_cloudwatch_log_group.this.kms_key_id
}

output "trust_json" {
  description = "Who may take the role."
  value       = data.aws_iam_policy_document.trust.json
}

output "policy_json" {
  description = "What Firehose may do."
  value       = data.aws_iam_policy_document.this.json
}
