output "dashboard_name" {
  description = "The dashboard's name."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarm_arns" {
  description = "The alarms, by what they watch."
  value       = { for watched, alarm in merge(aws_cloudwatch_metric_alarm.this, aws_cloudwatch_metric_alarm.unread) : watched => alarm.arn }
}
