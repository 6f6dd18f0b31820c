output "function_name" {
  description = "The function's name."
  value       = aws_lambda_function.this.function_name
}

output "alias_arn" {
  description = "What callers call."
  value       = aws_lambda_alias.live.arn
}

output "role_arn" {
  description = "The function's role, known before the role is there."
  value       = local.role_arn
}

output "runtime_policy_json" {
  description = "What every function may do."
  value       = data.aws_iam_policy_document.runtime.json
}
