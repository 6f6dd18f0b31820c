variable "region" {
  description = "The AWS region of both accounts' parts: S3 tells queues of its own region alone."
  type        = string
}

variable "aggregator_zip_path" {
  description = "The aggregator's deployment package."
  type        = string
}

variable "archive_deployment_role_arn" {
  description = "The role of the archive's account that this configuration takes to make the bucket and its key there."
  type        = string
}

variable "name" {
  description = "The start of every name."
  type        = string
  default     = "streamgauge"
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted, and the archive to be deleted with what is in it."
  type        = bool
  default     = true
}

variable "archive_object_lock_days" {
  description = "How long no object can be deleted or overwritten; 0: no Object Lock. Chosen when the bucket is made."
  type        = number
  default     = 0
}

variable "alarm_actions" {
  description = "ARNs of what alarms tell, such as SNS topics of the pipeline's account."
  type        = list(string)
  default     = []
}
