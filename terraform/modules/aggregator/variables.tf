variable "name" {
  description = "The function's name, and its role's."
  type        = string
}

variable "zip_path" {
  description = "The deployment package: a zip with the binary `bootstrap`."
  type        = string
}

variable "stream_arn" {
  description = "The stream of readings."
  type        = string
}

variable "stream_consumer_arn" {
  description = "The stream's enhanced fan-out consumer, if it is to be read by one."
  type        = string
  default     = null
}

variable "table_name" {
  description = "The statistics table's name."
  type        = string
}

variable "table_arn" {
  description = "The statistics table's ARN."
  type        = string
}

variable "dead_letter_queue_url" {
  description = "The dead-letter queue's URL."
  type        = string
}

variable "dead_letter_queue_arn" {
  description = "The dead-letter queue's ARN."
  type        = string
}

variable "archive_bucket_name" {
  description = "The bucket that keeps every dead letter too."
  type        = string
}

variable "archive_bucket_arn" {
  description = "That bucket's ARN; batches that Lambda gives up go there whole."
  type        = string
}

variable "archive_account_id" {
  description = "That bucket's account, without which nothing is written; null: this one."
  type        = string
  default     = null
}

variable "archive_kms_key_arn" {
  description = "That bucket's key; null: the one of all else."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The key of stream, table, queue and log."
  type        = string
}

variable "architecture" {
  description = "What the binary was built for: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "memory_size_mb" {
  description = "Memory, in MB; processor time comes with it."
  type        = number
  default     = 512
}

variable "timeout_seconds" {
  description = "How long one batch may take."
  type        = number
  default     = 60
}

variable "reserved_concurrent_executions" {
  description = "The most executions at once, which are also set aside for this function; -1: the account's."
  type        = number
  default     = -1
}

variable "provisioned_concurrent_executions" {
  description = "Executions that are kept warm; 0: none."
  type        = number
  default     = 0
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
  default     = 90
}

variable "mapping_enabled" {
  description = "Whether the mapping runs."
  type        = bool
  default     = true
}

variable "starting_position" {
  description = "Where the mapping starts. LATEST can miss records while the mapping is created."
  type        = string
  default     = "TRIM_HORIZON"

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.starting_position)
    error_message = "starting_position must be TRIM_HORIZON or LATEST."
  }
}

variable "batch_size" {
  description = "The most records a batch, 1 to 10000."
  type        = number
  default     = 1000

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000
    error_message = "batch_size must be 1 to 10000."
  }
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

  validation {
    condition     = var.parallelization_factor >= 1 && var.parallelization_factor <= 10
    error_message = "parallelization_factor must be 1 to 10."
  }
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

variable "dead_letter_bytes_max" {
  description = "The queue's largest message."
  type        = number
  default     = 262144
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace."
  type        = string
  default     = "Streamgauge"
}

variable "ledger_mode" {
  description = "full, or window."
  type        = string
  default     = "full"
}

variable "ledger_retention_days" {
  description = "How long ledger pages are kept; null: for ever."
  type        = number
  default     = null
}

variable "future_tolerance_seconds" {
  description = "How far a timestamp may be ahead of its arrival."
  type        = number
  default     = 300
}

variable "concurrency" {
  description = "Devices that one batch works on at once."
  type        = number
  default     = 64
}
