output "dashboard_url" {
  description = "Where the dashboard is looked at."
  value       = "https://${data.aws_region.current.name}.quicksight.aws.amazon.com/sn/dashboards/${aws_quicksight_dashboard.this.dashboard_id}"
}

output "data_set_ids" {
  description = "The data sets, by the view that each shows."
  value       = { for view, data_set in aws_quicksight_data_set.this : view => data_set.data_set_id }
}
