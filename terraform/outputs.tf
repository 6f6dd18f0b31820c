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
