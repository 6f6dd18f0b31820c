variable "region" {
  description = "The AWS region."
  type        = string
}

variable "aggregator_zip_path" {
  description = "The aggregator's deployment package (docs/deploy.md says how to build it)."
  type        = string
}

variable "name" {
  description = "The start of every name, so that several stacks fit into one account."
  type        = string
  default     = "streamgauge"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name))
    error_message = "name must be 2 to 30 of a-z 0-9 -, beginning with a letter."
  }
}

variable "tags" {
  description = "Tags for everything, beside Project and Stack."
  type        = map(string)
  default     = {}
}

variable "table_name" {
  description = "The statistics table. A second stack in one account and region needs another name."
  type        = string
  default     = "device-statistics"
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted, and the archive to be deleted with what is in it."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90
}

variable "alarm_actions" {
  description = "ARNs of what alarms tell, such as SNS topics."
  type        = list(string)
  default     = []
}

variable "iterator_age_seconds_max" {
  description = "The alarm is raised when the aggregator is further behind."
  type        = number
  default     = 300
}

# Ingest

variable "ingest_enabled" {
  description = "Whether there is an API. Without one, producers put straight into the stream, and read the table."
  type        = bool
  default     = true
}

variable "stage_name" {
  description = "The API's stage, the first part of the URL's path."
  type        = string
  default     = "v1"
}

variable "throttling_rate_limit" {
  description = "Requests a second, over all and for each key."
  type        = number
  default     = 1000
}

variable "throttling_burst_limit" {
  description = "Requests at once beyond the rate."
  type        = number
  default     = 2000
}

variable "quota_posts_per_month" {
  description = "The most requests of one key a month; null: no limit."
  type        = number
  default     = null
}

variable "api_key_names" {
  description = "A key is made for each of these names."
  type        = set(string)
  default     = ["default"]
}

variable "manage_account_logging_role" {
  description = "Whether to set the role by which API Gateway writes logs, one a region and account. False where there is one."
  type        = bool
  default     = true
}

variable "web_acl_arn" {
  description = "A regional WAF web ACL to put before the API."
  type        = string
  default     = null
}

variable "domain_name" {
  description = "A domain name of your own; the API's own address is then switched off."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "That name's certificate, in this region."
  type        = string
  default     = null
}

# Stream

variable "stream_mode" {
  description = "ON_DEMAND, or PROVISIONED with `stream_shard_count` shards."
  type        = string
  default     = "ON_DEMAND"
}

variable "stream_shard_count" {
  description = "Shards of a PROVISIONED stream."
  type        = number
  default     = 1
}

variable "stream_retention_hours" {
  description = "How long a record can still be read, 24 to 8760. It bounds how long the aggregator may be down."
  type        = number
  default     = 168
}

variable "enhanced_fan_out" {
  description = "Whether the aggregator reads by a consumer with its own throughput."
  type        = bool
  default     = false
}

# Aggregator

variable "architecture" {
  description = "What the binary was built for: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "aggregator_memory_size_mb" {
  description = "The function's memory, in MB; processor time comes with it."
  type        = number
  default     = 512
}

variable "aggregator_timeout_seconds" {
  description = "How long one batch may take."
  type        = number
  default     = 60
}

variable "aggregator_concurrency" {
  description = "Devices that one batch works on at once, 1 to 1000."
  type        = number
  default     = 64
}

variable "reserved_concurrent_executions" {
  description = "The most executions at once, which are also set aside; -1: the account's."
  type        = number
  default     = -1
}

variable "provisioned_concurrent_executions" {
  description = "Executions that are kept warm; 0: none."
  type        = number
  default     = 0
}

variable "mapping_enabled" {
  description = "Whether the mapping runs."
  type        = bool
  default     = true
}

variable "starting_position" {
  description = "Where the mapping starts. LATEST can miss records while it is created."
  type        = string
  default     = "TRIM_HORIZON"
}

variable "batch_size" {
  description = "The most records a batch, 1 to 10000."
  type        = number
  default     = 1000
}

variable "maximum_batching_window_in_seconds" {
  description = "How long a batch may wait to fill, 0 to 300."
  type        = number
  default     = 1
}

variable "parallelization_factor" {
  description = "Batches of one shard at once, 1 to 10; each device keeps its order."
  type        = number
  default     = 1
}

