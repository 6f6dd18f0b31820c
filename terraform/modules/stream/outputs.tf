output "name" {
  description = "The stream's name."
  value       = aws_kinesis_stream.this.name
}

output "arn" {
  description = "The stream's ARN."
  value       = aws_kinesis_stream.this.arn
}

output "consumer_arn" {
  description = "The enhanced fan-out consumer's ARN, or null."
  value       = one(aws_kinesis_stream_consumer.aggregator[*].arn)
}
