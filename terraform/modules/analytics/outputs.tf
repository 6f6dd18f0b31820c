output "database_name" {
  description = "The Glue database."
  value       = aws_glue_catalog_database.this.name
}

output "curated_table_name" {
  description = "The Glue table of the curated data."
  value       = aws_glue_catalog_table.data["device_statistics"].name
}

output "workgroup_name" {
  description = "The Athena workgroup."
  value       = aws_athena_workgroup.this.name
}

output "analyst_policy_arn" {
  description = "The policy for those who ask."
  value       = aws_iam_policy.analyst.arn
}

output "named_query_ids" {
  description = "The queries that analysts ask first, by name."
  value       = { for name, query in aws_athena_named_query.this : name => query.id }
}

output "views" {
  description = "The views, by name, once they are there."
  value       = { for name, view in aws_glue_catalog_table.view : name => view.name }
}
