# The pipeline, in the order in which a reading passes through it.

provider "aws" {
  region = var.region

  default_tags {
    tags = merge({ Project = "streamgauge", Stack = var.name }, var.tags)
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  # From its name rather than from the bucket: the dead-letter queue lets the bucket in before the bucket is there.
  archive_bucket_name = coalesce(var.archive_bucket_name, "${var.name}-archive-${data.aws_caller_identity.current.account_id}")
  archive_bucket_arn  = "arn:${data.aws_partition.current.partition}:s3:::${local.archive_bucket_name}"

  # What the curator's mapping gives up are changes of the table, and no readings that could be redriven.
  failure_prefix = var.curator_zip_path == null ? "aws/lambda/" : "aws/lambda/${module.aggregator.event_source_mapping_uuid}/"
}

module "encryption" {
  source = "./modules/encryption"

  name = var.name
}

module "ingest" {
  source = "./modules/ingest"
  count  = var.ingest_enabled ? 1 : 0

  name                        = var.name
  openapi_document            = file("${path.root}/../crates/gateway/openapi.yaml")
  stream_name                 = module.stream.name
  stream_arn                  = module.stream.arn
  table_name                  = module.statistics.table_name
  table_arn                   = module.statistics.table_arn
  kms_key_arn                 = module.encryption.key_arn
  consumers                   = [module.aggregator.event_source_mapping_arn, module.archive_delivery.arn]
  stage_name                  = var.stage_name
  throttling_rate_limit       = var.throttling_rate_limit
  throttling_burst_limit      = var.throttling_burst_limit
  quota_posts_per_month       = var.quota_posts_per_month
  api_key_names               = var.api_key_names
  log_retention_days          = var.log_retention_days
  manage_account_logging_role = var.manage_account_logging_role
  web_acl_arn                 = var.web_acl_arn
  domain_name                 = var.domain_name
  certificate_arn             = var.certificate_arn
}

module "stream" {
  source = "./modules/stream"

  name             = "${var.name}-readings"
  kms_key_arn      = module.encryption.key_arn
  mode             = var.stream_mode
  shard_count      = var.stream_shard_count
  retention_hours  = var.stream_retention_hours
  enhanced_fan_out = var.enhanced_fan_out
}

module "aggregator" {
  source = "./modules/aggregator"

  name                               = "${var.name}-aggregator"
  zip_path                           = var.aggregator_zip_path
  architecture                       = var.architecture
  memory_size_mb                     = var.aggregator_memory_size_mb
  timeout_seconds                    = var.aggregator_timeout_seconds
  reserved_concurrent_executions     = var.reserved_concurrent_executions
  provisioned_concurrent_executions  = var.provisioned_concurrent_executions
  stream_arn                         = module.stream.arn
  stream_consumer_arn                = module.stream.consumer_arn
  mapping_enabled                    = var.mapping_enabled
  starting_position                  = var.starting_position
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.maximum_batching_window_in_seconds
  parallelization_factor             = var.parallelization_factor
  bisect_batch_on_function_error     = var.bisect_batch_on_function_error
  maximum_retry_attempts             = var.maximum_retry_attempts
  maximum_record_age_in_seconds      = var.maximum_record_age_in_seconds
  tumbling_window_in_seconds         = var.tumbling_window_in_seconds
  function_response_types            = var.function_response_types
  table_name                         = module.statistics.table_name
  table_arn                          = module.statistics.table_arn
  dead_letter_queue_url              = module.dead_letter.queue_url
  dead_letter_queue_arn              = module.dead_letter.queue_arn
  dead_letter_bytes_max              = module.dead_letter.message_bytes_max
  archive_bucket_name                = module.archive.bucket_name
  archive_bucket_arn                 = module.archive.bucket_arn
  kms_key_arn                        = module.encryption.key_arn
  log_retention_days                 = var.log_retention_days
  metrics_namespace                  = var.metrics_namespace
  ledger_mode                        = var.ledger_mode
  ledger_retention_days              = var.ledger_retention_days
  future_tolerance_seconds           = var.future_tolerance_seconds
  concurrency                        = var.aggregator_concurrency
}

module "statistics" {
  source = "./modules/statistics"

  table_name          = var.table_name
  kms_key_arn         = module.encryption.key_arn
  deletion_protection = var.deletion_protection
}

module "dead_letter" {
  source = "./modules/dead-letter"

  name               = "${var.name}-dead-letters"
  kms_key_arn        = module.encryption.key_arn
  archive_bucket_arn = local.archive_bucket_arn
  alarm_actions      = var.alarm_actions
}

module "archive" {
  source = "./modules/archive"

  bucket_name                  = local.archive_bucket_name
  dead_letter_queue_arn        = module.dead_letter.queue_arn
  failure_prefix               = local.failure_prefix
  kms_key_arn                  = module.encryption.key_arn
  object_lock_days             = var.archive_object_lock_days
  object_lock_mode             = var.archive_object_lock_mode
  raw_transition_days          = var.archive_transition_days
  raw_transition_storage_class = var.archive_transition_storage_class
  force_destroy                = !var.deletion_protection
}

module "archive_delivery" {
  source = "./modules/archive-delivery"

  name                       = "${var.name}-archive"
  stream_arn                 = module.stream.arn
  bucket_arn                 = module.archive.bucket_arn
  kms_key_arn                = module.encryption.key_arn
  buffering_size_mb          = var.archive_buffering_size_mb
  buffering_interval_seconds = var.archive_buffering_interval_seconds
  log_retention_days         = var.log_retention_days
}

module "curator" {
  source = "./modules/curator"
  count  = var.curator_zip_path == null ? 0 : 1

  name                       = "${var.name}-curator"
  zip_path                   = var.curator_zip_path
  architecture               = var.architecture
  memory_size_mb             = var.curator_memory_size_mb
  mapping_enabled            = var.mapping_enabled
  table_arn                  = module.statistics.table_arn
  change_stream_arn          = module.statistics.change_stream_arn
  delivery_stream_name       = "${var.name}-curated"
  glue_database_name         = module.analytics.database_name
  glue_table_name            = module.analytics.curated_table_name
  bucket_arn                 = module.archive.bucket_arn
  kms_key_arn                = module.encryption.key_arn
  buffering_size_mb          = var.curated_buffering_size_mb
  buffering_interval_seconds = var.curated_buffering_interval_seconds
  log_retention_days         = var.log_retention_days
  metrics_namespace          = var.metrics_namespace
  alarm_actions              = var.alarm_actions
}

module "analytics" {
  source = "./modules/analytics"

  name                   = var.name
  database_name          = replace(var.name, "-", "_")
  sql_path               = "${path.root}/../dashboards/athena"
  bucket_name            = module.archive.bucket_name
  kms_key_arn            = module.encryption.key_arn
  first_day              = var.analytics_first_day
  bytes_scanned_max      = var.athena_bytes_scanned_max
  results_retention_days = var.athena_results_retention_days
  reader_role_names      = var.analytics_reader_role_names
  force_destroy          = !var.deletion_protection
}

module "quicksight" {
  source = "./modules/quicksight"
  count  = var.quicksight_enabled ? 1 : 0

  name            = var.name
  definition_path = "${path.root}/../dashboards/quicksight"
  sql_path        = "${path.root}/../dashboards/athena"
  workgroup_name  = module.analytics.workgroup_name
  database_name   = module.analytics.database_name
  views           = module.analytics.views
  author_arns     = var.quicksight_author_arns
  viewer_arns     = var.quicksight_viewer_arns
  import_mode     = var.quicksight_import_mode

  # QuickSight tries the source when it is made.
  depends_on = [module.analytics]
}

module "observability" {
  source = "./modules/observability"

  name                          = var.name
  api_enabled                   = var.ingest_enabled
  api_name                      = one(module.ingest[*].api_name)
  api_stage_name                = one(module.ingest[*].stage_name)
  stream_name                   = module.stream.name
  function_name                 = module.aggregator.function_name
  table_name                    = module.statistics.table_name
  dead_letter_queue_name        = module.dead_letter.queue_name
  delivery_stream_name          = module.archive_delivery.name
  curator_function_name         = one(module.curator[*].function_name)
  curated_delivery_stream_name  = one(module.curator[*].delivery_stream_name)
  workgroup_name                = module.analytics.workgroup_name
  dashboard_template_path       = "${path.root}/../dashboards/cloudwatch/dashboard.json.tftpl"
  metrics_namespace             = var.metrics_namespace
  iterator_age_seconds_max      = var.iterator_age_seconds_max
  batching_window_seconds       = var.maximum_batching_window_in_seconds
  timeout_seconds               = var.aggregator_timeout_seconds
  archive_freshness_seconds_max = var.archive_buffering_interval_seconds + 600
  alarm_actions                 = var.alarm_actions
}
