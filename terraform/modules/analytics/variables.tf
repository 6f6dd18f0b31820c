variable "name" {
  description = "The workgroup's name, and the start of the others."
  type        = string
}

variable "database_name" {
  description = "The Glue database: a-z, 0-9 and _."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9_]{1,255}$", var.database_name))
    error_message = "database_name must be 1 to 255 of a-z 0-9 _."
  }
}

variable "sql_path" {
  description = "The folder with schema.json, views/ and queries/."
  type        = string
}

variable "bucket_name" {
  description = "The bucket with raw/, curated/ and dead-letters/."
  type        = string
}

variable "bucket_account_id" {
  description = "That bucket's account, without which nothing is read; null: this one."
  type        = string
  default     = null
}

variable "bucket_kms_key_arn" {
  description = "That bucket's key; null: the one of the answers."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The key that answers are encrypted with."
  type        = string
}

variable "first_day" {
  description = "The first day that is looked for, YYYY-MM-DD: none earlier has data. Each day costs a question over all days a look into S3, and each hour of raw/ another."
  type        = string
  default     = "2026-01-01"

  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.first_day))
    error_message = "first_day must be YYYY-MM-DD."
  }
}

variable "bytes_scanned_max" {
  description = "A question that reads more is stopped, in bytes, at least 10485760 (10 MB)."
  type        = number
  default     = 107374182400

  validation {
    condition     = var.bytes_scanned_max >= 10485760
    error_message = "bytes_scanned_max must be at least 10485760: Athena takes no lower limit."
  }
}

variable "results_bucket_name" {
  description = "The bucket of the answers; null: `NAME-athena-results-ACCOUNT`."
  type        = string
  default     = null
}

variable "results_retention_days" {
  description = "How long answers are kept."
  type        = number
  default     = 30
}

variable "reader_role_names" {
  description = "Roles that get the policy to ask, such as QuickSight's."
  type        = set(string)
  default     = []
}

variable "force_destroy" {
  description = "Whether destroying workgroup and answers' bucket destroys what is in them."
  type        = bool
  default     = false
}
