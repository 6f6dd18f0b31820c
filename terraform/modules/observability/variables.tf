variable "name" {
  description = "The dashboard's name, and the start of the alarms' names."
  type        = string
}

variable "api_name" {
  description = "The API, if there is one."
  type        = string
  nullable    = true
}

variable "api_stage_name" {
  description = "The API's stage, if there is one."
  type        = string
  nullable    = true
}

variable "stream_name" {
  description = "The stream of readings."
  type        = string
}

variable "function_name" {
  description = "The aggregator."
  type        = string
}

variable "table_name" {
  description = "The statistics table."
  type        = string
}

variable "dead_letter_queue_name" {
  description = "The dead-letter queue."
  type        = string
}

variable "delivery_stream_name" {
  description = "The archive's Firehose stream."
  type        = string
}

variable "dashboard_template_path" {
  description = "The template of the dashboard's body."
  type        = string
}

variable "curator_function_name" {
  description = "The curator, if there is one."
  type        = string
  default     = null
}

variable "curated_delivery_stream_name" {
  description = "The curated data's Firehose stream, if there is one."
  type        = string
  default     = null
}

variable "workgroup_name" {
  description = "The Athena workgroup, if there is one."
  type        = string
  default     = null
}

variable "api_enabled" {
  description = "Whether there is an API to watch."
  type        = bool
  default     = true
}

variable "metrics_namespace" {
  description = "The namespace of the aggregator's own metrics."
  type        = string
  default     = "Streamgauge"
}

variable "iterator_age_seconds_max" {
  description = "How far the aggregator may be behind."
  type        = number
  default     = 300
}

variable "batching_window_seconds" {
  description = "How long the aggregator's batches may wait to fill."
  type        = number
  default     = 1
}

variable "timeout_seconds" {
  description = "How long one of its batches may take."
  type        = number
  default     = 60
}

variable "archive_freshness_seconds_max" {
  description = "How old a reading may be that is not yet archived; more than Firehose's buffering interval."
  type        = number
  default     = 900
}

variable "failed_groups_max" {
  description = "Devices' groups that may fail in five minutes: a few are ordinary contention."
  type        = number
  default     = 100
}

variable "alarm_actions" {
  description = "ARNs of what is told, such as SNS topics."
  type        = list(string)
  default     = []
}
