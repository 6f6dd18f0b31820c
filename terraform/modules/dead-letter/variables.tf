variable "name" {
  description = "The queue's name."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that messages are encrypted with."
  type        = string
}

variable "archive_bucket_arn" {
  description = "The bucket whose notifications of Lambda's failure objects come here."
  type        = string
}

variable "archive_account_id" {
  description = "That bucket's account; null: this one. Its region has to be the queue's."
  type        = string
  default     = null
}

variable "retention_seconds" {
  description = "How long a dead letter waits; SQS holds at most 14 days, the default."
  type        = number
  default     = 1209600
}

variable "message_bytes_max" {
  description = "The largest message. A dead letter with a larger payload has it in the archive alone."
  type        = number
  default     = 262144
}

variable "alarm_age_seconds" {
  description = "The age of the oldest dead letter that raises the alarm; 7 days by default, half of what SQS holds."
  type        = number
  default     = 604800
}

variable "alarm_number" {
  description = "The alarm is raised over so many dead letters."
  type        = number
  default     = 0
}

variable "alarm_actions" {
  description = "ARNs of what is told, such as SNS topics."
  type        = list(string)
  default     = []
}
