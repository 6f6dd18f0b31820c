output "table_name" {
  description = "The table's name."
  value       = aws_dynamodb_table.this.name
}

output "table_arn" {
  description = "The table's ARN."
  value       = aws_dynamodb_table.this.arn
}

output "change_stream_arn" {
  description = "The ARN of the table's change stream."
  value       = aws_dynamodb_table.this.stream_arn
}
