output "function_name" {
  description = "The function's name."
  value       = module.function.function_name
}

output "role_arn" {
  description = "The function's role, known before the role is there."
  value       = module.function.role_arn
}

output "event_source_mapping_arn" {
  description = "The mapping's ARN, known once it is enabled."
  value       = aws_lambda_event_source_mapping.stream.arn
}

output "policy_json" {
  description = "What the function may do."
  value       = data.aws_iam_policy_document.function.json
}

output "runtime_policy_json" {
  description = "What every function may do."
  value       = module.function.runtime_policy_json
}

output "event_source_mapping_uuid" {
  description = "The mapping's id, under which Lambda keeps batches that it gives up: `aws/lambda/UUID/`."
  value       = aws_lambda_event_source_mapping.stream.uuid
}
