variable "name" {
  description = "The function's name, and its role's."
  type        = string
}

variable "zip_path" {
  description = "The deployment package: a zip with the binary `bootstrap`."
  type        = string
}

variable "table_arn" {
  description = "The statistics table's ARN."
  type        = string
}

variable "change_stream_arn" {
  description = "The ARN of that table's change stream."
  type        = string
}

variable "delivery_stream_name" {
  description = "The name of the Firehose stream of curated rows, and its role's."
  type        = string
}

variable "glue_database_name" {
  description = "The Glue database of the curated table."
  type        = string
}

variable "glue_table_name" {
  description = "The Glue table whose schema the rows have."
  type        = string
}

variable "bucket_arn" {
  description = "The archive's bucket, where curated data lies too."
  type        = string
}

variable "bucket_account_id" {
  description = "That bucket's account, without which nothing is written; null: this one."
  type        = string
  default     = null
}

variable "bucket_kms_key_arn" {
  description = "That bucket's key; null: the one of all else."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The key of table, Firehose and logs."
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
  default     = 256
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

variable "log_retention_days" {
  description = "How long the logs are kept."
  type        = number
  default     = 90
}

variable "metrics_namespace" {
  description = "The CloudWatch namespace."
  type        = string
  default     = "Streamgauge"
}

variable "mapping_enabled" {
  description = "Whether the mapping runs."
  type        = bool
  default     = true
}

variable "starting_position" {
  description = "Where the mapping starts. LATEST can miss changes while the mapping is created."
  type        = string
  default     = "TRIM_HORIZON"

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.starting_position)
    error_message = "starting_position must be TRIM_HORIZON or LATEST."
  }
}

variable "batch_size" {
  description = "The most changes a batch, 1 to 10000."
  type        = number
  default     = 1000

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000
    error_message = "batch_size must be 1 to 10000."
  }
}

variable "maximum_batching_window_in_seconds" {
  description = "How long a batch may wait to fill, 0 to 300. Full batches fill Firehose's records, which are billed in steps of 5 KB."
  type        = number
  default     = 10
}

variable "parallelization_factor" {
  description = "Batches of one shard at once, 1 to 10."
  type        = number
  default     = 1

  validation {
    condition     = var.parallelization_factor >= 1 && var.parallelization_factor <= 10
    error_message = "parallelization_factor must be 1 to 10."
  }
}

variable "maximum_retry_attempts" {
  description = "Retries of a batch; -1: until it succeeds or is too old."
  type        = number
  default     = -1
}

variable "maximum_record_age_in_seconds" {
  description = "The age at which a change is given up, and goes to the bucket whole; below the 24 hours that a change stream keeps, after which it would be gone instead."
  type        = number
  default     = 75600

  validation {
    condition     = var.maximum_record_age_in_seconds >= 60 && var.maximum_record_age_in_seconds <= 82800
    error_message = "maximum_record_age_in_seconds must be 60 to 82800 (23 hours): a change stream keeps 24 hours."
  }
}

variable "buffering_size_mb" {
  description = "A Parquet object is written after so many MB of rows, 64 to 128 …"
  type        = number
  default     = 128

  validation {
    condition     = var.buffering_size_mb >= 64 && var.buffering_size_mb <= 128
    error_message = "buffering_size_mb must be 64 to 128: Firehose demands it for Parquet."
  }
}

variable "buffering_interval_seconds" {
  description = "… or after so many seconds, 0 to 900, whichever comes first."
  type        = number
  default     = 300
}

variable "iterator_age_seconds_max" {
  description = "How far the curator may be behind."
  type        = number
  default     = 3600
}

variable "alarm_actions" {
  description = "ARNs of what alarms tell, such as SNS topics."
  type        = list(string)
  default     = []
}
