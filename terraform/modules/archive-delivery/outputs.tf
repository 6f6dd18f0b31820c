output "name" {
  description = "The Firehose stream's name."
  value       = aws_kinesis_firehose_delivery_stream.raw.name
}

output "arn" {
  description = "The Firehose stream's ARN, known once it is active."
  value       = aws_kinesis_firehose_delivery_stream.raw.arn
}

output "role_arn" {
  description = "Firehose's role, which another account's bucket and key have to let in. Known before the role is there."
  value       = module.delivery.role_arn
}

output "policy_json" {
  description = "What Firehose may do."
  value       = module.delivery.policy_json
}
