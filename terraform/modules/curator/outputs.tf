output "function_name" {
  description = "The function's name."
  value       = module.function.function_name
}

output "role_arn" {
  description = "The function's role, known before the role is there."
  value       = module.function.role_arn
}

output "delivery_stream_name" {
  description = "The name of the Firehose stream of curated rows."
  value       = aws_kinesis_firehose_delivery_stream.curated.name
}

output "delivery_role_arn" {
  description = "Firehose's role, which another account's bucket and key have to let in. Known before the role is there."
  value       = module.delivery.role_arn
}

output "alarm_arns" {
  description = "The alarms, by what they watch."
  value       = { for watched, alarm in aws_cloudwatch_metric_alarm.this : watched => alarm.arn }
}

output "runtime_policy_json" {
  description = "What every function may do."
  value       = module.function.runtime_policy_json
}
