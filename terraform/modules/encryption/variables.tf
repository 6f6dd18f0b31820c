variable "name" {
  description = "The key's alias, after `alias/`."
  type        = string
}

variable "deletion_window_in_days" {
  description = "How long a deleted key can still be saved, 7 to 30 days."
  type        = number
  default     = 30
}
