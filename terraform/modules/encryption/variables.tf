variable "name" {
  description = "The key's alias, after `alias/`."
  type        = string
}

variable "deletion_window_in_days" {
  description = "How long a deleted key can still be saved, 7 to 30 days."
  type        = number
  default     = 30
}

variable "bucket_account_id" {
  description = "The account of the bucket whose notifications go into a queue that has this key; null: this one."
  type        = string
  default     = null
}

variable "writer_role_arns" {
  description = "Roles of other accounts that write objects with this key."
  type        = list(string)
  default     = []
}
