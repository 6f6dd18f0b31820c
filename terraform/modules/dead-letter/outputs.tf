output "queue_url" {
  description = "The queue's URL."
  value       = aws_sqs_queue.this.url
}

output "queue_name" {
  description = "The queue's name."
  value       = aws_sqs_queue.this.name
}

output "queue_arn" {
  description = "The queue's ARN, once its policy stands: S3 tries the queue when a notification is set."
  value       = aws_sqs_queue.this.arn
  depends_on  = [aws_sqs_queue_policy.this]
}

output "message_bytes_max" {
  description = "The largest message."
  value       = aws_sqs_queue.this.max_message_size
}

output "queue_policy_json" {
  description = "Who may do what with the queue."
  value       = data.aws_iam_policy_document.queue.json
}
