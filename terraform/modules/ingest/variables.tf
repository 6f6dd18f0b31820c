variable "name" {
  description = "The API's name, and the start of its roles' names."
  type        = string
}

variable "openapi_document" {
  description = "The OpenAPI document, as YAML."
  type        = string
}

variable "stream_name" {
  description = "The stream that readings are put into."
  type        = string
}

variable "stream_arn" {
  description = "Its ARN."
  type        = string
}

variable "table_name" {
  description = "The statistics table."
  type        = string
}

variable "table_arn" {
  description = "Its ARN."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of stream, table and log."
  type        = string
}

variable "consumers" {
  description = "What must run before anything is let in: the ARNs of the mapping and the archive's Firehose stream."
  type        = list(string)
}

variable "stage_name" {
  description = "The stage's name, the first part of the URL's path."
  type        = string
  default     = "v1"
}

variable "throttling_rate_limit" {
  description = "Requests a second, over all and for each key."
  type        = number
  default     = 1000
}

variable "throttling_burst_limit" {
  description = "Requests at once beyond the rate."
  type        = number
  default     = 2000
}

variable "quota_posts_per_month" {
  description = "The most requests of one key a month; null: no limit."
  type        = number
  default     = null
}

variable "api_key_names" {
  description = "A key is made for each of these names."
  type        = set(string)
  default     = ["default"]
}

variable "log_retention_days" {
  description = "How long the access log is kept."
  type        = number
  default     = 90
}

variable "manage_account_logging_role" {
  description = "Whether to set the role by which API Gateway writes logs, one a region and account."
  type        = bool
  default     = true
}

variable "web_acl_arn" {
  description = "A regional WAF web ACL to put before the stage."
  type        = string
  default     = null
}

variable "domain_name" {
  description = "A domain name of your own; the API's own address is then switched off."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "That name's certificate, in this region."
  type        = string
  default     = null
}
