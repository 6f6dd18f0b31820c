variable "table_name" {
  description = "The table's name."
  type        = string
  default     = "device-statistics"
}

variable "kms_key_arn" {
  description = "The key that items are encrypted with."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted."
  type        = bool
  default     = true
}
