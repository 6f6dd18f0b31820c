variable "name" {
  description = "The Firehose stream's name, and its role's."
  type        = string
}

variable "source_policy_json" {
  description = "What Firehose may do beside delivering: read what it delivers, or its schema."
  type        = string
}

variable "folders" {
  description = "The bucket's folders that are written, without a slash at the end."
  type        = list(string)
}

variable "bucket_arn" {
  description = "The bucket."
  type        = string
}

variable "bucket_account_id" {
  description = "The account of the bucket, without which nothing is written; null: this one."
  type        = string
  default     = null
}

variable "bucket_kms_key_arn" {
  description = "The key that objects are encrypted with; null: that of the log."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The key of Firehose's log."
  type        = string
}

variable "log_retention_days" {
  description = "How long Firehose's log is kept."
  type        = number
}
