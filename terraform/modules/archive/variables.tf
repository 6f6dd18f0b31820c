variable "bucket_name" {
  description = "The bucket's name."
  type        = string
}

variable "delivery_stream_name" {
  description = "The Firehose stream's name, and its role's."
  type        = string
}

variable "stream_arn" {
  description = "The Kinesis stream to archive."
  type        = string
}

variable "dead_letter_queue_arn" {
  description = "The queue that is told of Lambda's failure objects."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that objects and the log are encrypted with; the stream's key too."
  type        = string
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

variable "object_lock_days" {
  description = "How long no object can be deleted or overwritten; 0: no Object Lock. It is chosen when the bucket is made."
  type        = number
  default     = 0
}

variable "object_lock_mode" {
  description = "GOVERNANCE, which a permission can lift, or COMPLIANCE, which nobody can."
  type        = string
  default     = "GOVERNANCE"

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.object_lock_mode)
    error_message = "object_lock_mode must be GOVERNANCE or COMPLIANCE."
  }
}

variable "raw_transition_days" {
  description = "Raw objects move to `raw_transition_storage_class` after so many days."
  type        = number
  default     = 90
}

variable "raw_transition_storage_class" {
  description = "Where raw objects move. Those of the GLACIER classes but GLACIER_IR cannot be read at once."
  type        = string
  default     = "STANDARD_IA"
}

variable "noncurrent_version_days" {
  description = "How long a version is kept that another one replaced."
  type        = number
  default     = 90
}

variable "log_retention_days" {
  description = "How long Firehose's log is kept."
  type        = number
  default     = 90
}

variable "force_destroy" {
  description = "Whether destroying the bucket destroys what is in it."
  type        = bool
  default     = false
}
