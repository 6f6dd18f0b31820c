output "url" {
  description = "Where to post, and to ask; null without the API."
  value       = one(module.ingest[*].url)
}

output "api_keys" {
  description = "The API's keys, by name; null without the API."
  value       = one(module.ingest[*].api_keys)
  sensitive   = true
}

output "domain_target" {
  description = "What your domain name's alias record points at; null without a domain name."
  value       = one(module.ingest[*].domain_target)
}

output "stream_name" {
  description = "The stream of readings."
  value       = module.stream.name
}

output "aggregator_function_name" {
  description = "The function that counts; its alias `live` is what is called."
  value       = module.aggregator.function_name
}

output "table_name" {
  description = "The statistics table."
  value       = module.statistics.table_name
}

output "dead_letter_queue_url" {
  description = "The dead-letter queue."
  value       = module.dead_letter.queue_url
}

output "archive_bucket_name" {
  description = "The archive."
  value       = module.archive.bucket_name
}

output "dashboard_name" {
  description = "The CloudWatch dashboard."
  value       = module.observability.dashboard_name
}

output "athena_workgroup_name" {
  description = "The Athena workgroup in which to ask."
  value       = module.analytics.workgroup_name
}

output "athena_database_name" {
  description = "The database that Athena asks."
  value       = module.analytics.database_name
}

output "analyst_policy_arn" {
  description = "The policy for those who ask."
  value       = module.analytics.analyst_policy_arn
}

output "curator_function_name" {
  description = "The function that follows the table's changes; null without a curator."
  value       = one(module.curator[*].function_name)
}

output "curated_delivery_stream_name" {
  description = "The Firehose stream of curated rows; null without a curator."
  value       = one(module.curator[*].delivery_stream_name)
}

output "quicksight_dashboard_url" {
  description = "The QuickSight dashboard; null without QuickSight."
  value       = one(module.quicksight[*].dashboard_url)
}
