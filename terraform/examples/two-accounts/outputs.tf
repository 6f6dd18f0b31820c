output "url" {
  description = "Where to post, and to ask."
  value       = module.ingest.url
}

output "api_keys" {
  description = "The API's keys, by name."
  value       = module.ingest.api_keys
  sensitive   = true
}

output "dead_letter_queue_url" {
  description = "The dead-letter queue, in the pipeline's account."
  value       = module.dead_letter.queue_url
}

output "archive_bucket_name" {
  description = "The archive, in its own account."
  value       = module.archive.bucket_name
}
