output "bucket_name" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "The bucket's ARN, once its policy lets in who writes."
  value       = aws_s3_bucket.this.arn
  depends_on  = [aws_s3_bucket_policy.this]
}

output "bucket_policy_json" {
  description = "Who may not do what with the bucket."
  value       = data.aws_iam_policy_document.bucket.json
}