variable "bisect_batch_on_function_error" {
  description = "Whether a batch whose invocation failed is halved."
  type        = bool
  default     = true
}

variable "maximum_retry_attempts" {
  description = "Retries of a batch; -1: until it succeeds or its records expire. Anything else can give up readings."
  type        = number
  default     = -1
}

variable "maximum_record_age_in_seconds" {
  description = "The age at which a record is given up; -1: never."
  type        = number
  default     = -1
}

variable "tumbling_window_in_seconds" {
  description = "Lambda's own windows of state; 0: none, because the state is in the table."
  type        = number
  default     = 0
}

variable "function_response_types" {
  description = "ReportBatchItemFailures, by which a device's failure does not fail the others."
  type        = list(string)
  default     = ["ReportBatchItemFailures"]
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace of the aggregator's metrics."
  type        = string
  default     = "Streamgauge"
}

variable "ledger_mode" {
  description = "full, or window: without ledger pages, where what is older than the window becomes a dead letter."
  type        = string
  default     = "full"
}

variable "ledger_retention_days" {
  description = "How long ledger pages are kept, 1 to 36500 days; null: for ever."
  type        = number
  default     = null
}

variable "future_tolerance_seconds" {
  description = "How far a timestamp may be ahead of its arrival."
  type        = number
  default     = 300
}

# Archive

variable "archive_bucket_name" {
  description = "The archive's bucket; null: `NAME-archive-ACCOUNT`."
  type        = string
  default     = null
}

variable "archive_buffering_size_mb" {
  description = "An object is written after so many MB, 1 to 128 …"
  type        = number
  default     = 64
}

variable "archive_buffering_interval_seconds" {
  description = "… or after so many seconds, 0 to 900, whichever comes first."
  type        = number
  default     = 300
}

variable "archive_object_lock_days" {
  description = "How long no object can be deleted or overwritten; 0: no Object Lock. Chosen when the bucket is made."
  type        = number
  default     = 0
}

variable "archive_object_lock_mode" {
  description = "GOVERNANCE, which a permission can lift, or COMPLIANCE, which nobody can."
  type        = string
  default     = "GOVERNANCE"
}

variable "archive_transition_days" {
  description = "Raw objects move to colder storage after so many days."
  type        = number
  default     = 90
}

variable "archive_transition_storage_class" {
  description = "Where they move."
  type        = string
  default     = "STANDARD_IA"
}

# Curated data

variable "curator_zip_path" {
  description = "The curator's deployment package; null: no curated data."
  type        = string
  default     = null
}

variable "curator_memory_size_mb" {
  description = "The curator's memory, in MB; processor time comes with it."
  type        = number
  default     = 256
}

variable "curated_buffering_size_mb" {
  description = "A Parquet object is written after so many MB of rows, 64 to 128 …"
  type        = number
  default     = 128
}

variable "curated_buffering_interval_seconds" {
  description = "… or after so many seconds, 0 to 900, whichever comes first. Few large objects are read faster than many small ones."
  type        = number
  default     = 300
}

# Analytics

variable "analytics_first_day" {
  description = "The first day that Athena looks for, YYYY-MM-DD: none earlier has data."
  type        = string
  default     = "2026-01-01"
}

variable "athena_bytes_scanned_max" {
  description = "A question that reads more is stopped, in bytes, at least 10485760."
  type        = number
  default     = 107374182400
}

variable "athena_results_retention_days" {
  description = "How long Athena's answers are kept."
  type        = number
  default     = 30
}

variable "analytics_reader_role_names" {
  description = "Roles that get the policy to ask Athena; QuickSight's needs it."
  type        = set(string)
  default     = []
}

variable "quicksight_enabled" {
  description = "Whether there is a QuickSight dashboard; the account has to have QuickSight (docs/deploy.md)."
  type        = bool
  default     = false
}

variable "quicksight_author_arns" {
  description = "QuickSight users or groups who build on the analysis, by ARN; at least one with QuickSight."
  type        = set(string)
  default     = []
}

variable "quicksight_viewer_arns" {
  description = "QuickSight users or groups who look at the dashboard, by ARN."
  type        = set(string)
  default     = []
}

variable "quicksight_import_mode" {
  description = "SPICE, refreshed by schedule; or DIRECT_QUERY, which asks Athena, and pays it, at every look."
  type        = string
  default     = "SPICE"
}
