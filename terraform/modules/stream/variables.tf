variable "name" {
  description = "The stream's name."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that records are encrypted with."
  type        = string
}

variable "mode" {
  description = "ON_DEMAND, or PROVISIONED with `shard_count` shards."
  type        = string
  default     = "ON_DEMAND"

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.mode)
    error_message = "mode must be ON_DEMAND or PROVISIONED."
  }
}

variable "shard_count" {
  description = "Shards of a PROVISIONED stream."
  type        = number
  default     = 1
}

variable "retention_hours" {
  description = "How long a record can still be read, 24 to 8760 hours. It bounds how long the aggregator may be down."
  type        = number
  default     = 168

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "retention_hours must be 24 to 8760."
  }
}

variable "enhanced_fan_out" {
  description = "Whether the aggregator reads by a consumer with its own throughput."
  type        = bool
  default     = false
}
