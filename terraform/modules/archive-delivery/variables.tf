variable "name" {
  description = "The Firehose stream's name, and its role's."
  type        = string
}

variable "stream_arn" {
  description = "The Kinesis stream to archive."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of the stream and of Firehose's log."
  type        = string
}

variable "bucket_arn" {
  description = "The archive's bucket."
  type        = string
}

variable "bucket_account_id" {
  description = "The account of the bucket, without which nothing is written; null: this one."
  type        = string
  default     = null
}

variable "bucket_kms_key_arn" {
  description = "The key that objects are encrypted with; null: the stream's."
  type        = string
  default     = null
}

variable "buffering_size_mb" {
  description = "An object is written after so many MB, 1 to 128 …"
  type        = number
  default     = 64
}

variable "buffering_interval_seconds" {
  description = "… or after so many seconds, 0 to 900, whichever comes first."
  type        = number
  default     = 300
}

variable "log_retention_days" {
  description = "How long Firehose's log is kept."
  type        = number
  default     = 90
}
