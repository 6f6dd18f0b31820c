output "url" {
  description = "Where to post."
  value       = var.domain_name == null ? aws_api_gateway_stage.this.invoke_url : "https://${var.domain_name}"
}

output "api_keys" {
  description = "The keys, by name."
  value       = { for name, key in aws_api_gateway_api_key.this : name => key.value }
  sensitive   = true
}

output "api_name" {
  description = "The API's name."
  value       = aws_api_gateway_rest_api.this.name
}

output "stage_name" {
  description = "The stage's name."
  value       = aws_api_gateway_stage.this.stage_name
}

output "domain_target" {
  description = "What your domain name's alias record points at: `name` and `zone_id`; null without one."
  value = one([
    for domain in aws_api_gateway_domain_name.this : { name = domain.regional_domain_name, zone_id = domain.regional_zone_id }
  ])
}

output "body" {
  description = "The document that API Gateway imports."
  value       = local.body
}

output "policies_json" {
  description = "What each integration may do."
  value       = { for name, policy in data.aws_iam_policy_document.service : name => policy.json }
}
