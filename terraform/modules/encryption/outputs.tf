output "key_arn" {
  description = "The key's ARN."
  value       = aws_kms_key.this.arn
}

output "policy_json" {
  description = "Who may do what with the key."
  value       = data.aws_iam_policy_document.key.json
}
