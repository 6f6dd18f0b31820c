variable "bucket_name" {
  description = "The bucket's name."
  type        = string
}

variable "dead_letter_queue_arn" {
  description = "The queue that is told of Lambda's failure objects."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that objects are encrypted with."
  type        = string
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

variable "force_destroy" {
  description = "Whether destroying the bucket destroys what is in it."
  type        = bool
  default     = false
}

variable "delivery_role_arn" {
  description = "Firehose's role, if it is another account's. Roles of the bucket's own account need no leave of the bucket."
  type        = string
  default     = null
}

variable "aggregator_role_arn" {
  description = "The aggregator's role, if it is another account's."
  type        = string
  default     = null
}

variable "curated_delivery_role_arn" {
  description = "The role of the curated data's Firehose, if it is another account's."
  type        = string
  default     = null
}

variable "curator_role_arn" {
  description = "The curator's role, if it is another account's."
  type        = string
  default     = null
}

variable "failure_prefix" {
  description = "Whose failure objects the dead-letter queue is told of: all of Lambda's, or `aws/lambda/UUID/`, those of one mapping."
  type        = string
  default     = "aws/lambda/"

  validation {
    condition     = startswith(var.failure_prefix, "aws/lambda/") && endswith(var.failure_prefix, "/")
    error_message = "failure_prefix must be aws/lambda/, where Lambda writes, or a folder of it."
  }
}
